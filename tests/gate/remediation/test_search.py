"""The remediation, case by case: which upgrades, to which versions, and what stands in the way."""

from dataclasses import replace

import pytest
from tests.gate.samples import (
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    build_policy,
    judge,
    limit_findings,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.gate import evaluate
from dockgate.gate.model import ExemptionSet, ExternalReport, Policy, Remediation, VerdictCase, Waiver
from dockgate.scanner.model import Inventory, Package, Unread
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Advisory, AdvisorySnapshot, Range, Rating, Severity

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


def search_remediation(inventory: Inventory, published: list[Advisory], under: Policy) -> Remediation:
    return judge(inventory, published, under).platform_verdicts[0].remediation


def list_upgraded_versions(result: Remediation) -> dict[str, str]:
    return {upgrade.name: upgrade.fixed for upgrade in result.upgrades}


def test_the_fewest_packages_are_upgraded_to_meet_a_limit() -> None:
    existing = [make_advisory(f"CVE-2024-{number}", "abbccc"[number], MEDIUM) for number in range(6)]
    result = search_remediation(make_inventory(*map(make_package, "abc")), existing, limit_findings(MEDIUM=3))
    assert (list_upgraded_versions(result), result.is_sufficient, result.is_minimum) == ({"c": "2.0.0"}, True, True)


def test_one_upgrade_that_meets_two_limits_replaces_two_smaller_ones() -> None:
    existing = [
        *(make_advisory(f"CVE-2024-1{number}", "a", MEDIUM) for number in range(3)),
        *(make_advisory(f"CVE-2024-2{number}", "b", LOW) for number in range(3)),
        *(make_advisory(f"CVE-2024-3{number}", "c", severity) for number, severity in enumerate((MEDIUM, LOW))),
    ]
    result = search_remediation(make_inventory(*map(make_package, "abc")), existing, limit_findings(MEDIUM=3, LOW=3))
    assert (list_upgraded_versions(result), result.is_minimum) == ({"c": "2.0.0"}, True)


def test_a_package_is_upgraded_to_the_lowest_sufficient_version() -> None:
    existing = [
        make_advisory("CVE-2024-1", "a", MEDIUM, fixed="1.1.0"),
        make_advisory("CVE-2024-2", "a", MEDIUM, fixed="1.2.0"),
        make_advisory("CVE-2024-3", "a", MEDIUM, fixed="3.0.0"),
    ]
    assert list_upgraded_versions(
        search_remediation(make_inventory(make_package("a")), existing, limit_findings(MEDIUM=2))
    ) == {"a": "1.1.0"}
    assert list_upgraded_versions(
        search_remediation(make_inventory(make_package("a")), existing, limit_findings(MEDIUM=1))
    ) == {"a": "1.2.0"}
    assert list_upgraded_versions(
        search_remediation(make_inventory(make_package("a")), existing, limit_findings(MEDIUM=0))
    ) == {"a": "3.0.0"}


def test_the_sufficient_one_of_two_imperfect_versions_is_chosen() -> None:
    existing = [
        make_advisory("CVE-2024-1", "a", CRITICAL, fixed="1.1.0"),
        make_advisory("CVE-2024-2", "a", CRITICAL, introduced_in="1.1.0", fixed="2.0.0"),
        make_advisory("CVE-2024-3", "a", LOW, introduced_in="2.0.0", fixed=""),
    ]
    assert (
        list_upgraded_versions(
            search_remediation(make_inventory(make_package("a")), existing, limit_findings(CRITICAL=0, LOW=0))
        )
        == {}
    )
    result = search_remediation(make_inventory(make_package("a")), existing, limit_findings(CRITICAL=0, LOW=1))
    assert (list_upgraded_versions(result), result.is_sufficient, result.is_minimum) == ({"a": "2.0.0"}, True, True)


def test_a_package_at_several_paths_is_one_upgrade() -> None:
    twice = make_package("a"), make_package("a", path="srv/node_modules/a/package.json")
    result = search_remediation(make_inventory(*twice), [make_advisory("CVE-2024-1", "a")], limit_findings(HIGH=0))
    assert list_upgraded_versions(result) == {"a": "2.0.0"}
    assert result.commands == ("cd /app && npm install a@2.0.0", "cd /srv && npm install a@2.0.0")


def place_packages_in_layers(*packages: tuple[str, str]) -> Inventory:
    """npm packages, each in "base" or "own"."""
    base, own_layer = "sha256:" + "b" * 64, "sha256:" + "c" * 64
    placed_packages = [
        replace(
            make_package(name, path=f"{whose}/node_modules/{name}/package.json"),
            layer=base if whose == "base" else own_layer,
        )
        for name, whose in packages
    ]
    return replace(make_inventory(*placed_packages), layers=(base, own_layer), base_layers=1)


def test_upgrades_of_own_packages_come_before_those_of_the_base_image() -> None:
    existing = [make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-2", "b"), make_advisory("CVE-2024-3", "c")]
    result = search_remediation(
        place_packages_in_layers(("a", "base"), ("b", "own"), ("c", "base"), ("c", "own")),
        existing,
        limit_findings(HIGH=0),
    )
    assert [(upgrade.name, upgrade.is_in_base) for upgrade in result.upgrades] == [
        ("b", False),
        ("c", False),
        ("a", True),
    ]
    assert result.base_commands == ("cd /base && npm install a@2.0.0",)
    assert result.commands == ("cd /base && npm install c@2.0.0", "cd /own && npm install b@2.0.0 c@2.0.0")
    choice = search_remediation(place_packages_in_layers(("a", "base"), ("b", "own")), existing, limit_findings(HIGH=1))
    assert [(upgrade.name, upgrade.is_in_base) for upgrade in choice.upgrades] == [("b", False)]


def test_above_twenty_candidates_the_result_is_irreducible_and_not_called_minimum() -> None:
    names = [f"p{number:02}" for number in range(21)]
    existing = [make_advisory(f"CVE-2024-{name}", name, MEDIUM) for name in names]
    result = search_remediation(make_inventory(*map(make_package, names)), existing, limit_findings(MEDIUM=10))
    assert (len(result.upgrades), result.is_sufficient, result.is_minimum) == (11, True, False)


def test_a_waived_finding_needs_no_upgrade() -> None:
    waiver = Waiver("w1", "ana", "It is never called.", "CVE-2024-1", until="2027-01-01T00:00:00Z")
    existing = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-2", "b")), COVERED)
    case = VerdictCase(
        IMAGE,
        limit_findings(HIGH=0),
        NOW,
        "0.1.0",
        (make_inventory(*map(make_package, "ab")),),
        existing,
        ExemptionSet((waiver,)),
    )
    assert list_upgraded_versions(evaluate.judge(case, ECOSYSTEMS, RULES).platform_verdicts[0].remediation) == {
        "b": "2.0.0"
    }


def test_findings_without_a_fix_are_obstacles_and_the_rest_is_cleared() -> None:
    existing = [
        make_advisory("CVE-2024-1", "a"),
        make_advisory("CVE-2024-2", "b", fixed=""),
        replace(make_advisory("CVE-2024-3", "c", fixed=""), note="wont-fix"),
        replace(make_advisory("CVE-2024-4", "d", fixed=""), note="end-of-life"),
        Advisory("CVE-2024-5", "npm", "e", (), ("1.0.0",), ratings=(Rating("advisory", HIGH),)),
        make_advisory("MAL-2024-6", "f", fixed=""),
    ]
    result = search_remediation(make_inventory(*map(make_package, "abcdef")), existing, limit_findings(HIGH=0))
    assert (list_upgraded_versions(result), result.is_sufficient, result.is_minimum) == ({"a": "2.0.0"}, False, False)
    assert [(obstacle.id, obstacle.package, obstacle.reason) for obstacle in result.obstacles] == [
        ("MAL-2024-6", "pkg:npm/f@1.0.0", "f 1.0.0 is malicious, by MAL-2024-6: remove it."),
        ("CVE-2024-2", "pkg:npm/b@1.0.0", "b 1.0.0: CVE-2024-2 has no fix yet."),
        (
            "CVE-2024-3",
            "pkg:npm/c@1.0.0",
            "c 1.0.0: CVE-2024-3 has no fix, and its maintainers do not plan one.",
        ),
        ("CVE-2024-4", "pkg:npm/d@1.0.0", "d 1.0.0: CVE-2024-4 has no fix: its release is past its end of life."),
        ("CVE-2024-5", "pkg:npm/e@1.0.0", "e 1.0.0: CVE-2024-5 has no fix in its advisories."),
    ]


def test_every_clearable_finding_is_cleared_if_a_limit_cannot_be_met() -> None:
    existing = [
        make_advisory("CVE-2024-1", "a"),
        make_advisory("CVE-2024-2", "b"),
        make_advisory("CVE-2024-3", "c", fixed=""),
    ]
    result = search_remediation(
        make_inventory(*map(make_package, "abc")),
        [*existing, make_advisory("CVE-2024-4", "c", fixed="")],
        limit_findings(HIGH=1),
    )
    assert (list_upgraded_versions(result), result.is_sufficient) == ({"a": "2.0.0", "b": "2.0.0"}, False)


def test_undetermined_entries_are_obstacles_with_and_without_a_violation() -> None:
    damaged_inventory = make_inventory(make_package("a"), unread_paths=(Unread("app/x", "app/x cannot be read."),))
    for existing, upgrades in (([make_advisory("CVE-2024-1", "a")], {"a": "2.0.0"}), ([], {})):
        result = search_remediation(damaged_inventory, existing, limit_findings(HIGH=0))
        assert (list_upgraded_versions(result), result.is_sufficient) == (upgrades, False)
        assert [obstacle.reason for obstacle in result.obstacles] == ["app/x cannot be read."]


@pytest.mark.parametrize("fixes", [("1.x", "2.y")])
def test_a_fix_that_cannot_be_compared_is_an_obstacle(fixes: tuple[str, str]) -> None:
    """As another scanner may report it, of an ecosystem without a version order here."""
    odd = Package("a", "odd", "pkg:swift/a@odd", "SwiftURL", "a", "odd", "Package.resolved")
    existing = AdvisorySnapshot((make_advisory("CVE-2024-1", "x"), make_advisory("CVE-2024-2", "x")), COVERED)
    content = Matcher(existing, ECOSYSTEMS).match(make_inventory(make_package("x")).packages)
    result = tuple(replace(item, package=odd, fixed=fix) for item, fix in zip(content.findings, fixes, strict=True))
    report = ExternalReport("grype", NOW, make_inventory(odd), replace(content, findings=result, undetermined=()))
    case = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", external_reports=(report,))
    (platform_verdict,) = evaluate.judge(case, ECOSYSTEMS, RULES).platform_verdicts
    assert platform_verdict.remediation.upgrades == ()
    assert [obstacle.reason for obstacle in platform_verdict.remediation.obstacles] == [
        "a odd: CVE-2024-1 is fixed in 1.x, and these versions cannot be compared.",
        "a odd: CVE-2024-2 is fixed in 2.y, and these versions cannot be compared.",
    ]


def test_an_approved_image_needs_no_upgrades() -> None:
    assert search_remediation(make_inventory(make_package("a")), [], limit_findings(HIGH=0)) == Remediation()


def test_few_versions_of_a_kernel_with_hundreds_of_fixes_are_tried() -> None:
    """Its highest fixed version is among them, and so it turns."""
    existing = [
        Advisory(
            f"CVE-2024-{number:04}",
            "npm",
            "a",
            (Range("SEMVER", (("introduced", "0"), ("fixed", f"2.{number}.0"))),),
            ratings=(Rating("advisory", HIGH),),
        )
        for number in range(300)
    ]
    assert list_upgraded_versions(
        search_remediation(make_inventory(make_package("a")), existing, limit_findings(HIGH=0))
    ) == {"a": "2.299.0"}


def test_many_packages_without_a_perfect_version_are_all_upgraded() -> None:
    """More than can be gone through in all ways."""
    names = [f"p{number}" for number in range(9)]
    existing = []
    for name in names:
        existing.append(make_advisory(f"CVE-2024-1{name}", name, HIGH, fixed="1.1.0"))
        existing.append(make_advisory(f"CVE-2024-2{name}", name, LOW, introduced_in="1.1.0", fixed=""))
    result = search_remediation(make_inventory(*map(make_package, names)), existing, limit_findings(HIGH=0, LOW=20))
    assert (list_upgraded_versions(result), result.is_sufficient, result.is_minimum) == (
        dict.fromkeys(names, "1.1.0"),
        True,
        False,
    )


def test_a_finding_without_a_fix_may_disappear_with_the_fix_of_another() -> None:
    ends = Advisory(
        "CVE-2024-1",
        "npm",
        "a",
        (Range("SEMVER", (("introduced", "0"), ("last_affected", "1.0.0"))),),
        ratings=(Rating("advisory", HIGH),),
    )
    result = search_remediation(
        make_inventory(make_package("a")), [ends, make_advisory("CVE-2024-2", "a", LOW)], limit_findings(HIGH=0)
    )
    assert (list_upgraded_versions(result), result.is_sufficient, result.is_minimum) == ({"a": "2.0.0"}, True, True)
    assert (
        search_remediation(make_inventory(make_package("a")), [ends], limit_findings(HIGH=0)).obstacles[0].id
        == "CVE-2024-1"
    )


def test_upgrades_clear_a_violation_without_findings_that_depends_on_them() -> None:
    when = "findings.filter(f, f.severity == 'HIGH').size() > 1"
    existing = [make_advisory(f"CVE-2024-{name}", name) for name in "abb"] + [
        make_advisory("CVE-2024-9", "c", CRITICAL)
    ]
    under = build_policy(expression={"when": when, "message": "Too many"}, max_findings={"CRITICAL": 0})
    content = make_inventory(*map(make_package, "abc"))
    result = search_remediation(
        content, [make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-2", "b"), *existing[3:]], under
    )
    assert (result.is_sufficient, result.is_minimum, len(result.upgrades)) == (True, True, 2)
    assert list_upgraded_versions(result)["c"] == "2.0.0"
    root_inventory = replace(content, user="root")
    stuck = search_remediation(root_inventory, existing, build_policy(runs_as_root={}))
    assert (stuck.upgrades, stuck.is_sufficient) == ((), False)


def test_a_waiver_of_a_version_does_not_cover_the_upgraded_one() -> None:
    existing = [make_advisory("CVE-2024-1", "a", fixed="1.5.0"), make_advisory("CVE-2024-2", "a", fixed="2.0.0")]
    waiver = Waiver("w1", "ana", "reason", "CVE-2024-2", package="pkg:npm/a@1.0.0", until="2026-12-01")
    case = VerdictCase(
        IMAGE,
        limit_findings(HIGH=0),
        NOW,
        "0.1.0",
        (make_inventory(make_package("a")),),
        AdvisorySnapshot(tuple(existing), COVERED),
    )
    (platform_verdict,) = evaluate.judge(
        replace(case, waivers=ExemptionSet((waiver,))), ECOSYSTEMS, RULES
    ).platform_verdicts
    assert list_upgraded_versions(platform_verdict.remediation) == {"a": "2.0.0"}


def test_a_rule_that_reports_only_the_worst_findings_passes_after_upgrades() -> None:
    existing = [
        make_advisory("CVE-2024-1", "a", CRITICAL),
        make_advisory("CVE-2024-2", "b"),
        make_advisory("CVE-2024-3", "c", LOW),
    ]
    result = search_remediation(make_inventory(*map(make_package, "abc")), existing, build_policy(reference_2022={}))
    assert (list_upgraded_versions(result), result.is_sufficient, result.is_minimum) == (
        {"a": "2.0.0", "b": "2.0.0"},
        True,
        True,
    )


def test_an_expression_sees_the_upgraded_version() -> None:
    existing = [make_advisory("CVE-2024-1", "a", fixed="1.5.0"), make_advisory("CVE-2024-2", "a", LOW, fixed="2.0.0")]
    broken_version = {"when": "packages.filter(p, p.purl == 'pkg:npm/a@1.5.0')", "message": "1.5.0 is broken"}
    result = search_remediation(
        make_inventory(make_package("a")), existing, build_policy(expression=broken_version, max_findings={"HIGH": 0})
    )
    assert (list_upgraded_versions(result), result.is_sufficient) == ({"a": "2.0.0"}, True)
    purl_expression = {"when": "findings.filter(f, f.package.purl.startsWith('pkg:npm/a@1.'))", "message": "1"}
    result = search_remediation(make_inventory(make_package("a")), existing, build_policy(expression=purl_expression))
    assert (list_upgraded_versions(result), result.is_sufficient) == ({"a": "2.0.0"}, True)
