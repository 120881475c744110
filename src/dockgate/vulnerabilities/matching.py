"""Match packages with advisories: find the vulnerabilities of each package. Pure.

Follows the evaluation of the OSV schema (1.7) where it says enough. Versions that cannot be compared, and packages that
the database does not cover, are undetermined, never "not affected".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dockgate.scanner.model import ANY_MODULE, Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UncomparableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.aliases import AliasIndex, rank_alias
from dockgate.vulnerabilities.model import (
    FIX_UNKNOWN,
    VERSIONS_ONLY,
    Advisory,
    AdvisorySnapshot,
    Coverage,
    Cve,
    Finding,
    Matches,
    Rating,
    Severity,
    UndeterminedFact,
    is_same_ecosystem,
    rank_score,
    rank_undetermined,
    select_highest_score,
    strip_release,
)
from dockgate.vulnerabilities.ports import PackageMatcher
from dockgate.vulnerabilities.versions import Order, Orders

_UNTRIAGED_RATING = Rating(None, Severity.UNTRIAGED)
_NO_CVE = Cve("")
_SOURCES = ("distribution", "advisory", "cve")
_NAMED_AT_ONCE = 5
# Findings of one package list, and of all platforms of an image together; the images with the most have some ten
# thousand. Without a limit, a layer of a few kilobytes, with thousands of copies of a package that has hundreds of
# advisories, takes gigabytes of memory.
FINDINGS_LIMIT = 50_000
TOO_MANY_FINDINGS = UndeterminedFact(
    "/",
    f"The image has more than {FINDINGS_LIMIT:,} findings: not all are listed.",
    advice="Remove packages with many vulnerabilities, or copies of them, from the image.",
)


def set_versions(inventory: Inventory, versions: Mapping[str, str]) -> Inventory:
    """The inventory with some packages (by purl) at other versions of their source.

    The purls do not change: they identify the upgraded packages.
    """
    packages = (
        replace(package, version=versions[package.purl], source_version=versions[package.purl])
        if package.purl in versions
        else package
        for package in inventory.packages
    )
    return replace(inventory, packages=tuple(packages))


def count_listed(findings: Sequence[Finding], undetermined_entries: Sequence[UndeterminedFact]) -> int:
    """The number of findings, and of undetermined vulnerabilities."""
    return len(findings) + sum(len(entry.ids) for entry in undetermined_entries)


def limit_findings(matches: Matches, limit: int) -> Matches:
    """The matches, or the most severe findings with TOO_MANY_FINDINGS if there are more than the limit."""
    if count_listed(matches.findings, matches.undetermined) <= limit:
        return matches
    entries = {entry for entry in matches.undetermined if not entry.ids} | {TOO_MANY_FINDINGS}
    return Matches(matches.findings[:limit], tuple(sorted(entries, key=rank_undetermined)))


class Matcher(PackageMatcher):
    """A snapshot, indexed to match many package lists."""

    def __init__(self, snapshot: AdvisorySnapshot, ecosystems: Sequence[Ecosystem]) -> None:
        self._orders = Orders(ecosystems)
        self._coverage = {coverage.ecosystem: coverage for coverage in snapshot.coverage}
        self._cves = {cve.id: cve for cve in snapshot.cves}
        self._advisories: dict[tuple[str, str], list[Advisory]] = {}
        for advisory in snapshot.advisories:
            if advisory.withdrawn:
                continue
            self._advisories.setdefault((strip_release(advisory.ecosystem), advisory.name), []).append(advisory)
        self._by_source: dict[tuple[str, str, str | None], tuple[AliasIndex, list[tuple[str, list[Advisory]]]]] = {}
        self._results: dict[tuple[str | None, ...], tuple[list[Finding], list[UndeterminedFact]]] = {}

    @override
    def match(self, packages: Sequence[Package]) -> Matches:
        """Match packages with the advisories.

        Those that a distribution's package owns are left to its advisories. Above FINDINGS_LIMIT, of findings or of
        undetermined vulnerabilities, the list is incomplete, and undetermined.
        """
        unowned_packages = [package for package in packages if not package.owner]
        findings: dict[tuple[str, str, str], Finding] = {}
        undetermined_entries = set(self._report_uncovered(unowned_packages))
        possible = 0
        for package in unowned_packages:
            package_findings, package_entries = self._judge(package)
            new_entries = {replace(entry, subject=package.purl) for entry in package_entries} - undetermined_entries
            possible += sum(len(entry.ids) for entry in new_entries)
            if max(len(findings) + len(package_findings), possible) > FINDINGS_LIMIT:
                undetermined_entries.add(TOO_MANY_FINDINGS)
                break
            # What a Go program imports may be long, and no reader of findings needs it.
            listed_package = replace(package, imports=None) if package.imports else package
            for finding in package_findings:
                placed_finding = finding if finding.package is listed_package else finding.with_package(listed_package)
                findings[package.purl, package.path, finding.id] = placed_finding
            undetermined_entries |= new_entries
        return Matches(
            tuple(sorted(findings.values(), key=rank_finding)),
            tuple(sorted(undetermined_entries, key=rank_undetermined)),
        )

    def count_vulnerabilities(self, package: Package) -> int:
        """The number of vulnerabilities with an advisory for the package's release.

        The versions that they affect do not count.
        """
        return len(self._select_advisories(package)[1])

    def select_records(self, package: Package) -> tuple[Sequence[Advisory], Sequence[Cve]]:
        """Return the advisories for any version of the package, and the facts about their CVEs."""
        _, subjects = self._select_advisories(package)
        advisories = [advisory for _, subject_advisories in subjects for advisory in subject_advisories]
        names = {name for entry in advisories for name in (entry.id, *entry.aliases, *entry.upstream)}
        return advisories, [self._cves[name] for name in names if name in self._cves]

    @override
    def compare(self, ecosystem: str, first: str, second: str) -> int:
        """-1, 0 or 1. Raises UncomparableError."""
        return self._orders.compare(ecosystem, first, second)

    def _judge(self, package: Package) -> tuple[list[Finding], list[UndeterminedFact]]:
        """Findings and undetermined entries, computed once for all packages of one source, version and module."""
        source = package.ecosystem, package.source_name, package.source_version, package.module, package.imports
        if source not in self._results:
            self._results[source] = self._judge_source(package)
        return self._results[source]

    def _judge_source(self, package: Package) -> tuple[list[Finding], list[UndeterminedFact]]:
        order = self._orders.get_order(package.ecosystem)
        findings: list[Finding] = []
        ids_by_reason: dict[str, list[str]] = {}
        names, subjects = self._select_advisories(package)
        for subject, advisories in subjects:
            affecting: list[Advisory] = []
            problem = ""
            for advisory in advisories:
                try:
                    if order.is_affected(advisory, package.source_version):
                        affecting.append(advisory)
                except UncomparableError as error:
                    problem = str(error)
            if affecting:
                findings.append(self._make_finding(subject, package, affecting, advisories, order, names))
            elif not any(advisory.ranges or advisory.versions for advisory in advisories):
                ids_by_reason.setdefault("the advisory lists no version", []).append(
                    _collect_names(subject, advisories, names)[0]
                )
            elif problem:
                ids_by_reason.setdefault(problem, []).append(_collect_names(subject, advisories, names)[0])
        package_name = f"{package.source_name} {package.source_version}".strip()
        return findings, [
            UndeterminedFact(
                "", f"{package_name} cannot be compared with {_list_names(ids)}: {reason}.", "uncomparable", tuple(ids)
            )
            for reason, ids in ids_by_reason.items()
        ]

    def _select_advisories(self, package: Package) -> tuple[AliasIndex, list[tuple[str, list[Advisory]]]]:
        """The advisories for the package's release and module, by vulnerability, and the aliases of these alone.

        The findings of a package therefore do not depend on other packages in the image.
        """
        key = package.ecosystem, package.source_name, package.module
        if key not in self._by_source:
            advisories = [
                advisory
                for advisory in self._advisories.get((strip_release(package.ecosystem), package.source_name), ())
                if (not advisory.module or package.module in (ANY_MODULE, advisory.module))
                and is_same_ecosystem(advisory.ecosystem, package.ecosystem)
            ]
            names = AliasIndex(advisories)
            by_subject: dict[str, list[Advisory]] = {}
            for advisory in advisories:
                for subject in names.get_subjects(advisory):
                    by_subject.setdefault(subject, []).append(advisory)
            self._by_source[key] = names, sorted(by_subject.items())
        return self._by_source[key]

    def _make_finding(
        self,
        subject: str,
        package: Package,
        affecting: list[Advisory],
        advisories: list[Advisory],
        order: Order,
        names: AliasIndex,
    ) -> Finding:
        """The finding from the affecting advisories. Those about this vulnerability alone go before bulletins."""
        if len(affecting) > 1:
            affecting = sorted(affecting, key=lambda row: (names.is_bulletin(row), rank_alias(row.id)))
        own_advisories = [row for row in affecting if not names.is_bulletin(row)]
        identity, *aliases = _collect_names(subject, affecting, names)
        fixed_version = _find_fixed_version(package.source_version, affecting, advisories, order)
        cves = [self._cves[name] for name in (identity, *aliases) if name in self._cves]
        rating = _select_best_rating(own_advisories, []) or _select_best_rating(affecting, cves) or _UNTRIAGED_RATING
        worst_facts = combine_cves(cves)
        is_disputed = any(row.is_disputed for row in own_advisories)
        published_at = min([row.published for row in affecting if row.published], default=None)
        # Positional arguments: an image may have thousands, and keywords take 50% longer.
        return Finding(
            identity,
            tuple(aliases),
            package,
            rating.severity,
            rating,
            fixed_version,
            None if fixed_version else _choose_note(affecting),
            worst_facts.exploited,
            worst_facts.due,
            worst_facts.epss,
            worst_facts.percentile,
            is_disputed,
            published_at,
            _find_fix_date(affecting) if fixed_version else None,
            next((row.summary for row in affecting if row.summary), None),
            _judge_reachability(package.imports, affecting) if package.imports else None,
        )

    def _report_uncovered(self, packages: Sequence[Package]) -> list[UndeterminedFact]:
        packages_by_name: dict[str, dict[str, Package]] = {}
        for package in packages:
            packages_by_name.setdefault(package.ecosystem, {}).setdefault(package.source_name, package)
        entries: list[UndeterminedFact] = []
        for ecosystem, by_name in packages_by_name.items():
            coverage = self._coverage.get(ecosystem)
            if coverage is None:
                entries.append(_report_no_feed(ecosystem, sorted(by_name)))
            elif not coverage.is_complete:
                entries += _report_unnamed(coverage, by_name)
        return entries


def _collect_names(subject: str, advisories: list[Advisory], names: AliasIndex) -> list[str]:
    """All names of a vulnerability, the best known first."""
    group = names.get_group(subject)
    all_names = set(group)
    for advisory in advisories:
        if advisory.id not in group:
            all_names |= {advisory.id} if names.is_bulletin(advisory) else names.get_group(advisory.id)
    return sorted(all_names, key=rank_alias) if len(all_names) > 1 else [*all_names]


def _report_no_feed(ecosystem: str, names: list[str]) -> UndeterminedFact:
    if not ecosystem:
        return UndeterminedFact(
            "/", f"The distribution is unknown, so {_list_names(names)} cannot be judged.", "uncovered"
        )
    reason = f"The advisory database has no feed for {ecosystem}, so {_list_names(names)} cannot be judged."
    return UndeterminedFact(ecosystem, reason, "uncovered")


def _report_unnamed(coverage: Coverage, by_name: dict[str, Package]) -> list[UndeterminedFact]:
    feed = f"The advisory database's feed for {coverage.ecosystem} is partial and does not cover"
    missing_names = sorted(by_name.keys() - set(coverage.names))
    if len(missing_names) > _NAMED_AT_ONCE:
        return [UndeterminedFact(coverage.ecosystem, f"{feed} {_list_names(missing_names)}.", "uncovered")]
    return [UndeterminedFact(by_name[name].purl, f"{feed} {name}.", "uncovered") for name in missing_names]


def _find_fixed_version(
    version: str, affecting: list[Advisory], advisories: list[Advisory], order: Order
) -> str | None:
    """The lowest version that no advisory calls affected, None if none of them names a fix.

    An advisory without a fix does not cancel the fix of another. If the advisories contradict each other at every
    version, the highest of their lowest fixes counts.
    """
    if len(advisories) == 1:
        return order.find_fix(advisories[0], version)
    lowest_fixes = {id(row): fix for row in affecting if (fix := order.find_fix(row, version))}
    if not lowest_fixes:
        return None
    floor = max(lowest_fixes.values(), key=order.get_point)
    closing = [row for row in advisories if id(row) in lowest_fixes or row not in affecting]
    later_fixes = {fix for row in closing for fix in order.list_fixes(row, floor)}
    candidates = [floor, *sorted(later_fixes, key=lambda fix: (order.get_point(fix), fix))]
    return next((fix for fix in candidates if not any(order.is_surely_affected(row, fix) for row in closing)), floor)


def _judge_reachability(imports: str, affecting: list[Advisory]) -> str | None:
    """Return "yes" if the program contains a vulnerable package, or "no"; None if none is named."""
    vulnerable = {path for row in affecting for path in row.imports}
    if not vulnerable:
        return None
    return "no" if vulnerable.isdisjoint(imports.split()) else "yes"


def combine_cves(cves: Sequence[Cve]) -> Cve:
    """The worst value of each field."""
    if len(cves) < 2:
        return cves[0] if cves else _NO_CVE
    return Cve(
        "",
        exploited=min([cve.exploited for cve in cves if cve.exploited], default=None),
        due=min([cve.due for cve in cves if cve.due], default=None),
        epss=select_highest_score(cve.epss for cve in cves),
        percentile=select_highest_score(cve.percentile for cve in cves),
    )


def _find_fix_date(affecting: list[Advisory]) -> str | None:
    """The publication of the first advisory that names a fix; at least one does."""
    if len(affecting) == 1:
        return affecting[0].published
    dates = [
        row.published
        for row in affecting
        if row.published and any(kind == "fixed" for span in row.ranges for kind, _ in span.events)
    ]
    return min(dates, default=None)


def _choose_note(affecting: list[Advisory]) -> str | None:
    """The distribution's note on a missing fix, else whether the advisories say anything about a fix.

    A range that ends with `last_affected` or a `limit` implies that later versions are unaffected without naming a fix
    (OSV schema, "affected[].ranges[].events fields"), so the fix is unknown.
    """
    if note := next((row.note for row in affecting if row.note), None):
        return note
    events = [event for row in affecting for span in row.ranges for event in span.events]
    if any(kind in ("last_affected", "limit") and version != "*" for kind, version in events):
        return FIX_UNKNOWN
    return None if events else VERSIONS_ONLY


def _select_best_rating(advisories: list[Advisory], cves: list[Cve]) -> Rating | None:
    """The preferred rating."""
    ratings = [row.ratings[0] for row in advisories if row.ratings]
    ratings += [cve.rating for cve in cves if cve.rating]
    return select_preferred_rating(ratings)


def select_preferred_rating(ratings: Sequence[Rating]) -> Rating | None:
    """The rating that counts of several, or None."""
    return min(ratings, key=_rank_rating) if len(ratings) > 1 else next(iter(ratings), None)


def _rank_rating(rating: Rating) -> tuple[int, int, float]:
    """The distribution's rating first, then the advisory's, then the CVE record's; among equals the worst."""
    source = _SOURCES.index(rating.source) if rating.source in _SOURCES else len(_SOURCES)
    return source, rating.severity.rank, rank_score(rating.score)


def rank_finding(finding: Finding) -> tuple[int, tuple[int, str], str, str, str]:
    """The key that sorts findings as `Matches` has them."""
    package = finding.package
    return finding.severity.rank, rank_alias(finding.id), package.name, package.purl, package.path


def _list_names(names: Sequence[str]) -> str:
    text = ", ".join(names[:_NAMED_AT_ONCE])
    return text if len(names) <= _NAMED_AT_ONCE else f"{text} and {len(names) - _NAMED_AT_ONCE} more"
