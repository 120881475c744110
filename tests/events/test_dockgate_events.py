"""Every kind of event: its constructor, and its JSON Schema."""

from dataclasses import replace
from typing import Any

import pytest

from dockgate.delivery import execution_events
from dockgate.delivery.model import (
    Action,
    ActionKey,
    ActionRun,
    ActionType,
    Execution,
    ExecutionId,
    Pipeline,
    RunState,
    Stage,
)
from dockgate.delivery.service_risk import RiskChange
from dockgate.delivery.trigger import make_fix_trigger
from dockgate.events import aws_events, dockgate_events, governance_events, schemas
from dockgate.events.envelope import MAX_TEXT
from dockgate.events.model import NewEvent
from dockgate.events.pattern import compile_pattern
from dockgate.gate.external import ReadContext
from dockgate.gate.external.inspector import FORMAT
from dockgate.gate.model import AppliedExemption, PlatformVerdict, Status, Waiver
from dockgate.gate.policy import PolicyVersion
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Package
from dockgate.vulnerabilities.model import Finding, Rating, Severity

NOW = "2026-11-28T10:00:00.000Z"
IMAGE, PREVIOUS = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
PIPELINE = Pipeline(
    "web",
    (
        Stage("Source", (Action("Pull", ActionType.SOURCE, output="Code"),)),
        Stage("Deploy", (Action("Run", ActionType.DEPLOY, configuration={"service": "shop"}),)),
    ),
    version=3,
)
EXECUTION = Execution(ExecutionId("web-1"), "web", 1, 3, RunState.IN_PROGRESS, {"started_by": "ann"}, started_at=NOW)


def make_finding(name: str = "CVE-2026-1", severity: Severity = Severity.CRITICAL, **fields: Any) -> Finding:
    package = Package("openssl", "3.0", "pkg:deb/debian/openssl@3.0", "Debian:13", "openssl", "3.0", "/var/lib/dpkg")
    vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
    return Finding(name, ("GHSA-1",), package, severity, Rating("cve", severity, 9.8, vector), "3.1", **fields)


def make_platform_verdict(*findings: Finding, waivers: tuple[AppliedExemption, ...] = ()) -> PlatformVerdict:
    return PlatformVerdict(IMAGE, "linux/amd64", Status.REJECTED, {}, (), (), findings, waived=waivers)


def run(stage: str, action: str, state: RunState, attempt: int = 1, reason: str | None = None) -> ActionRun:
    return ActionRun(ActionKey(ExecutionId("web-1"), stage, action, attempt), state, reason)


PULLED, RUNNING = run("Source", "Pull", RunState.SUCCEEDED), run("Deploy", "Run", RunState.IN_PROGRESS)
FAILED = run("Deploy", "Run", RunState.FAILED, reason="no healthy task")
DEPLOYED = replace(run("Deploy", "Run", RunState.SUCCEEDED), variables={"REVISION": "2"})


def list_all_events() -> list[NewEvent]:
    start = execution_events.advance_events(PIPELINE, EXECUTION, [], [PULLED.key], None, None, NOW)
    failure = execution_events.advance_events(
        PIPELINE, EXECUTION, [PULLED, FAILED], [], RunState.FAILED, "no task", NOW
    )
    return [
        aws_events.make_image_pushed("registry/1", "team/app", IMAGE, "v1", NOW),
        aws_events.make_image_pushed("registry/2", ECR, IMAGE, None, NOW),
        aws_events.make_image_deleted("team/app", IMAGE, "v1", NOW),
        aws_events.make_image_deleted("team/app", IMAGE, None, NOW),
        aws_events.make_image_scanned("team/app", IMAGE, ["v1"], 1, {"CRITICAL": 1, "LOW": 2}, NOW),
        *aws_events.make_findings_of_image(
            "team/app", IMAGE, ["v1"], [make_platform_verdict(make_finding(epss=0.5))], NOW
        ),
        *aws_events.make_findings_of_image(
            ECR, IMAGE, [], [make_platform_verdict(make_finding(exploited="2026-01-01"))], NOW
        ),
        *execution_events.make_start_events(EXECUTION, NOW),
        *start,
        *failure,
        *execution_events.retry_events(PIPELINE, EXECUTION, [PULLED, FAILED], [RUNNING.key], NOW),
        *execution_events.make_stop_events(PIPELINE, EXECUTION, [PULLED, RUNNING], NOW),
        execution_events.make_end_event(PIPELINE, EXECUTION, FAILED, NOW),
        *execution_events.make_deploy_events(PIPELINE, EXECUTION, FAILED, NOW),
        *execution_events.make_deploy_events(PIPELINE, EXECUTION, DEPLOYED, NOW),
        dockgate_events.make_image_judged(
            cause="push/1",
            repository="team/app",
            image=IMAGE,
            tags=["v1"],
            policy="default",
            status="Rejected",
            counts={"CRITICAL": 1},
            summary="1 CRITICAL",
            waived_text="",
            verdict=PREVIOUS,
            time=NOW,
        ),
        dockgate_events.make_verdict_changed(IMAGE, "team/app", "default", "Approved", "Rejected", {"HIGH": 1}, NOW),
        *(
            dockgate_events.make_service_risk_changed(
                *(kind, "shop", IMAGE, "team/app", ["ann"], NOW, NOW, "x", NOW), [("CVE-2026-1", "HIGH")]
            )
            for kind in RiskChange
        ),
        dockgate_events.make_finding_exploited(IMAGE, "team/app", [{"id": "CVE-2026-1", "severity": "HIGH"}], NOW),
        dockgate_events.make_watch_ended(IMAGE, "team/app", "default", "Rejected", None, NOW),
        dockgate_events.make_service_unhealthy(
            key="k", service="shop", task="t", revision=1, image=IMAGE, reason="x", time=NOW
        ),
        dockgate_events.make_deploy_failed(key="rollout/shop/1", service="shop", reason="x", time=NOW),
        dockgate_events.make_deploy_succeeded(
            key="rollout/shop/2", service="shop", revision=2, desired_count=3, time=NOW
        ),
        dockgate_events.make_approval_needed(
            approval="external/1",
            repository="team/app",
            image=IMAGE,
            pipeline="web",
            execution=None,
            service=None,
            summary="fine",
            expires=NOW,
            approvers={"count": 1},
            time=NOW,
        ),
        dockgate_events.make_fix_available(
            fix="f1",
            pipeline="web",
            repository="team/app",
            image=IMAGE,
            kind="change",
            summary="It is on a branch.",
            changes=["flask: 1.0 → 2.0"],
            vulnerabilities=["CVE-1"],
            obstacles=[],
            commands=[],
            branch="dockgate/fix-f1",
            commit="c" * 40,
            execution=None,
            time=NOW,
        ),
        dockgate_events.make_tag_moved(
            push="1", repository="team/app", tag="v1", previous=PREVIOUS, image=IMAGE, by=None, time=NOW
        ),
        dockgate_events.make_pull_refused(
            window=1,
            repository="team/app",
            image=IMAGE,
            tag="v1",
            by="cluster",
            reason="no verdict",
            count=3,
            since=NOW,
            time=NOW,
        ),
        governance_events.make_waiver_added(Waiver("w", "ann", "x", image=IMAGE, created_by="ann"), NOW),
        governance_events.make_waiver_revoked(Waiver("w", "ann", "x", image=IMAGE, repository="team/app"), "bob", NOW),
        governance_events.make_policy_changed(PolicyVersion("strict", 1, IMAGE, {}, "x: {}", NOW, "ann", "why"), NOW),
        governance_events.make_policy_changed(PolicyVersion("strict", 2, None, {}, "", NOW, "ann", None), NOW),
        governance_events.make_vex_event("vex.added", IMAGE, None, "ann", "ann", NOW),
        governance_events.make_vex_event("vex.added", IMAGE, IMAGE, "ann", None, NOW),
        governance_events.make_vex_event("vex.removed", IMAGE, None, "ann", "bob", NOW),
        governance_events.make_advisories_changed("d2", "d1", NOW),
        governance_events.make_waiver_event(
            "waiver.expiring", Waiver("w", "ann", "x", vulnerability="CVE-1", until=NOW), NOW
        ),
        governance_events.make_waiver_event(
            "waiver.expired", Waiver("w", "ann", "x", image=IMAGE, until=NOW), NOW, covered_by="w2"
        ),
        governance_events.make_assignment_changed("web", PolicyAssignment("web", ("team/*",), "strict"), 1, "ann", NOW),
        governance_events.make_assignment_changed("web", None, 2, "ann", NOW),
        governance_events.make_waiver_fixed(Waiver("w", "ann", "x", "CVE-1", until_fixed=True), [("a", "2")], NOW),
        governance_events.make_waiver_event("waiver.restored", Waiver("w", "ann", "x", image=IMAGE, until=NOW), NOW),
        dockgate_events.make_feed_failed("osv", NOW, [("npm", "timeout")], "Check the network.", "k", NOW),
        dockgate_events.make_feed_recovered("osv", NOW, NOW),
        dockgate_events.make_feed_suspect("osv", "osv npm", "2026-10-01", NOW, NOW),
        dockgate_events.make_feed_stale("osv", NOW, ["npm"], NOW),
    ]


@pytest.mark.parametrize("event", list_all_events(), ids=lambda event: event.id)
def test_every_event_has_the_shape_that_its_schema_says(event: NewEvent) -> None:
    from jsonschema import Draft202012Validator  # takes a second

    validator = Draft202012Validator(schemas.load()[event.detail_type])
    validator.validate(event.make_envelope())
    validator.validate({"seq": 1, **event.make_envelope()})
    assert not validator.is_valid({"more": 1, **event.make_envelope()})


def test_every_schema_is_valid_and_has_an_event() -> None:
    from jsonschema import Draft202012Validator

    for schema in schemas.load().values():
        Draft202012Validator.check_schema(schema)
    assert {event.detail_type for event in list_all_events()} == set(schemas.load())


def test_patterns_that_are_written_for_aws_match() -> None:
    pattern = compile_pattern(
        {
            "source": ["aws.inspector2"],
            "detail-type": ["Inspector2 Scan"],
            "detail": {
                "scan-status": ["INITIAL_SCAN_COMPLETE"],
                "repository-name": [{"suffix": ":repository/team/app"}],
                "finding-severity-counts": {"CRITICAL": [{"numeric": [">", 0]}]},
            },
        }
    )
    event = aws_events.make_image_scanned(ECR, IMAGE, ["v1"], 1, {"CRITICAL": 2, "LOW": 3}, NOW)
    assert pattern.is_match(event.make_envelope())
    assert (event.account, event.region) == ("123456789012", "eu-west-1")
    assert event.detail["finding-severity-counts"] == {"CRITICAL": 2, "HIGH": 0, "MEDIUM": 0, "TOTAL": 5}


def test_our_own_reader_of_inspector_reads_our_findings() -> None:
    (event,) = aws_events.make_findings_of_image(
        "team/app", IMAGE, ["v1"], [make_platform_verdict(make_finding())], NOW
    )
    (report,) = FORMAT.read(event.make_envelope(), ReadContext(image=IMAGE))
    assert report.inventory.image == IMAGE
    assert [finding.id for finding in report.matches.findings] == ["CVE-2026-1"]


def test_only_the_worst_findings_are_events_and_waived_ones_are_suppressed() -> None:
    high_findings = [make_finding(f"CVE-2026-{number}", Severity.HIGH) for number in range(40)]
    worst_finding, low = (
        make_finding("CVE-2025-1", Severity.LOW, exploited="2026-01-01"),
        make_finding("CVE-2025-2", Severity.LOW),
    )
    waiver = AppliedExemption("waiver", "w", "ann", "x", finding=high_findings[0])
    events = [
        *aws_events.make_findings_of_image(
            "app", IMAGE, [], [make_platform_verdict(*high_findings, worst_finding, low, waivers=(waiver,))], NOW
        )
    ]
    assert len(events) == aws_events.MAX_FINDINGS
    assert events[0].detail["packageVulnerabilityDetails"]["vulnerabilityId"] == "CVE-2025-1"
    assert [event.detail["status"] for event in events[:3]] == ["ACTIVE", "SUPPRESSED", "ACTIVE"]
    assert len({event.id for event in events}) == len(events)


def test_each_change_of_an_execution_has_its_own_id() -> None:
    twice = replace(RUNNING, key=replace(RUNNING.key, attempt=2))
    events = [
        *execution_events.make_start_events(EXECUTION, NOW),
        *execution_events.advance_events(PIPELINE, EXECUTION, [], [PULLED.key], None, None, NOW),
        *execution_events.advance_events(PIPELINE, EXECUTION, [PULLED], [RUNNING.key], None, None, NOW),
        *execution_events.advance_events(PIPELINE, EXECUTION, [PULLED, FAILED], [], RunState.FAILED, "x", NOW),
        *execution_events.retry_events(PIPELINE, EXECUTION, [PULLED, FAILED], [twice.key], NOW),
        *execution_events.advance_events(
            PIPELINE, EXECUTION, [PULLED, FAILED, replace(twice, state=RunState.FAILED)], [], RunState.FAILED, "x", NOW
        ),
    ]
    assert len({event.id for event in events}) == len(events)
    stages = [(event.detail["stage"], event.detail["state"]) for event in events if "Stage" in event.detail_type]
    assert stages[:4] == [("Source", "STARTED"), ("Source", "SUCCEEDED"), ("Deploy", "STARTED"), ("Deploy", "FAILED")]
    assert stages[4:] == [("Deploy", "RESUMED"), ("Deploy", "FAILED")]
    assert [event.detail_type for event in events].count("execution.failed") == 2


def test_a_rebuild_that_fixes_an_image_is_no_push() -> None:
    trigger = make_fix_trigger("f1", "web", "main", "c" * 40)
    (event,) = execution_events.make_start_events(replace(EXECUTION, trigger=trigger), NOW)
    assert event.detail["execution-trigger"] == {
        "trigger-type": "StartPipelineExecution",
        "trigger-detail": "a rebuild, fix f1",
    }


def test_long_texts_are_cut() -> None:
    event = dockgate_events.make_execution_failed(
        execution="web-1", pipeline="web", key="1", reason="x" * 5000, time=NOW
    )
    assert len(event.detail["reason"]) == MAX_TEXT
