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
    read_policy,
)

from dockgate.gate import evaluate
from dockgate.gate.model import (
    ExemptionSet,
    ExternalReport,
    PlatformVerdict,
    Status,
    Upgrade,
    Verdict,
    VerdictCase,
    Waiver,
)
from dockgate.gate.policy import encode_policy, make_policy
from dockgate.scanner.model import Inventory, Unread
from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import DefinitionError
from dockgate.vulnerabilities.matching import FINDINGS_LIMIT, TOO_MANY_FINDINGS, Matcher, set_versions
from dockgate.vulnerabilities.model import (
    Advisory,
    AdvisorySnapshot,
    Coverage,
    Range,
    Severity,
)

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


def test_an_image_without_findings_is_approved_with_all_counts_zero() -> None:
    verdict = judge(make_inventory(make_package("flask")))
    assert verdict.status is Status.APPROVED
    assert verdict.summary == "All findings within the policy's limits"
    assert verdict.platform_verdicts[0].counts == {severity.value: 0 for severity in Severity}


def test_every_violation_is_reported() -> None:
    advisories = [
        make_advisory("CVE-2024-1", "a", CRITICAL),
        make_advisory("CVE-2024-2", "a", HIGH),
        make_advisory("CVE-2024-3", "b", LOW),
        make_advisory("MAL-2024-4", "c", MEDIUM, fixed=""),
    ]
    verdict = judge(
        make_inventory(make_package("a"), make_package("b"), make_package("c")),
        advisories,
        limit_findings(CRITICAL=0, HIGH=0, MEDIUM=1, LOW=0),
    )
    assert verdict.status is Status.REJECTED
    assert [violation.message for violation in verdict.platform_verdicts[0].violations] == [
        "1 known malicious package",
        "1 CRITICAL finding, at most 0 allowed",
        "1 HIGH finding, at most 0 allowed",
        "1 LOW finding, at most 0 allowed",
    ]


@pytest.mark.parametrize(("findings", "status"), [(2, Status.APPROVED), (3, Status.REJECTED)])
def test_the_limit_is_approved_and_one_more_is_rejected(findings: int, status: Status) -> None:
    advisories = [make_advisory(f"CVE-2024-{number}", "a", MEDIUM) for number in range(findings)]
    verdict = judge(make_inventory(make_package("a")), advisories, limit_findings(MEDIUM=2))
    assert verdict.status is status
    assert verdict.platform_verdicts[0].counts["MEDIUM"] == findings


def test_a_severity_without_a_limit_never_violates_the_rule() -> None:
    advisories = [make_advisory(f"CVE-2024-{number}", "a", LOW) for number in range(30)]
    assert judge(make_inventory(make_package("a")), advisories, limit_findings(CRITICAL=0)).status is Status.APPROVED


def test_a_violation_is_rejected_whatever_else_is_undetermined() -> None:
    damaged_inventory = make_inventory(make_package("a"), unread_paths=(Unread("app/x", "The file ends too early."),))
    verdict = judge(damaged_inventory, [make_advisory("CVE-2024-1", "a")], coverage=())
    assert verdict.status is Status.REJECTED
    assert {entry.kind for entry in verdict.platform_verdicts[0].undetermined} == {"unread", "uncovered"}


def test_an_undetermined_entry_alone_makes_the_verdict_undetermined_with_its_reason() -> None:
    damaged_inventory = make_inventory(
        make_package("a"), unread_paths=(Unread("app/x", "The file ends too early."), Unread("app/y", "Too."))
    )
    verdict = judge(damaged_inventory)
    assert verdict.status is Status.UNDETERMINED
    assert verdict.summary == "Undetermined: The file ends too early (and 1 more reason)"


def test_an_image_without_inventory_is_undetermined() -> None:
    verdict = judge([])
    assert verdict.status is Status.UNDETERMINED
    assert verdict.summary.startswith("No scan")
    assert [entry.reason for entry in verdict.platform_verdicts[0].undetermined] == [verdict.summary]


def test_an_unscanned_image_is_undetermined_with_the_reason() -> None:
    case = VerdictCase(
        IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", no_scan_reason="The layer sha256:2 is broken. " * 40
    )
    verdict = evaluate.judge(case, ECOSYSTEMS, RULES)
    assert verdict.status is Status.UNDETERMINED
    assert verdict.summary.startswith("The layer sha256:2 is broken.")
    assert len(verdict.summary) == 512
    assert [entry.platform for entry in verdict.platform_verdicts] == [None]


def test_an_unknown_platform_is_judged_beside_known_ones_and_stored_as_an_empty_text() -> None:
    platforms = [make_inventory(make_package("a")), replace(make_inventory(make_package("a")), platform=None)]
    verdict = judge(platforms, [make_advisory("CVE-2024-1", "a")])
    assert [entry.platform for entry in verdict.platform_verdicts] == [None, "linux/amd64"]
    assert verdict.inputs == judge(platforms[::-1], [make_advisory("CVE-2024-1", "a")]).inputs
    data = canonical.encode(verdict)
    assert b'"platform":""' in data
    assert b'"platform":""' in canonical.encode(platforms[1])
    assert canonical.decode(Verdict, data) == verdict


@pytest.mark.parametrize(("good", "bad"), [("linux/amd64", "linux/arm64"), ("linux/arm64", "linux/amd64")])
def test_an_index_has_the_status_of_its_worst_platform(good: str, bad: str) -> None:
    platforms = [make_inventory(make_package("b"), platform=good), make_inventory(make_package("a"), platform=bad)]
    verdict = judge(platforms, [make_advisory("CVE-2024-1", "a")])
    assert verdict.status is Status.REJECTED
    assert {platform_verdict.platform: platform_verdict.status for platform_verdict in verdict.platform_verdicts} == {
        good: Status.APPROVED,
        bad: Status.REJECTED,
    }
    assert verdict.summary == f"{bad}: 1 HIGH finding, at most 0 allowed: a 1.0.0 (CVE-2024-1 fixed in 2.0.0)"


def test_the_summary_names_the_most_severe_vulnerability_of_each_package() -> None:
    severities = {"CVE-2024-1": MEDIUM, "CVE-2024-2": CRITICAL, "CVE-2024-3": HIGH}
    advisories = [make_advisory(name, "a", severity) for name, severity in severities.items()]
    verdict = judge(make_inventory(make_package("a")), advisories, limit_findings(CRITICAL=0, HIGH=0, MEDIUM=0))
    assert verdict.summary.endswith("a 1.0.0 (CVE-2024-2 fixed in 2.0.0 and 2 more)")


def test_the_summary_names_a_reason_of_several_platforms_once() -> None:
    platforms = [make_inventory(make_package("a"), platform=name) for name in ("linux/arm64", "linux/amd64")]
    verdict = judge(platforms, [make_advisory("CVE-2024-1", "a")])
    assert (
        verdict.summary
        == "linux/amd64, linux/arm64: 1 HIGH finding, at most 0 allowed: a 1.0.0 (CVE-2024-1 fixed in 2.0.0)"
    )


def test_the_summary_is_one_line_of_at_most_512_characters() -> None:
    names = [f"package-with-a-rather-long-name-{number}" * 3 for number in range(40)]
    advisories = [make_advisory(f"CVE-2024-{name}", name) for name in names]
    summary = judge(make_inventory(*map(make_package, names)), advisories).summary
    assert summary.startswith("40 HIGH findings, at most 0 allowed: ")
    assert len(summary) == 512
    assert "\n" not in summary


def test_findings_without_a_fix_are_listed_and_count_by_policy() -> None:
    advisories = [make_advisory("CVE-2024-1", "a", fixed="")]
    verdict = judge(make_inventory(make_package("a")), advisories, limit_findings(HIGH=0))
    relaxed_verdict = judge(make_inventory(make_package("a")), advisories, limit_findings(HIGH=0, only_fixable=True))
    assert verdict.status is Status.REJECTED
    assert relaxed_verdict.status is Status.APPROVED
    assert relaxed_verdict.platform_verdicts[0].counts["HIGH"] == 0
    assert [finding.id for finding in relaxed_verdict.platform_verdicts[0].findings] == ["CVE-2024-1"]


def test_untriaged_findings_count_by_policy_and_keep_their_severity() -> None:
    verdict = judge(
        make_inventory(make_package("a")),
        [make_advisory("CVE-2024-1", "a", Severity.UNTRIAGED)],
        limit_findings(HIGH=0),
    )
    (platform_verdict,) = verdict.platform_verdicts
    assert platform_verdict.violations[0].message == "1 HIGH finding (1 of them UNTRIAGED), at most 0 allowed"
    assert (platform_verdict.counts["HIGH"], platform_verdict.counts["UNTRIAGED"]) == (1, 0)
    assert platform_verdict.findings[0].severity is Severity.UNTRIAGED


def test_a_policy_with_an_unknown_rule_is_refused() -> None:
    with pytest.raises(DefinitionError, match="no_curl"):
        judge(make_inventory(make_package("a")), under=make_policy("mine", {"no_curl": ({},)}))


def test_mandatory_rules_apply_under_every_policy() -> None:
    bare = make_policy("bare", {})
    verdict = judge(make_inventory(make_package("a")), [make_advisory("MAL-2024-1", "a", fixed="")], bare, coverage=())
    assert verdict.status is Status.REJECTED
    assert [entry.kind for entry in verdict.platform_verdicts[0].undetermined] == ["uncovered"]


def test_the_remediation_upgrades_to_the_lowest_sufficient_versions() -> None:
    advisories = [
        make_advisory("CVE-2024-1", "a", fixed="1.2.0"),
        make_advisory("CVE-2024-2", "a", fixed="1.10.0"),
        make_advisory("CVE-2024-3", "a", LOW, fixed="3.0.0"),
        make_advisory("CVE-2024-4", "b", fixed="1.0.1"),
        make_advisory("CVE-2024-5", "c", LOW, fixed="9.0.0"),
        make_advisory("CVE-2024-6", "d", fixed=""),
    ]
    inventory = make_inventory(*map(make_package, "abcd"))
    (platform_verdict,) = judge(inventory, advisories, limit_findings(HIGH=0)).platform_verdicts
    assert platform_verdict.remediation.upgrades == (
        Upgrade("pkg:npm/a@1.0.0", "a", "1.0.0", "1.10.0", ("CVE-2024-1", "CVE-2024-2")),
        Upgrade("pkg:npm/b@1.0.0", "b", "1.0.0", "1.0.1", ("CVE-2024-4",)),
    )


def test_the_remediation_skips_versions_with_findings_of_their_own() -> None:
    advisories = [
        make_advisory("CVE-2024-1", "a", fixed="1.2.0"),
        make_advisory("CVE-2024-2", "a", introduced_in="1.1.0", fixed="1.3.0"),
        Advisory(
            "GHSA-3", "npm", "a", (Range("SEMVER", (("introduced", "1.3.0"), ("fixed", "1.4.0"))),), aliases=("CVE-3",)
        ),
    ]
    under = limit_findings(HIGH=0, UNTRIAGED=0)
    (platform_verdict,) = judge(make_inventory(make_package("a")), advisories, under).platform_verdicts
    (upgrade,) = platform_verdict.remediation.upgrades
    assert (upgrade.fixed, upgrade.clears) == ("1.4.0", ("CVE-2024-1",))
    after = set_versions(make_inventory(make_package("a")), {upgrade.package: upgrade.fixed})
    assert judge(after, advisories, under).status is Status.APPROVED


def test_a_fix_that_another_record_lacks_is_suggested_if_it_changes_the_verdict() -> None:
    endless = replace(make_advisory("GHSA-1", "a", fixed=""), aliases=("CVE-2024-1",))
    advisories = [make_advisory("CVE-2024-1", "a", fixed="1.1.0"), endless]
    (platform_verdict,) = judge(
        make_inventory(make_package("a")), advisories, limit_findings(HIGH=0, only_fixable=True)
    ).platform_verdicts
    (stuck,) = judge(make_inventory(make_package("a")), advisories, limit_findings(HIGH=0)).platform_verdicts
    assert platform_verdict.remediation.upgrades == (
        Upgrade("pkg:npm/a@1.0.0", "a", "1.0.0", "1.1.0", ("CVE-2024-1",)),
    )
    assert stuck.remediation.upgrades == ()


def test_an_approved_image_has_no_remediation() -> None:
    (platform_verdict,) = judge(
        make_inventory(make_package("a")), [make_advisory("CVE-2024-1", "a", LOW)], limit_findings(LOW=1)
    ).platform_verdicts
    assert platform_verdict.remediation.upgrades == ()


def test_the_verdict_names_its_inputs_by_digest() -> None:
    first, second = make_inventory(make_package("a")), make_inventory(make_package("b"), platform="linux/arm64")
    under = build_policy(max_findings={"HIGH": 1})
    snapshot = AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED)
    case = VerdictCase(IMAGE, under, NOW, "0.1.0", (second, first), snapshot)
    inputs = evaluate.judge(case, ECOSYSTEMS, RULES).inputs
    assert inputs.inventories == tuple(compute_digest(canonical.encode(entry)) for entry in (first, second))
    assert inputs.snapshot == compute_digest(canonical.encode(snapshot))
    assert inputs.policy == under.digest == compute_digest(encode_policy(under))
    assert (inputs.now, inputs.engine) == (NOW, "0.1.0")


def test_replaying_stored_inputs_gives_the_same_bytes() -> None:
    inventory, advisories = (
        make_inventory(make_package("a"), make_package("b")),
        [make_advisory("CVE-2024-1", "a", fixed="1.1.0")],
    )
    coverage = (Coverage("npm", False, ("a",), "2026-11-01T00:00:00Z"),)
    verdict = judge(inventory, advisories, coverage=coverage)
    data = canonical.encode(verdict)

    stored_inputs = canonical.encode(inventory), canonical.encode(AdvisorySnapshot(tuple(advisories), coverage))
    again_judged = canonical.decode(type(inventory), stored_inputs[0])
    again_consulted = canonical.decode(AdvisorySnapshot, stored_inputs[1])
    replayed_verdict = judge(again_judged, again_consulted.advisories, coverage=again_consulted.coverage)

    assert canonical.encode(replayed_verdict) == data
    assert canonical.decode(Verdict, data) == verdict


def test_warnings_and_notes_are_reported_and_do_not_block() -> None:
    warning_policy = read_policy("max_findings: [{HIGH: 0, action: warn}, {LOW: 0, action: note}]")
    existing = [make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-2", "a", LOW)]
    (platform_verdict,) = judge(make_inventory(make_package("a")), existing, warning_policy).platform_verdicts
    assert platform_verdict.status is Status.APPROVED
    assert [violation.message for violation in platform_verdict.warnings] == ["1 HIGH finding, at most 0 allowed"]
    assert [violation.message for violation in platform_verdict.notes] == ["1 LOW finding, at most 0 allowed"]


def test_a_waived_finding_is_listed_and_does_not_count() -> None:
    waiver = Waiver("w1", "ana", "No such code is run.", "CVE-2024-1", until="2026-12-01")
    case = VerdictCase(
        IMAGE,
        limit_findings(HIGH=0),
        NOW,
        "0.1.0",
        (make_inventory(make_package("a")),),
        AdvisorySnapshot((make_advisory("CVE-2024-1", "a"),), COVERED),
        ExemptionSet((waiver,)),
    )
    (platform_verdict,) = evaluate.judge(case, ECOSYSTEMS, RULES).platform_verdicts
    assert platform_verdict.status is Status.APPROVED
    assert [finding.id for finding in platform_verdict.findings] == ["CVE-2024-1"]
    assert [
        (applied_waiver.by, applied_waiver.owner, applied_waiver.reason, applied_waiver.until)
        for applied_waiver in platform_verdict.waived
    ] == [("w1", "ana", "No such code is run.", "2026-12-01")]
    lapsed_verdict = evaluate.judge(replace(case, now="2026-12-01T00:00:00Z"), ECOSYSTEMS, RULES)
    assert lapsed_verdict.status is Status.REJECTED


def make_copies(count: int, platform: str = "linux/amd64") -> Inventory:
    """Copies of a package that have so many findings together."""
    packages = [make_package("a", path=f"{number}/node_modules/a/package.json") for number in range(-(-count // 1_000))]
    return make_inventory(*packages, platform=platform)


def judge_waived(*inventories: Inventory, reports: tuple[ExternalReport, ...] = ()) -> tuple[PlatformVerdict, ...]:
    """Judge copies with all their findings waived."""
    waivers = ExemptionSet((Waiver("w", "ana", "Reviewed.", package="pkg:npm/a", until="2099-01-01"),))
    case = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "1", inventories, MANY, waivers, external_reports=reports)
    return evaluate.judge(case, ECOSYSTEMS, RULES).platform_verdicts


MANY = AdvisorySnapshot(tuple(make_advisory(f"CVE-2026-{number}", "a") for number in range(1_000)), COVERED)


def test_an_image_with_too_many_findings_is_undetermined_whatever_is_waived() -> None:
    """A layer of a few kilobytes, with copies of a package that has many advisories, would take all memory."""
    (platform,) = judge_waived(make_copies(FINDINGS_LIMIT + 1))
    assert (platform.status, len(platform.findings)) == (Status.UNDETERMINED, FINDINGS_LIMIT)
    assert [obstacle.reason for obstacle in platform.remediation.obstacles] == [TOO_MANY_FINDINGS.reason]


def test_the_limit_of_findings_is_for_all_platforms_and_reports_together() -> None:
    third = FINDINGS_LIMIT * 2 // 5
    matches = Matcher(MANY, ECOSYSTEMS).match(make_copies(third).packages)
    report = ExternalReport("trivy", NOW, make_copies(third), matches)
    platforms = judge_waived(make_copies(third), make_copies(third, "linux/arm64"), reports=(report,))
    assert [platform.status for platform in platforms] == [Status.APPROVED, Status.APPROVED, Status.UNDETERMINED]
    assert sum(len(platform.findings) for platform in platforms) == FINDINGS_LIMIT


def test_an_image_with_too_many_versions_that_cannot_be_compared_is_undetermined_in_any_policy() -> None:
    packages = [make_package("a", f"x{number}") for number in range(FINDINGS_LIMIT // 100 + 1)]
    advisories = [make_advisory(f"CVE-2026-{number}", "a") for number in range(100)]
    verdict = judge(make_inventory(*packages), advisories, build_policy(evidence={"uncomparable": "allow"}))
    assert verdict.status is Status.UNDETERMINED
    assert verdict.platform_verdicts[0].undetermined == (TOO_MANY_FINDINGS,)


def test_the_summary_of_an_approval_counts_waivers() -> None:
    advisories = [make_advisory("CVE-2024-1", "a", CRITICAL), make_advisory("CVE-2024-2", "a", CRITICAL)]
    content = tuple(Waiver(f"w{n}", "ana", "Not run.", f"CVE-2024-{n}", until="2099-01-01") for n in (1, 2))
    parts = (replace(make_inventory(make_package("a")), platform=name) for name in ("linux/amd64", "linux/arm64"))
    case = VerdictCase(
        IMAGE, limit_findings(CRITICAL=0), NOW, "0.1.0", tuple(parts), AdvisorySnapshot(tuple(advisories), COVERED)
    )
    verdict = evaluate.judge(replace(case, waivers=ExemptionSet(content)), ECOSYSTEMS, RULES)
    assert verdict.status is Status.APPROVED
    assert verdict.summary == "All findings within the policy's limits; 2 waived findings"
