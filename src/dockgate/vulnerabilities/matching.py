"""Packages against advisories: what each suffers, and of what it cannot be said. Pure.

The rules are OSV's (schema 1.7, evaluation) as far as it goes. Everything that cannot be compared, and every package
of which the database does not claim to know, is undetermined: never "not affected".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dockgate.scanner.model import ANY_MODULE, Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError
from dockgate.vulnerabilities.aliases import Names, by_renown
from dockgate.vulnerabilities.model import (
    FIX_NOT_TOLD,
    VERSIONS_ONLY,
    Advisory,
    AdvisorySnapshot,
    Coverage,
    Cve,
    Finding,
    Matches,
    Rating,
    Severity,
    Undetermined,
)
from dockgate.vulnerabilities.versions import Order, Orders

_UNTRIAGED = Rating("", Severity.UNTRIAGED)
_UNKNOWN = Cve("")
_SOURCES = ("distribution", "advisory", "cve")
_NAMED_AT_ONCE = 5


def match(
    packages: Sequence[Package] | Inventory, snapshot: AdvisorySnapshot, ecosystems: Sequence[Ecosystem]
) -> Matches:
    """What these packages suffer by this snapshot. Packages with an owner are left to their distribution's
    advisories."""
    return Matcher(snapshot, ecosystems).match(packages.packages if isinstance(packages, Inventory) else packages)


def with_versions(inventory: Inventory, versions: Mapping[str, str]) -> Inventory:
    """The inventory as it would be with some packages (by purl) at other versions of their source.

    The purls stay as they are: they say which package was raised.
    """
    return replace(inventory, packages=tuple(_at(package, versions) for package in inventory.packages))


class Matcher:
    """A snapshot made ready to be asked about many package lists."""

    def __init__(self, snapshot: AdvisorySnapshot, ecosystems: Sequence[Ecosystem]) -> None:
        self._orders = Orders(ecosystems)
        self._coverage = {coverage.ecosystem: coverage for coverage in snapshot.coverage}
        self._cves = {cve.id: cve for cve in snapshot.cves}
        self._advisories: dict[tuple[str, str], list[Advisory]] = {}
        for advisory in snapshot.advisories:
            if advisory.withdrawn:
                continue
            self._advisories.setdefault((_base(advisory.ecosystem), advisory.name), []).append(advisory)
        self._said: dict[tuple[str, str, str], tuple[Names, list[tuple[str, list[Advisory]]]]] = {}
        self._judged: dict[tuple[str, str, str, str, str], tuple[list[Finding], list[Undetermined]]] = {}

    def match(self, packages: Sequence[Package]) -> Matches:
        ours = [package for package in packages if not package.owner]
        findings: dict[tuple[str, str, str], Finding] = {}
        undetermined = set(self._uncovered(ours))
        for package in ours:
            suffered, doubts = self._judge(package)
            for finding in suffered:
                own = finding if finding.package is package else finding.of(package)
                findings[package.purl, package.path, finding.id] = own
            undetermined.update(replace(doubt, subject=package.purl) for doubt in doubts)
        return Matches(
            tuple(sorted(findings.values(), key=_worst_first)),
            tuple(sorted(undetermined, key=lambda entry: (entry.kind, entry.subject, entry.reason))),
        )

    def known(self, package: Package) -> int:
        """How many vulnerabilities advisories tell of in the package's release, whichever versions suffer from them."""
        return len(self._told(package)[1])

    def compare(self, ecosystem: str, one: str, other: str) -> int:
        """-1, 0 or 1. Raises UncomparableError."""
        return self._orders.compare(ecosystem, one, other)

    def _judge(self, package: Package) -> tuple[list[Finding], list[Undetermined]]:
        """Findings and doubts, once for all packages of one source, version and module."""
        source = package.ecosystem, package.source_name, package.source_version, package.module, package.imports
        if source not in self._judged:
            self._judged[source] = self._judge_source(package)
        return self._judged[source]

    def _judge_source(self, package: Package) -> tuple[list[Finding], list[Undetermined]]:
        order = self._orders.of(package.ecosystem)
        findings: list[Finding] = []
        doubts: dict[str, list[str]] = {}
        names, subjects = self._told(package)
        for subject, advisories in subjects:
            affecting: list[Advisory] = []
            doubt = ""
            for advisory in advisories:
                try:
                    if order.affects(advisory, package.source_version):
                        affecting.append(advisory)
                except UncomparableError as error:
                    doubt = str(error)
            if affecting:
                findings.append(self._finding(subject, package, affecting, advisories, order, names))
            elif not any(advisory.ranges or advisory.versions for advisory in advisories):
                doubts.setdefault("It names no version.", []).append(_known_as(subject, advisories, names)[0])
            elif doubt:
                doubts.setdefault(doubt, []).append(_known_as(subject, advisories, names)[0])
        who = f"{package.source_name} {package.source_version}".strip()
        return findings, [
            Undetermined("", f"{who} cannot be compared with {_some(ids)}: {why}", "uncomparable", tuple(ids))
            for why, ids in doubts.items()
        ]

    def _told(self, package: Package) -> tuple[Names, list[tuple[str, list[Advisory]]]]:
        """What is said of the package in its release and module, by vulnerability, once for all of its versions; and
        the names of these alone: what a package suffers does not hang on its company."""
        key = package.ecosystem, package.source_name, package.module
        if key not in self._said:
            told = [
                advisory
                for advisory in self._advisories.get((_base(package.ecosystem), package.source_name), ())
                if (not advisory.module or package.module in (ANY_MODULE, advisory.module))
                and _same_release(advisory.ecosystem, package.ecosystem)
            ]
            names = Names(told)
            self._said[key] = names, sorted(_by_subject(told, names).items())
        return self._said[key]

    def _finding(
        self,
        subject: str,
        package: Package,
        affecting: list[Advisory],
        advisories: list[Advisory],
        order: Order,
        names: Names,
    ) -> Finding:
        """What is said of this vulnerability alone goes before what a bulletin says of several."""
        if len(affecting) > 1:
            affecting = sorted(affecting, key=lambda row: (names.is_bulletin(row), by_renown(row.id)))
        own = [row for row in affecting if not names.is_bulletin(row)]
        identity, *aliases = _known_as(subject, affecting, names)
        fixed = _fixed(package.source_version, affecting, advisories, order)
        cves = [self._cves[name] for name in (identity, *aliases) if name in self._cves]
        rating = _rating(own, []) or _rating(affecting, cves) or _UNTRIAGED
        known = _joined(cves)
        disputed = any(row.disputed for row in own)
        published = min([row.published for row in affecting if row.published], default="")
        # By place, for an image may have thousands: by name it takes half as long again.
        return Finding(
            identity,
            tuple(aliases),
            package,
            rating.severity,
            rating,
            fixed,
            "" if fixed else _note(affecting),
            known.exploited,
            known.due,
            known.epss,
            known.percentile,
            disputed,
            published,
            _fixed_at(affecting) if fixed else "",
            next((row.summary for row in affecting if row.summary), ""),
            _reachable(package, affecting) if package.imports else "",
        )

    def _uncovered(self, packages: Sequence[Package]) -> list[Undetermined]:
        wanted: dict[str, dict[str, Package]] = {}
        for package in packages:
            wanted.setdefault(package.ecosystem, {}).setdefault(package.source_name, package)
        entries: list[Undetermined] = []
        for ecosystem, by_name in wanted.items():
            coverage = self._coverage.get(ecosystem)
            if coverage is None:
                entries.append(_no_feed(ecosystem, sorted(by_name)))
            elif not coverage.complete:
                entries += _not_named(coverage, by_name)
        return entries


def _by_subject(told: list[Advisory], names: Names) -> dict[str, list[Advisory]]:
    found: dict[str, list[Advisory]] = {}
    for advisory in told:
        for subject in names.subjects(advisory):
            found.setdefault(subject, []).append(advisory)
    return found


def _known_as(subject: str, advisories: list[Advisory], names: Names) -> list[str]:
    """All names of a vulnerability, the best known first."""
    group = names.group(subject)
    known = set(group)
    for advisory in advisories:
        if advisory.id not in group:
            known |= {advisory.id} if names.is_bulletin(advisory) else names.group(advisory.id)
    return sorted(known, key=by_renown) if len(known) > 1 else [*known]


def _no_feed(ecosystem: str, names: list[str]) -> Undetermined:
    if not ecosystem:
        return Undetermined("/", f"The distribution is not known, so {_some(names)} cannot be judged.", "uncovered")
    reason = f"The advisory database has no feed for {ecosystem}, so {_some(names)} cannot be judged."
    return Undetermined(ecosystem, reason, "uncovered")


def _not_named(coverage: Coverage, by_name: dict[str, Package]) -> list[Undetermined]:
    feed = f"The advisory database's feed for {coverage.ecosystem} is partial and does not speak of"
    missing = sorted(by_name.keys() - set(coverage.names))
    if len(missing) > _NAMED_AT_ONCE:
        return [Undetermined(coverage.ecosystem, f"{feed} {_some(missing)}.", "uncovered")]
    return [Undetermined(by_name[name].purl, f"{feed} {name}.", "uncovered") for name in missing]


def _fixed(version: str, affecting: list[Advisory], advisories: list[Advisory], order: Order) -> str:
    """The lowest version free of all that these advisories say, "" when none of them names one.

    An advisory that names no fix does not take back another's. Where they contradict each other at every version, the
    highest of their lowest fixes stands: a finding with a fix is the one that counts.
    """
    if len(advisories) == 1:
        return order.fix(advisories[0], version)
    lowest = {id(row): fix for row in affecting if (fix := order.fix(row, version))}
    if not lowest:
        return ""
    floor = max(lowest.values(), key=order.point)
    closing = [row for row in advisories if id(row) in lowest or row not in affecting]
    later = {fix for row in closing for fix in order.fixes(row, floor)}
    candidates = [floor, *sorted(later, key=lambda fix: (order.point(fix), fix))]
    return next((fix for fix in candidates if not any(order.surely_affects(row, fix) for row in closing)), floor)


def _reachable(package: Package, affecting: list[Advisory]) -> str:
    """Whether the program holds one of the packages that these advisories name; "" where none names any."""
    vulnerable = {path for row in affecting for path in row.imports}
    if not vulnerable:
        return ""
    return "no" if vulnerable.isdisjoint(package.imports.split()) else "yes"


def _joined(cves: list[Cve]) -> Cve:
    """The worst that is known of any of them."""
    if len(cves) < 2:
        return cves[0] if cves else _UNKNOWN
    return Cve(
        "",
        exploited=min([cve.exploited for cve in cves if cve.exploited], default=""),
        due=min([cve.due for cve in cves if cve.due], default=""),
        epss=max([cve.epss for cve in cves]),
        percentile=max([cve.percentile for cve in cves]),
    )


def _fixed_at(affecting: list[Advisory]) -> str:
    """When the first of these that name a fix, as one of them does, appeared."""
    if len(affecting) == 1:
        return affecting[0].published
    named = [
        row.published
        for row in affecting
        if row.published and any(kind == "fixed" for span in row.ranges for kind, _ in span.events)
    ]
    return min(named, default="")


def _note(affecting: list[Advisory]) -> str:
    """The distribution's own note when there is no fix, else whether the advisories say anything about one.

    A range that ends with `last_affected` or a `limit` implies that later versions are unaffected without naming a fix
    (OSV schema, "affected[].ranges[].events fields"), so it does not say that there is none."""
    if note := next((row.note for row in affecting if row.note), ""):
        return note
    events = [event for row in affecting for span in row.ranges for event in span.events]
    if any(kind in ("last_affected", "limit") and version != "*" for kind, version in events):
        return FIX_NOT_TOLD
    return "" if events else VERSIONS_ONLY


def _rating(advisories: list[Advisory], cves: list[Cve]) -> Rating | None:
    """The rating that goes before all others of these."""
    given = [row.ratings[0] for row in advisories if row.ratings]
    given += [cve.rating for cve in cves if cve.rating]
    return min(given, key=_preference) if len(given) > 1 else next(iter(given), None)


def _preference(rating: Rating) -> tuple[int, int, float]:
    """The distribution's word, then the advisory's, then the CVE record's; of equals the worst."""
    source = _SOURCES.index(rating.source) if rating.source in _SOURCES else len(_SOURCES)
    return source, rating.severity.rank, -rating.score


def _worst_first(finding: Finding) -> tuple[int, tuple[int, str], str, str, str]:
    package = finding.package
    return finding.severity.rank, by_renown(finding.id), package.name, package.purl, package.path


def _at(package: Package, versions: Mapping[str, str]) -> Package:
    version = versions.get(package.purl)
    return package if version is None else replace(package, version=version, source_version=version)


def _base(ecosystem: str) -> str:
    return ecosystem.partition(":")[0]


def _same_release(one: str, other: str) -> bool:
    """Of two ecosystems with the same base: OSV compares the releases only where both have one."""
    first, second = one.partition(":")[2], other.partition(":")[2]
    return not first or not second or first == second


def _some(names: Sequence[str]) -> str:
    named = ", ".join(names[:_NAMED_AT_ONCE])
    return named if len(names) <= _NAMED_AT_ONCE else f"{named} and {len(names) - _NAMED_AT_ONCE} more"
