"""Why two verdicts differ: exactly the inputs that changed the result are named."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.gate.remediation.test_search import place_packages_in_layers
from tests.gate.samples import (
    CHECKED,
    COVERED,
    ECOSYSTEMS,
    IMAGE,
    NOW,
    RULES,
    build_policy,
    limit_findings,
    make_advisory,
    make_inventory,
    make_package,
)

from dockgate.gate import evaluate
from dockgate.gate.model import BaselineExemptions, ExemptionSet, ExternalReport, Status, VerdictCase, Waiver
from dockgate.gate.policy import compute_fingerprint, make_policy
from dockgate.gate.provenance import BUILD_TYPE, BUILDER, ProvenanceFacts, ProvenanceStatement
from dockgate.gate.replay import case_file
from dockgate.gate.replay.case_file import RecordedVerdict
from dockgate.gate.replay.explain import Change, Explanation, Input, compare
from dockgate.scanner.model import Inventory
from dockgate.shared import canonical
from dockgate.shared.errors import DefinitionError, UsageError
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage, Cve, Severity

PUBLISHED = (make_advisory("CVE-2024-1", "a"), make_advisory("CVE-2024-2", "b"), make_advisory("CVE-2024-3", "c"))


def make_case(*names: str, snapshot: AdvisorySnapshot | None = None) -> VerdictCase:
    """Cut to the packages, as the advisory database gives it."""
    content = make_inventory(*map(make_package, names))
    existing = snapshot or AdvisorySnapshot(tuple(row for row in PUBLISHED if row.name in names), COVERED)
    return VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", (content,), existing)


def record_verdict(item: VerdictCase) -> RecordedVerdict:
    return RecordedVerdict(evaluate.judge(item, ECOSYSTEMS, RULES), item)


def explain(first: VerdictCase, second: VerdictCase) -> Explanation:
    return compare(record_verdict(first), record_verdict(second), ECOSYSTEMS, RULES)


def list_changed_ids(change: Change) -> tuple[list[str], list[str]]:
    return [item.finding.id for item in change.effect.added], [item.finding.id for item in change.effect.removed]


def test_equal_cases_have_no_changes() -> None:
    assert explain(make_case("a"), make_case("a")) == Explanation(Status.REJECTED, Status.REJECTED, ())


def test_a_new_package_is_an_effect_of_the_code() -> None:
    """The first snapshot lacks it, because its image had none."""
    result = explain(make_case("x"), replace(make_case("x", "a"), image="sha256:" + "9" * 64))
    (change,) = result.changes
    assert (change.input, change.is_status_changed, list_changed_ids(change)) == (
        Input.CODE,
        True,
        (["CVE-2024-1"], []),
    )
    assert result.status_changed_by == (Input.CODE,)
    assert change.effect.added_reasons == ("1 HIGH finding, at most 0 allowed",)


def test_a_new_advisory_for_a_common_package_is_an_effect_of_the_advisories() -> None:
    result = explain(make_case("a", snapshot=AdvisorySnapshot((), COVERED)), make_case("a"))
    assert [(change.input, list_changed_ids(change)) for change in result.changes] == [
        (Input.ADVISORIES, (["CVE-2024-1"], []))
    ]
    assert (result.before, result.after, result.status_changed_by) == (
        Status.APPROVED,
        Status.REJECTED,
        (Input.ADVISORIES,),
    )


def test_provenance_attached_later_is_an_effect_of_provenance() -> None:
    key = "-----BEGIN PUBLIC KEY-----\nMCo=\n-----END PUBLIC KEY-----\n"
    under = build_policy(provenance={"builders": [{"id": BUILDER, "keys": [key]}]})
    statement = ProvenanceStatement("sha256:" + "5" * 64, (compute_fingerprint(key) or "",), BUILDER, BUILD_TYPE)
    before = replace(
        make_case("b"), snapshot=AdvisorySnapshot((), COVERED), policy=under, provenance=ProvenanceFacts(IMAGE)
    )
    after = replace(before, provenance=ProvenanceFacts(IMAGE, (statement,)))
    result = explain(before, after)
    assert [change.input for change in result.changes] == [Input.PROVENANCE]
    assert (result.before, result.after) == (Status.REJECTED, Status.APPROVED)
    second = "sha256:" + "9" * 64
    result = explain(after, replace(after, image=second, provenance=ProvenanceFacts(second)))
    assert result.status_changed_by == (Input.CODE,)
    copied_case = replace(after, image=second)
    assert (
        record_verdict(copied_case).verdict.status is Status.UNDETERMINED
    )  # what is known of another digest is nothing


def test_two_changed_inputs_each_have_their_effect() -> None:
    result = explain(make_case("a", snapshot=AdvisorySnapshot((), COVERED)), make_case("a", "b"))
    assert [(change.input, list_changed_ids(change)) for change in result.changes] == [
        (Input.CODE, (["CVE-2024-2"], [])),
        (Input.ADVISORIES, (["CVE-2024-1"], [])),
    ]
    assert result.status_changed_by == (Input.CODE,)


def test_a_finding_with_new_facts_is_changed() -> None:
    later = make_case(
        "a", snapshot=AdvisorySnapshot(PUBLISHED[:1], COVERED, (Cve("CVE-2024-1", exploited="2026-11-01"),))
    )
    (change,) = explain(make_case("a"), later).changes
    assert change.input is Input.ADVISORIES
    ((altered_finding),) = change.effect.changed
    assert (altered_finding.before.exploited, altered_finding.after.exploited) == (None, "2026-11-01")


def test_another_base_image_is_separate_from_own_layers() -> None:
    old = place_packages_in_layers(("a", "base"), ("c", "own"))
    newer = place_packages_in_layers(("b", "base"), ("d", "own"))
    base_layer = "sha256:" + "e" * 64
    newer = replace(
        newer,
        layers=(base_layer, newer.layers[1]),
        packages=tuple(
            replace(package, layer=base_layer) if newer.is_in_base(package) else package for package in newer.packages
        ),
        base="debian:13",
    )
    first = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", (old,), AdvisorySnapshot(PUBLISHED, COVERED))
    second = replace(first, inventories=(newer,), snapshot=AdvisorySnapshot(PUBLISHED, COVERED))
    result = explain(first, second)
    assert [(change.input, list_changed_ids(change)) for change in result.changes] == [
        (Input.CODE, ([], ["CVE-2024-3"])),
        (Input.BASE, (["CVE-2024-2"], ["CVE-2024-1"])),
    ]
    assert result.changes[1].after == "debian:13"


WAIVED = ExemptionSet((Waiver("w", "ana", "It is never called.", "CVE-2024-1", until="2026-12-01T00:00:00Z"),))
A = make_case("a")
BASELINE: dict[str, tuple[Inventory, ...]] = {"running": (make_inventory(make_package("a")),)}


@pytest.mark.parametrize(
    ("first", "second", "by"),
    [
        (A, replace(A, policy=limit_findings(HIGH=1)), Input.POLICY),
        (A, replace(A, waivers=WAIVED), Input.WAIVERS),
        (replace(A, waivers=WAIVED), replace(A, waivers=WAIVED, now="2026-12-02T00:00:00Z"), Input.TIME),
        (make_case("x"), replace(make_case("x"), now="2026-12-20T00:00:00Z"), Input.TIME),
        (replace(A, inventories=(), no_scan_reason="The layer is broken."), A, Input.SCAN),
        (A, replace(A, inventories=(), no_scan_reason="The layer is broken."), Input.SCAN),
    ],
    ids=["policy", "waivers", "lapsed waiver", "stale feed", "scanned", "no more scanned"],
)
def test_the_changed_input_changed_the_status(first: VerdictCase, second: VerdictCase, by: Input) -> None:
    result = explain(first, second)
    assert result.before is not result.after
    assert result.status_changed_by == (by,)
    assert [change.input for change in result.changes] == [by]


def test_newly_and_no_longer_waived_findings_are_listed() -> None:
    (waived_change,) = explain(A, replace(A, waivers=WAIVED)).changes
    (lapsed_change,) = explain(replace(A, waivers=WAIVED), A).changes
    assert [item.finding.id for item in waived_change.effect.newly_waived] == ["CVE-2024-1"]
    assert [item.finding.id for item in lapsed_change.effect.no_longer_waived] == ["CVE-2024-1"]


def test_external_reports_are_a_separate_input() -> None:
    result = Matcher(AdvisorySnapshot(PUBLISHED, COVERED), ECOSYSTEMS).match(make_inventory(make_package("a")).packages)
    report = ExternalReport("trivy", NOW, make_inventory(make_package("a")), result)
    fixed = ExternalReport(
        "trivy",
        NOW,
        make_inventory(make_package("a", "2.0.0")),
        Matcher(AdvisorySnapshot((), ()), ECOSYSTEMS).match(()),
    )
    item = VerdictCase(IMAGE, limit_findings(HIGH=0), NOW, "0.1.0", external_reports=(report,))
    (change,) = explain(item, replace(item, external_reports=(fixed,))).changes
    assert (change.input, list_changed_ids(change)) == (Input.EXTERNAL_REPORTS, ([], ["CVE-2024-1"]))


def test_lost_coverage_is_an_effect_of_the_advisories() -> None:
    partial = (Coverage("npm", False, (), CHECKED),)
    (change,) = explain(make_case("x"), make_case("x", snapshot=AdvisorySnapshot((), partial))).changes
    assert (change.input, change.status) == (Input.ADVISORIES, Status.UNDETERMINED)


def test_a_difference_from_the_recorded_verdict_is_an_effect_of_the_engine() -> None:
    old = record_verdict(replace(A, engine="0.0.9"))
    second = replace(old, verdict=replace(old.verdict, status=Status.APPROVED, platform_verdicts=()))
    result = compare(second, record_verdict(A), ECOSYSTEMS, RULES)
    (change,) = result.changes
    assert (change.input, change.before, change.after, change.is_status_changed) == (
        Input.ENGINE,
        "0.0.9",
        "0.1.0",
        True,
    )
    assert list_changed_ids(change) == (["CVE-2024-1"], [])


def test_the_last_change_has_the_status_of_the_second_verdict() -> None:
    second = replace(
        make_case("x", snapshot=A.snapshot),
        policy=limit_findings(LOW=0),
        now="2026-12-20T00:00:00Z",
        waivers=WAIVED,
        baselines=BASELINE,
    )
    result = explain(A, second)
    assert [change.input for change in result.changes] == [
        Input.CODE,
        Input.POLICY,
        Input.WAIVERS,
        Input.BASELINE,
        Input.TIME,
    ]
    assert result.changes[-1].status is result.after is Status.UNDETERMINED


# --- replaying ---------------------------------------------------------------------------------------------------

CASES: dict[str, Callable[[], VerdictCase]] = {
    "plain": lambda: A,
    "waived": lambda: replace(A, waivers=WAIVED),
    "baseline": lambda: replace(A, baselines=BASELINE),
    "baseline_exemptions": lambda: replace(
        A, baselines=BASELINE, baseline_exemptions={"running": BaselineExemptions(A.now, (("x", "npm", "a"),))}
    ),
    "no_scan_reason": lambda: replace(A, inventories=(), no_scan_reason="The layer is broken: \udcff\x1b[31m."),
    "odd": lambda: replace(A, inventories=(make_inventory(make_package("a"), make_package("e\udcff\u202e\x1b")),)),
    "index": lambda: replace(
        A, inventories=(make_inventory(make_package("a")), make_inventory(make_package("b"), platform="linux/arm64"))
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_written_and_read_is_judged_to_the_same_bytes(name: str) -> None:
    value = record_verdict(CASES[name]())
    text = case_file.encode_document(value)
    assert text.isascii()
    assert text.isprintable()
    read_case = case_file.read(text.encode(), "file")
    replay = case_file.replay(read_case, ECOSYSTEMS, RULES)
    assert replay.differences == ()
    assert canonical.encode(replay.verdict) == canonical.encode(value.verdict)
    assert read_case.digest == value.digest


def test_replaying_an_altered_verdict_reports_the_differences() -> None:
    value = record_verdict(A)
    forged_verdict = replace(value, verdict=replace(value.verdict, status=Status.APPROVED))
    assert case_file.replay(forged_verdict, ECOSYSTEMS, RULES).differences == (
        "The verdict's status was Approved, and is Rejected.",
    )


def test_replaying_an_altered_case_names_the_input() -> None:
    value = record_verdict(A)
    lenient = replace(value, case=replace(A, policy=replace(limit_findings(HIGH=9), digest=A.policy.digest)))
    differences = case_file.replay(lenient, ECOSYSTEMS, RULES).differences
    assert differences[0] == f"The policy strict does not match its digest {A.policy.digest}."
    assert "The verdict's status was Rejected, and is Approved." in differences
    later = replace(value, case=replace(A, waivers=WAIVED))
    assert case_file.replay(later, ECOSYSTEMS, RULES).differences[0].endswith("the verdict's digest of waivers.")


def test_replaying_a_policy_with_an_unknown_rule_fails() -> None:
    value = replace(record_verdict(A), case=replace(A, policy=make_policy("future", {"no_curl": ({},)})))
    with pytest.raises(DefinitionError, match="no_curl"):
        case_file.replay(value, ECOSYSTEMS, RULES)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nothing", "is not JSON"),
        (b"[]", "is not a case"),
        (b'{"kind": "scan"}', "is not a case"),
        (b'{"kind": "case", "schema_version": 2}', "schema_version 2"),
        (b'{"kind": "case", "schema_version": 3, "verdict": {}}', "is an incomplete case"),
        (b'{"kind": "case", "schema_version": 3, "verdict": [], "case": 1}', "is an incomplete case"),
    ],
)
def test_reading_another_file_as_a_case_fails(data: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as error_info:
        case_file.read(data, "x.json")
    assert error_info.value.advice


def test_severities_are_read_back_as_enum_members() -> None:
    read_case = case_file.read(case_file.encode_document(record_verdict(A)).encode(), "file")
    assert read_case.verdict.platform_verdicts[0].findings[0].severity is Severity.HIGH
