"""What the formats have in common: fields of unknown documents, words and times of other tools, a report's parts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dockgate.gate.external import Asked
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.shared.errors import UncomparableError, UsageError
from dockgate.vulnerabilities.aliases import by_renown
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity, Undetermined

TEXT_LIMIT = 2000
"""characters of one text; what is longer is cut"""
FINDINGS_LIMIT = 100_000
"""findings of one document"""
ALIAS_LIMIT = 50
SUMMARY_LIMIT = 200
"""characters of a description that stand for it in a finding"""
EXPLOITED = ("exploited", "due")
PREDICTED = ("epss", "percentile")

_WORDS = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.INFORMATIONAL,
    "informational": Severity.INFORMATIONAL,
    "info": Severity.INFORMATIONAL,
    "none": Severity.INFORMATIONAL,
}
_BANDS = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))
_TIMES = ("%b %d, %Y, %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p", "%a %b %d %H:%M:%S UTC %Y", "%a, %d %b %Y %H:%M:%S GMT")
_MILLISECONDS = 1e11
"""a number above this counts milliseconds, not seconds, since 1970"""
_HEX = frozenset("0123456789abcdef")


# --- fields ----------------------------------------------------------------------------------------------------------


def text(value: Any) -> str:
    """A text without white space around it, cut at TEXT_LIMIT; "" for what is none."""
    return value.strip()[:TEXT_LIMIT] if isinstance(value, str) else ""


def texts(value: Any) -> tuple[str, ...]:
    found = (text(one) for one in value[:FINDINGS_LIMIT]) if isinstance(value, list) else ()
    return tuple(one for one in found if one)


def table(value: Any) -> dict[str, Any]:
    """An object; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """The objects of a list, none where there is no list. Raises UsageError for a list of anything else: what is in it
    may be a finding."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise UsageError(f"{where} is no list of objects.", "Was the file cut or changed?")
    if len(value) > FINDINGS_LIMIT:
        raise UsageError(f"{where} has more than {FINDINGS_LIMIT} entries.")
    return value


def number(value: Any, highest: float) -> float:
    """A number from 0 to `highest`, also as text; -1 for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return -1.0
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return -1.0
    return found if math.isfinite(found) and 0 <= found <= highest else -1.0


def count(value: Any, where: str) -> int:
    """A whole number, 0 or more; an absent one is 0. Raises UsageError."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1 or not 0 <= value < 10**9:
        raise UsageError(f"{where} is no count.", "Was the file cut or changed?")
    return int(value)


def moment(value: Any) -> str:
    """A time as RFC 3339 in UTC, "" for what is none: ISO 8601, seconds since 1970, Java's medium form ("Jan 19, 2022,
    10:46:15 PM"), in which EventBridge carries Inspector's, or what boto3 makes of it. Without a zone it is UTC."""
    found: datetime | None = None
    try:
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value / 1000 if value > _MILLISECONDS else value, UTC)
        elif isinstance(value, str):
            found = _read_time(" ".join(value[:100].split()))
        if found is None:
            return ""
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read_time(written: str) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        pass
    for form in _TIMES:
        try:
            return datetime.strptime(written, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def digest(reference: Any) -> str:
    """The digest in "repository@sha256:…", or that it is; "" without one."""
    found = text(reference).rpartition("@")[2]
    algorithm, _, encoded = found.partition(":")
    return found if algorithm == "sha256" and len(encoded) == 64 and _HEX.issuperset(encoded) else ""


# --- words -----------------------------------------------------------------------------------------------------------


def severity(word: Any) -> Severity:
    """In our words; UNTRIAGED for what nobody knows."""
    return _WORDS.get(text(word).lower(), Severity.UNTRIAGED)


def of_score(score: float) -> Severity:
    """By CVSS' own bands ("Qualitative Severity Rating Scale"); UNTRIAGED without a score."""
    if score < 0:
        return Severity.UNTRIAGED
    return next((severity for least, severity in _BANDS if score >= least), Severity.INFORMATIONAL)


# --- parts of a report -----------------------------------------------------------------------------------------------


def image_of(stated: Iterable[str], asked: Asked) -> str:
    """The image that the document speaks of, out of the digests that it states ("" among them say nothing).

    Raises UsageError when it states none and none is asked for, or others than the one that is."""
    known = list(dict.fromkeys(filter(None, stated)))
    if asked.image and known and asked.image not in known:
        raise UsageError(
            f"It is of the image {', '.join(known)}, not of {asked.image}.", "Was another image scanned, or by its tag?"
        )
    if not known and not asked.image:
        raise UsageError(
            "It does not say of which image it is, by digest.",
            "Scan the image in its registry, or say its digest: --digest sha256:…",
        )
    return asked.image or known[0]


def lowest_fix(asked: Asked, package: Package, versions: Sequence[str]) -> str:
    """The lowest of these versions above the package's; the first where they cannot be compared."""
    best = ""
    for version in versions[:ALIAS_LIMIT]:
        try:
            if asked.compare(package.ecosystem, version, package.source_version) > 0 and (
                not best or asked.compare(package.ecosystem, version, best) < 0
            ):
                best = version
        except UncomparableError:
            return versions[0]
    return best or (versions[0] if versions else "")


def found(
    names: Sequence[str], package: Package, rating: Rating, fixed: str, *, note: str = "", **more: Any
) -> Finding:
    """A finding, called by that of its names that people know. Without a fixed version `note` says why; `more` are
    other fields of `Finding`."""
    ordered = sorted(dict.fromkeys(filter(None, names[:ALIAS_LIMIT])), key=by_renown) or ["unknown"]
    return Finding(
        id=ordered[0],
        aliases=tuple(ordered[1:]),
        package=package,
        severity=rating.severity,
        rating=rating,
        fixed=fixed,
        note="" if fixed else note,
        **more,
    )


def platform_of(system: Any, architecture: Any, variant: Any) -> str:
    """ "os/arch" or "os/arch/variant"; "" where the first two are not both said."""
    parts = [text(one) for one in (system, architecture, variant)]
    return "/".join(filter(None, parts)) if all(parts[:2]) else ""


def whole_version(epoch: Any, version: Any, release: Any) -> str:
    """Epoch (which 0 need not be written), version and release in one, as package managers write them."""
    before = f"{epoch}:" if isinstance(epoch, int) and not isinstance(epoch, bool) and epoch > 0 else ""
    after = f"-{text(release)}" if text(release) else ""
    return before + text(version) + after


def package_of(
    asked: Asked,
    name: str,
    version: str,
    purl: str,
    distribution: Distribution | None,
    source: tuple[str, str] = ("", ""),
) -> Package:
    """What the package URL names (`Packages`); a plain package where there is none, or no ecosystem knows it."""
    known = asked.package(purl, version, distribution, source) if purl else None
    return known or plain_package(name, version, purl)


def plain_package(name: str, version: str, purl: str = "", path: str = "", layer: str = "") -> Package:
    """A package of no known ecosystem."""
    return Package(name, version, purl, "", name, version, path, layer)


@dataclass(slots=True)
class Report:
    """What is gathered of one image and platform."""

    source: str
    image: str
    at: str = ""
    platform: str = ""
    distribution: Distribution | None = None
    layers: tuple[str, ...] = ()
    created: str = ""
    user: str = ""
    findings: list[Finding] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    doubts: list[Undetermined] = field(default_factory=list)
    unlisted_counts: dict[str, int] = field(default_factory=dict)
    missing_fields: set[str] = field(default_factory=set)

    def doubt(self, reason: str, subject: str = "/", kind: str = "") -> None:
        self.doubts.append(Undetermined(subject, reason, kind))

    def reported(self) -> ExternalReport:
        """Each finding once, joined from all that is said of it; sorted, so that equal content is equal bytes."""
        if len(self.findings) > FINDINGS_LIMIT:
            raise UsageError(f"It has more than {FINDINGS_LIMIT} findings.")
        worst: dict[tuple[str, str, str, str], Finding] = {}
        for one in self.findings:
            key = (one.id, one.package.purl, one.package.name, one.package.path)
            worst[key] = _joined(worst[key], one) if key in worst else one
        packages = {*self.packages, *(one.package for one in worst.values())}
        return ExternalReport(
            source=self.source,
            at=self.at,
            inventory=Inventory(
                image=self.image,
                platform=self.platform,
                distribution=self.distribution,
                layers=self.layers,
                packages=tuple(
                    sorted(packages, key=lambda one: (one.purl, one.name, one.version, one.path, one.layer))
                ),
                unread=(),
                created=self.created,
                user=self.user,
            ),
            matches=Matches(
                tuple(sorted(worst.values(), key=_worst_first)),
                tuple(sorted(set(self.doubts), key=lambda one: (one.kind, one.subject, one.reason))),
            ),
            unlisted_counts=dict(sorted(self.unlisted_counts.items())),
            missing_fields=tuple(sorted(self.missing_fields)),
        )


def _joined(first: Finding, second: Finding) -> Finding:
    """What two reports say of one vulnerability in one package, such as Grype's matches by several sources: the worse
    rating, every name, a fix where either has one."""
    worse, other = (second, first) if second.severity.rank < first.severity.rank else (first, second)
    fixed = worse.fixed or other.fixed
    return replace(
        worse,
        aliases=tuple(dict.fromkeys((*worse.aliases, *other.aliases))),
        fixed=fixed,
        note="" if fixed else worse.note or other.note,
        exploited=min(filter(None, (worse.exploited, other.exploited)), default=""),
        due=min(filter(None, (worse.due, other.due)), default=""),
        epss=max(worse.epss, other.epss),
        percentile=max(worse.percentile, other.percentile),
    )


def _worst_first(one: Finding) -> tuple[int, float, str, str, str, str]:
    package = one.package
    return one.severity.rank, -one.rating.score, one.id, package.purl, package.name, package.path
