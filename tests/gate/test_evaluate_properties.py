"""What holds of every verdict, whatever the image, the advisories and the policy."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.samples import CHECKED, COVERED, ECOSYSTEMS, build_policy, judge, make_inventory, make_package

from dockgate.gate.model import PlatformVerdict, Policy, Status
from dockgate.scanner.model import Inventory, Package, Unread
from dockgate.shared import canonical
from dockgate.vulnerabilities.matching import Matcher, set_versions
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Coverage, Finding, Range, Rating, Severity

NAMES = ("a", "b", "c")
VERSIONS = tuple(f"{major}.{minor}.0" for major in (1, 2) for minor in range(4))

versions = st.sampled_from(VERSIONS)
packages = st.builds(make_package, st.sampled_from(NAMES), st.one_of(versions, st.just("odd")))
unread_strategy = st.lists(st.just(Unread("app/x", "The file ends too early.")), max_size=1).map(tuple)


@st.composite
def draw_inventory(draw: st.DrawFn) -> Inventory:
    chosen_packages: list[Package] = draw(
        st.lists(packages, min_size=1, max_size=4, unique_by=lambda entry: entry.purl)
    )
    return make_inventory(*sorted(chosen_packages, key=lambda entry: entry.purl), unread_paths=draw(unread_strategy))


@st.composite
def draw_advisories(draw: st.DrawFn, prefix: str = "") -> list[Advisory]:
    result: list[Advisory] = []
    for number in range(draw(st.integers(0, 5))):
        events: list[tuple[str, str]] = []
        for _ in range(draw(st.integers(1, 2))):
            events.append(("introduced", draw(st.one_of(st.just("0"), versions))))
            if draw(st.integers(0, 4)):
                events.append((draw(st.sampled_from(("fixed", "fixed", "last_affected"))), draw(versions)))
        severity = draw(st.sampled_from(Severity))
        identity = draw(st.sampled_from(("CVE", "CVE", "CVE", "GHSA", "MAL"))) + f"-2024-{prefix}{number}"
        result.append(
            Advisory(
                identity,
                "npm",
                draw(st.sampled_from(NAMES)),
                (Range("SEMVER", tuple(events)),),
                aliases=tuple(draw(st.lists(st.sampled_from([entry.id for entry in result]), max_size=1)))
                if result
                else (),
                ratings=() if severity is Severity.UNTRIAGED else (Rating("advisory", severity),),
            )
        )
    return result


def list_violating_findings(platform_verdict: PlatformVerdict) -> list[Finding]:
    return [finding for violation in platform_verdict.violations for finding in violation.findings]


limits = st.fixed_dictionaries(
    {"HIGH": st.integers(0, 2)},
    optional={"CRITICAL": st.integers(0, 2), "LOW": st.integers(0, 2), "only_fixable": st.booleans()},
)
policies = limits.map(lambda limit: build_policy(max_findings=limit))
coverage = st.lists(
    st.builds(
        Coverage,
        st.just("npm"),
        st.booleans(),
        st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
        st.sampled_from((CHECKED, "2026-01-01T00:00:00Z", None)),
    ),
    max_size=1,
).map(tuple)


@given(st.lists(draw_inventory(), max_size=2), draw_advisories(), policies, coverage)
@settings(max_examples=30, deadline=None)
def test_the_order_of_inputs_does_not_change_the_bytes(
    unnamed_inventories: list[Inventory], published: list[Advisory], under: Policy, coverages: tuple[Coverage, ...]
) -> None:
    named_inventories = [
        replace(inventory, platform=f"linux/{number}") for number, inventory in enumerate(unnamed_inventories)
    ]
    first = judge(named_inventories, published, under, coverages)
    reversed_verdict = judge(list(reversed(named_inventories)), published, under, coverages)
    assert canonical.encode(first) == canonical.encode(reversed_verdict)
    shuffled_verdict = judge(named_inventories, list(reversed(published)), under, coverages)
    assert canonical.encode(first.platform_verdicts) == canonical.encode(shuffled_verdict.platform_verdicts)


@given(draw_inventory(), draw_advisories(), draw_advisories(prefix="9"), policies, coverage)
@settings(max_examples=30, deadline=None)
def test_one_more_finding_never_approves(
    inventory: Inventory,
    published: list[Advisory],
    added_advisories: list[Advisory],
    under: Policy,
    coverages: tuple[Coverage, ...],
) -> None:
    before, after = (
        judge(inventory, published, under, coverages),
        judge(inventory, [*published, *added_advisories], under, coverages),
    )
    if before.status is not Status.APPROVED:
        assert after.status is not Status.APPROVED
    if before.status is Status.REJECTED:
        assert after.status is Status.REJECTED


@given(draw_inventory(), draw_advisories(), policies, coverage, st.sets(st.sampled_from(NAMES)))
@settings(max_examples=30, deadline=None)
def test_less_coverage_never_approves(
    inventory: Inventory, published: list[Advisory], under: Policy, coverages: tuple[Coverage, ...], fewer: set[str]
) -> None:
    before = judge(inventory, published, under, coverages).status
    weaker = [
        (),
        tuple(replace(coverage, is_complete=False) for coverage in coverages),
        tuple(replace(coverage, is_complete=False, names=tuple(set(coverage.names) - fewer)) for coverage in coverages),
        tuple(replace(coverage, checked_at="2026-01-01T00:00:00Z") for coverage in coverages),
    ]
    if before is not Status.APPROVED:
        assert all(judge(inventory, published, under, less).status is not Status.APPROVED for less in weaker)


@given(draw_inventory(), draw_advisories(), policies, coverage)
@settings(max_examples=30, deadline=None)
def test_unread_content_always_blocks_and_never_approves(
    inventory: Inventory, published: list[Advisory], under: Policy, coverages: tuple[Coverage, ...]
) -> None:
    damaged_inventory = replace(inventory, unread=(*inventory.unread, Unread("var/lib/dpkg/status", "It is gone.")))
    assert judge(damaged_inventory, published, under, coverages).status is not Status.APPROVED


def group_by_rule(platform_verdict: PlatformVerdict) -> set[tuple[str, str, str]]:
    """What breaks which rule: a finding that is worse at another version may break another."""
    return {
        (violation.rule, finding.package.purl, finding.id)
        for violation in platform_verdict.violations
        for finding in violation.findings
    }


def iterate_upgrades(inventory: Inventory, published: list[Advisory], highest_count: int) -> Iterator[dict[str, str]]:
    """All ways to bring at most so many packages to versions that their findings name as fixed, at the version that is
    installed or at one of these."""
    matcher = Matcher(AdvisorySnapshot(tuple(published), COVERED), ECOSYSTEMS)
    fixed = {package.purl: sorted(_list_fixes(package, matcher)) for package in inventory.packages}
    for count in range(highest_count + 1):
        for chosen_packages in combinations(fixed, count):
            for versions in product(*(fixed[purl] for purl in chosen_packages)):
                yield dict(zip(chosen_packages, versions, strict=True))


def _list_fixes(item: Package, matcher: Matcher) -> set[str]:
    result: set[str] = set()
    waiting = [item]
    while waiting:
        content = waiting.pop()
        new_fixes = {finding.fixed for finding in matcher.match((content,)).findings if finding.fixed} - result
        result |= new_fixes
        waiting += [replace(item, version=version, source_version=version) for version in new_fixes]
    return result


@given(draw_inventory(), draw_advisories(), policies)
@settings(max_examples=40, deadline=None)
def test_the_remediation_is_sufficient_and_minimum(
    inventory: Inventory, published: list[Advisory], under: Policy
) -> None:
    """Checked against every set there is."""
    (platform_verdict,) = judge(inventory, published, under).platform_verdicts
    remediation = platform_verdict.remediation
    upgrades = {upgrade.package: upgrade.fixed for upgrade in remediation.upgrades}
    if remediation.is_sufficient:
        assert judge(set_versions(inventory, upgrades), published, under).status is Status.APPROVED
        assert remediation.is_minimum
    highest_count = len(upgrades) - 1 if remediation.is_sufficient else len(inventory.packages)
    if platform_verdict.status is not Status.APPROVED:
        for way in iterate_upgrades(inventory, published, highest_count):
            assert judge(set_versions(inventory, way), published, under).status is not Status.APPROVED, way


@given(draw_inventory(), draw_advisories(), policies)
@settings(max_examples=30, deadline=None)
def test_insufficient_upgrades_leave_the_least_and_name_obstacles(
    inventory: Inventory, published: list[Advisory], under: Policy
) -> None:
    (platform_verdict,) = judge(inventory, published, under).platform_verdicts
    remediation = platform_verdict.remediation
    if platform_verdict.status is Status.APPROVED or remediation.is_sufficient:
        assert remediation.obstacles == ()
        return
    upgrades = {upgrade.package: upgrade.fixed for upgrade in remediation.upgrades}
    (after,) = judge(set_versions(inventory, upgrades), published, under).platform_verdicts
    assert after.status is not Status.APPROVED
    remaining = {(finding.package.purl, finding.id) for finding in list_violating_findings(after)}
    assert remaining == {(obstacle.package, obstacle.id) for obstacle in remediation.obstacles if obstacle.id}
    assert {entry.reason for entry in after.undetermined} <= {obstacle.reason for obstacle in remediation.obstacles}
    for purl in upgrades:
        fewer = {second: version for second, version in upgrades.items() if second != purl}
        (without,) = judge(set_versions(inventory, fewer), published, under).platform_verdicts
        assert group_by_rule(without) - group_by_rule(after) or without.undetermined != after.undetermined


@given(draw_inventory(), draw_advisories(), policies)
@settings(max_examples=30, deadline=None)
def test_a_cleared_finding_is_gone_or_open_and_violates_nothing(
    inventory: Inventory, published: list[Advisory], under: Policy
) -> None:
    (platform_verdict,) = judge(inventory, published, under).platform_verdicts
    upgrades = {upgrade.package: upgrade.fixed for upgrade in platform_verdict.remediation.upgrades}
    (after,) = judge(set_versions(inventory, upgrades), published, under).platform_verdicts
    violating_findings = {(finding.package.purl, finding.id) for finding in list_violating_findings(after)}
    remaining = {(finding.package.purl, finding.id) for finding in after.findings if finding.fixed}
    for upgrade in platform_verdict.remediation.upgrades:
        # Where nothing turns it, the same finding may be left under a milder rule.
        assert upgrade.clears or not platform_verdict.remediation.is_sufficient
        assert not {(upgrade.package, name) for name in upgrade.clears} & (violating_findings | remaining)


@given(draw_inventory(), draw_advisories(), policies)
@settings(max_examples=30, deadline=None)
def test_counts_match_the_messages_of_violations(
    inventory: Inventory, published: list[Advisory], under: Policy
) -> None:
    (platform_verdict,) = judge(inventory, published, under).platform_verdicts
    assert list(platform_verdict.counts) == [severity.value for severity in Severity]
    for violation in platform_verdict.violations:
        if violation.rule == "max_findings":
            count, severity, *_ = violation.message.split()
            assert platform_verdict.counts[severity] == int(count) == len(violation.findings)
    assert sum(platform_verdict.counts.values()) <= len(platform_verdict.findings)
