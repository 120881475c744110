"""The parts of an external report: image, packages, findings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dockgate.gate.external import ReadContext
from dockgate.gate.external._fields import ALIAS_LIMIT, FINDINGS_LIMIT, read_digest, read_mappings, read_text
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.scanner.osrelease import find_os_id
from dockgate.shared.errors import UncomparableError, UsageError
from dockgate.vulnerabilities.aliases import rank_alias
from dockgate.vulnerabilities.model import (
    Finding,
    Matches,
    Rating,
    UndeterminedFact,
    rank_score,
    rank_undetermined,
    select_highest_score,
)

# Fields of `Finding` from CISA's catalogue (KEV) and from EPSS.
KEV_FIELDS = ("exploited", "due")
EPSS_FIELDS = ("epss", "percentile")


def require_image_digest(candidates: Iterable[str | None], context: ReadContext) -> str:
    """The digest of the image that the document is about, from the digests in it.

    Raises UsageError if neither document nor context has a digest, or if they differ.
    """
    digests = list(dict.fromkeys(filter(None, candidates)))
    if context.image and digests and context.image not in digests:
        raise UsageError(
            f"the document is about {', '.join(digests)}, not {context.image}",
            "Check whether another image was scanned, or this one by a tag that has moved.",
        )
    if not digests and not context.image:
        raise UsageError(
            "the document does not contain the image's digest",
            "Scan the image in its registry, or pass its digest: --digest sha256:…",
        )
    return context.image or digests[0]


def select_lowest_fix(context: ReadContext, package: Package, versions: Sequence[str]) -> str | None:
    """The lowest of these versions above the package's, or None.

    If they cannot be compared, it is the first of them.
    """
    lowest_version: str | None = None
    for version in versions[:ALIAS_LIMIT]:
        try:
            if context.compare(package.ecosystem, version, package.source_version) > 0 and (
                lowest_version is None or context.compare(package.ecosystem, version, lowest_version) < 0
            ):
                lowest_version = version
        except UncomparableError:
            return versions[0]
    return lowest_version or (versions[0] if versions else None)


def make_finding(
    names: Sequence[str],
    package: Package,
    rating: Rating,
    fixed_version: str | None,
    *,
    note: str | None = None,
    **fields: Any,
) -> Finding:
    """A finding under the best known of its names.

    `note` says why there is no fixed version; `fields` are other fields of `Finding`, in which a document's empty text
    is an absent value.
    """
    values: dict[str, Any] = {name: None if value == "" else value for name, value in fields.items()}
    ordered_names = sorted(dict.fromkeys(filter(None, names[:ALIAS_LIMIT])), key=rank_alias) or ["unknown"]
    return Finding(
        id=ordered_names[0],
        aliases=tuple(ordered_names[1:]),
        package=package,
        severity=rating.severity,
        rating=rating,
        fixed=fixed_version or None,
        note=None if fixed_version else note or None,
        **values,
    )


def make_platform(system: Any, architecture: Any, variant: Any) -> str | None:
    """ "os/arch" or "os/arch/variant", None without os or architecture."""
    parts = [read_text(part) for part in (system, architecture, variant)]
    return "/".join(filter(None, parts)) if all(parts[:2]) else None


def make_distribution(family: Any, release: Any) -> Distribution | None:
    """The distribution by another tool's name for it, None if it has none."""
    name = read_text(family)
    return Distribution(find_os_id(name), read_text(release)) if name and name != "none" else None


def read_layer_digests(layers: Any, location: str, key: str) -> tuple[str, ...]:
    """The digests under `key` in a list of layers."""
    return tuple(filter(None, (read_digest(layer.get(key)) for layer in read_mappings(layers, location))))


def format_full_version(epoch: Any, version: Any, release: Any) -> str:
    """ "epoch:version-release" as package managers write it, without an epoch of 0."""
    prefix = f"{epoch}:" if isinstance(epoch, int) and not isinstance(epoch, bool) and epoch > 0 else ""
    suffix = f"-{read_text(release)}" if read_text(release) else ""
    return prefix + read_text(version) + suffix


def make_package(
    context: ReadContext,
    name: str,
    version: str,
    purl: str,
    distribution: Distribution | None,
    source: tuple[str, str | None] | None = None,
) -> Package:
    """The package of this package URL.

    One without ecosystem if there is no URL, or no ecosystem has its type.
    """
    package = context.package(purl, version, distribution, source) if purl else None
    return package or make_plain_package(name, version, purl)


def make_plain_package(name: str, version: str, purl: str = "", path: str = "") -> Package:
    """A package without a known ecosystem."""
    return Package(name, version, purl, "", name, version, path)


@dataclass(slots=True)
class ReportBuilder:
    """A builder of the report of one image and platform.

    The fields are those of `ExternalReport` and `Inventory`.
    """

    source: str
    image: str
    at: str | None = None
    platform: str | None = None
    distribution: Distribution | None = None
    layers: tuple[str, ...] = ()
    created: str | None = None
    user: str | None = None
    findings: list[Finding] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    undetermined: list[UndeterminedFact] = field(default_factory=list)
    unlisted_counts: dict[str, int] = field(default_factory=dict)
    missing_fields: set[str] = field(default_factory=set)

    def add_undetermined(self, reason: str, kind: str | None = None) -> None:
        self.undetermined.append(UndeterminedFact("/", reason, kind))

    def build(self) -> ExternalReport:
        """Build the report: each finding once, merged from all its entries, and sorted.

        The order makes digests stable.
        """
        if len(self.findings) > FINDINGS_LIMIT:
            raise UsageError(f"the document has more than {FINDINGS_LIMIT} findings", "Scan the image with Dockgate.")
        findings: dict[tuple[str, str, str, str], Finding] = {}
        for finding in self.findings:
            key = (finding.id, finding.package.purl, finding.package.name, finding.package.path)
            findings[key] = _merge(findings[key], finding) if key in findings else finding
        packages = {*self.packages, *(finding.package for finding in findings.values())}
        return ExternalReport(
            source=self.source,
            at=self.at,
            inventory=Inventory(
                image=self.image,
                platform=self.platform,
                distribution=self.distribution,
                layers=self.layers,
                packages=tuple(sorted(packages, key=_rank_package)),
                unread=(),
                created=self.created,
                user=self.user,
            ),
            matches=Matches(
                tuple(sorted(findings.values(), key=_rank_finding)),
                tuple(sorted(set(self.undetermined), key=rank_undetermined)),
            ),
            unlisted_counts=dict(sorted(self.unlisted_counts.items())),
            missing_fields=tuple(sorted(self.missing_fields)),
        )


def _merge(first: Finding, second: Finding) -> Finding:
    """One finding from two entries of a vulnerability in a package.

    Grype matches by several sources. It has the worse rating, all names, and a fix if either entry has one.
    """
    worse, better = (second, first) if second.severity.rank < first.severity.rank else (first, second)
    fixed_version = worse.fixed or better.fixed
    return replace(
        worse,
        aliases=tuple(dict.fromkeys((*worse.aliases, *better.aliases))),
        fixed=fixed_version,
        note=None if fixed_version else worse.note or better.note,
        exploited=min(filter(None, (worse.exploited, better.exploited)), default=None),
        due=min(filter(None, (worse.due, better.due)), default=None),
        epss=select_highest_score((worse.epss, better.epss)),
        percentile=select_highest_score((worse.percentile, better.percentile)),
    )


def _rank_package(package: Package) -> tuple[str, ...]:
    return package.purl, package.name, package.version, package.path, package.layer or ""


def _rank_finding(finding: Finding) -> tuple[int, float, str, str, str, str]:
    package = finding.package
    return (
        finding.severity.rank,
        rank_score(finding.rating.score),
        finding.id,
        package.purl,
        package.name,
        package.path,
    )
