"""What runs is judged again: at risk until a deadline, notices once, cleared when approved again, never taken down."""

import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.aws.account import (
    ACCOUNT,
    REGION,
    REPOSITORY,
    SCANNED,
    Account,
    digest_of,
    make_approval_event,
)
from tests.aws.functions.running_services import CLOCK, DAY, IMAGE, OTHER_IMAGE, Running

from dockgate.aws.functions.settings import Service
from dockgate.aws.functions.table import Table
from dockgate.aws.functions.wait_table import RiskNotice, RiskStage
from dockgate.aws.scans import ScanState
from dockgate.gate.model import ExemptionSet, Waiver
from dockgate.shared import canonical

# In the suite the first of them fails.
BROKEN_CALLS = ["sns.Publish", pytest.param("s3.PutObject", marks=pytest.mark.slow)]


def test_a_new_finding_marks_the_service_at_risk_and_is_notified_once(aws: Account) -> None:
    running = Running(aws)
    event = running.add_finding()
    running.handlers.sweep(event)
    (message,) = running.receive_notices()
    assert (message["service"], message["image"], message["until"]) == ("c/web", IMAGE, "2026-12-02")
    assert "1 CRITICAL finding" in message["summary"]
    assert "/verdicts/" in message["verdict"].replace("=verdicts", "/verdicts")
    assert running.read_deadline() == int(aws.now) + 14 * DAY
    aws.now += 3 * DAY
    running.handlers.sweep(event)
    running.handlers.sweep(CLOCK)
    assert running.receive_notices() == []
    assert running.read_deadline() == SCANNED + 600 + 14 * DAY, "the deadline stands"
    aws.now += 30 * DAY
    running.handlers.sweep(CLOCK)
    assert running.count() == 1, "it is never taken down"


def test_a_service_risk_ends_when_the_image_is_approved_again(aws: Account, capsys: pytest.CaptureFixture[str]) -> None:
    running = Running(aws)
    running.handlers.sweep(running.add_finding())
    aws.inspector.findings[IMAGE][0]["status"] = "CLOSED"
    running.handlers.sweep(CLOCK)
    assert running.read_deadline() is None
    assert capsys.readouterr().out.count('"ServiceSafe"') == 1
    running.handlers.sweep(CLOCK)
    assert capsys.readouterr().out.count('"ServiceSafe"') == 0
    aws.inspector.findings[IMAGE][0]["status"] = "ACTIVE"
    running.receive_notices()
    running.handlers.sweep(CLOCK)
    assert len(running.receive_notices()) == 1, "a new risk is notified again"


def test_a_returning_image_is_reported_again_with_its_old_deadline(aws: Account) -> None:
    """As when a deploy is taken back."""
    running = Running(aws)
    running.handlers.sweep(running.add_finding())
    (first,) = running.receive_notices()
    for service in ("jobs", "web"):
        aws.now += DAY
        aws.get_client("ecs").update_service(cluster="c", service="web", taskDefinition=service)
        running.handlers.sweep(CLOCK)
        running.handlers.sweep(CLOCK)
    (second_notice,) = running.receive_notices()
    assert (second_notice["service"], second_notice["image"], second_notice["until"]) == (
        "c/web",
        IMAGE,
        first["until"],
    )


def test_an_image_that_returns_after_its_deadline_has_no_time_left(aws: Account) -> None:
    running = Running(aws)
    running.handlers.sweep(running.add_finding())
    (first,) = running.receive_messages()
    assert first["Subject"] == "c/web is at risk until 2026-12-02"
    for service in ("jobs", "web"):
        aws.now += 8 * DAY
        aws.get_client("ecs").update_service(cluster="c", service="web", taskDefinition=service)
        running.handlers.sweep(CLOCK)
    (message,) = running.receive_messages()
    assert message["Subject"] == "c/web is at risk, deadline passed on 2026-12-02"
    assert json.loads(message["Message"])["advice"].endswith("that the verdict names now.")


def test_the_topic_is_notified_once_before_the_deadline_and_once_after_it(aws: Account) -> None:
    running = Running(aws)
    event = running.add_finding()
    subjects: list[str] = []
    began = aws.now
    for hour in (0, 12, 7 * 24, 12 * 24 + 12, 13 * 24, 13 * 24 + 12, 14 * 24, 14 * 24 + 12, 16 * 24):
        aws.now = began + hour * 3600
        for repeated_event in (event, CLOCK, CLOCK):
            running.handlers.sweep(repeated_event)
        for message in running.receive_messages():
            subjects.append(f"{hour // 24} {message['Subject']}")
            assert json.loads(message["Message"])["until"] == "2026-12-02"
    assert subjects == [
        "0 c/web is at risk until 2026-12-02",
        "13 c/web is at risk, deadline near on 2026-12-02",
        "14 c/web is at risk, deadline passed on 2026-12-02",
    ]


@pytest.mark.parametrize("broken_call", BROKEN_CALLS)
def test_a_notice_of_the_deadline_that_failed_is_sent_by_the_next_sweep(aws: Account, broken_call: str) -> None:
    running = Running(aws)
    running.handlers.sweep(running.add_finding())
    running.receive_notices()
    for subject in ("c/web is at risk, deadline near", "c/web is at risk, deadline passed"):
        aws.now += 13 * DAY + DAY // 2
        running.add_finding()  # the verdict to store is another one
        aws.broken = {broken_call}
        with pytest.raises(ClientError):
            running.handlers.sweep(CLOCK)
        aws.broken = set()
        for _ in range(2):
            running.handlers.sweep(CLOCK)
        (message,) = running.receive_messages()
        assert message["Subject"].startswith(subject)


def test_a_service_that_was_at_risk_before_the_upgrade_is_notified_of_its_deadline_alone(aws: Account) -> None:
    running = Running(aws)
    running.add_finding()
    until = int(aws.now) + 2 * DAY
    Table(aws.get_client("dynamodb"), "approvals").put({"digest": IMAGE, "half": "risk#c/web", "until": until})
    subjects = []
    for _ in range(4):
        running.handlers.sweep(CLOCK)
        subjects += [message["Subject"] for message in running.receive_messages()]
        aws.now += DAY
    assert [subject.split(" on ")[0] for subject in subjects] == [
        "c/web is at risk, deadline near",
        "c/web is at risk, deadline passed",
    ]


@pytest.mark.parametrize(("length", "begin"), [(69, "c/xxx"), (70, "A service ")])
def test_a_subject_is_as_long_as_sns_allows(aws: Account, length: int, begin: str) -> None:
    running = Running(aws)
    name = "x" * length
    running.run(name, IMAGE)
    monitor = running.handlers.risk_monitor
    replace(monitor, services=(Service("c", name),)).renew()
    running.add_finding()
    replace(monitor, services=(Service("c", name),)).renew()
    (message,) = running.receive_messages()
    assert message["Subject"].startswith(begin)
    assert len(message["Subject"]) < 100


def test_a_waiver_that_lapses_leaves_the_service_at_risk(aws: Account) -> None:
    waiver = Waiver("w1", "ann", "until Friday", "CVE-2024-0007", until="2026-11-20T00:00:00Z")
    aws.get_client("s3").put_object(
        Bucket="verdicts", Key="waivers.json", Body=canonical.encode(ExemptionSet((waiver,)))
    )
    running = Running(aws, DOCKGATE_WAIVERS="s3://verdicts/waivers.json")
    running.handlers.sweep(running.add_finding())
    assert (running.read_deadline(), running.receive_notices()) == (None, [])
    aws.now = SCANNED + 2 * DAY
    running.handlers.sweep(CLOCK)
    assert len(running.receive_notices()) == 1
    assert running.read_deadline() == int(aws.now) + 14 * DAY


@pytest.mark.parametrize("broken_call", BROKEN_CALLS)
def test_the_next_sweep_sends_a_failed_notice(aws: Account, broken_call: str) -> None:
    running = Running(aws)
    event = running.add_finding()
    aws.broken = {broken_call}
    with pytest.raises(ClientError):
        running.handlers.sweep(event)
    deadline = running.read_deadline()
    assert (deadline is not None, running.receive_notices()) == (True, [])
    aws.now += 60
    with pytest.raises(ClientError):
        running.handlers.sweep(CLOCK)
    aws.broken = set()
    aws.now += 60
    running.handlers.sweep(CLOCK)
    running.handlers.sweep(CLOCK)
    assert (running.read_deadline(), len(running.receive_notices()), len(aws.list_verdict_keys())) == (deadline, 1, 3)


def test_after_a_crash_during_a_notice_the_next_run_sends_it(aws: Account) -> None:
    running = Running(aws)
    waits = running.handlers.risk_monitor.waits
    running.add_finding()
    assert waits.mark_risk(IMAGE, "c/web", 1_797_000_000, DAY) == RiskNotice(1_797_000_000, RiskStage.BEGAN)
    running.handlers.sweep(CLOCK)
    assert running.receive_notices() == [], "it may yet be telling"
    aws.now += 121
    running.handlers.sweep(CLOCK)
    assert [message["until"] for message in running.receive_notices()] == ["2026-12-11"]


def test_an_event_of_another_image_judges_nothing(aws: Account) -> None:
    running = Running(aws)
    running.add_finding()
    aws.services["inspector2"].calls.clear()
    running.handlers.sweep(running.add_finding(digest_of(5)))
    running.handlers.sweep({"detail-type": "Inspector2 Finding", "detail": {"resources": [{"details": None}]}})
    assert aws.services["inspector2"].calls == []


def _make_queued_event(*events: dict[str, Any]) -> dict[str, Any]:
    """As Lambda hands over what a rule put into a queue."""
    return {"Records": [{"messageId": str(n), "body": json.dumps(event)} for n, event in enumerate(events)]}


def test_many_findings_of_one_image_cause_one_verdict(aws: Account) -> None:
    running = Running(aws)
    events = [running.add_finding() for _ in range(3)]
    calls = aws.services["inspector2"].calls
    calls.clear()
    output = running.handlers.sweep(_make_queued_event(*events, {"detail": 7}, *events))
    assert output == {"batchItemFailures": []}
    assert [name for name, _ in calls].count("ListCoverage") == 1
    assert len(running.receive_notices()) == 1


def test_a_batch_that_cannot_be_judged_comes_again(aws: Account) -> None:
    running = Running(aws)
    batch = _make_queued_event(running.add_finding())
    aws.broken = {"inspector2.ListFindings"}
    with pytest.raises(ClientError):
        running.handlers.sweep(batch)
    aws.broken = set()
    running.handlers.sweep(batch)
    assert running.read_deadline() is not None


def test_ecs_is_not_asked_about_images_that_no_service_runs(aws: Account) -> None:
    """By what the last sweep noted, an index's images included; a service that was never looked at is."""
    running = Running(aws)
    aws.broken = {"ecs.DescribeServices"}
    with pytest.raises(ClientError):
        running.handlers.sweep(running.add_finding(digest_of(5)))
    aws.broken = set()
    running.handlers.sweep(CLOCK)
    aws.broken = {"ecs.DescribeServices"}
    running.handlers.sweep(_make_queued_event(*(running.add_finding(digest_of(number)) for number in range(5, 9))))
    with pytest.raises(ClientError):
        running.handlers.sweep(running.add_finding(IMAGE))
    running.handlers.risk_monitor.waits.record_platforms(IMAGE, [digest_of(5)])
    with pytest.raises(ClientError):
        running.handlers.sweep(running.add_finding(digest_of(5)))


@pytest.mark.parametrize(
    "host", ["dkr.ecr-fips.eu-west-1.amazonaws.com", "dkr.ecr.cn-north-1.amazonaws.com.cn", "dkr-ecr.eu-west-1.on.aws"]
)
def test_an_image_of_ecr_is_known_by_every_name_of_the_registry(aws: Account, host: str) -> None:
    running = Running(aws)
    running.add_finding()
    running.run("other", IMAGE, host)
    aws.make_functions(DOCKGATE_SERVICES="c/other").sweep(CLOCK)
    key = {"digest": IMAGE, "half": "risk#c/other"}
    assert Table(aws.get_client("dynamodb"), "approvals").get(key) is not None


def test_a_failing_service_does_not_block_the_others(aws: Account) -> None:
    running = Running(aws)
    running.add_finding()
    running.run("jobs2", OTHER_IMAGE)
    handlers = aws.make_functions(DOCKGATE_SERVICES="nowhere/jobs,c/web")
    with pytest.raises(ClientError):
        handlers.sweep(CLOCK)
    assert running.read_deadline() is not None


def test_an_image_that_cannot_be_judged_does_not_block_another_of_its_service(aws: Account) -> None:
    running = Running(aws)
    running.add_finding()
    images = [f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}@{image}" for image in (digest_of(5), IMAGE)]
    containers = [{"name": f"c{at}", "image": image, "memory": 64} for at, image in enumerate(images)]
    ecs = aws.get_client("ecs")
    ecs.register_task_definition(family="web", containerDefinitions=containers)
    ecs.update_service(cluster="c", service="web", taskDefinition="web")
    monitor = running.handlers.risk_monitor

    class FailingLookup:
        """Fails for one image."""

        def look_up(self, digest: str, *arguments: Any) -> ScanState:
            if digest == digest_of(5):
                raise ValueError("half a record")
            return monitor.scan_lookup.look_up(digest, *arguments)

    with pytest.raises(ValueError, match="half a record"):
        replace(monitor, scan_lookup=FailingLookup()).renew()  # type: ignore[arg-type]
    assert running.read_deadline() is not None


def test_approvals_that_fail_do_not_keep_what_runs_from_being_judged(aws: Account) -> None:
    running = Running(aws)
    running.add_finding()
    token = aws.ask(OTHER_IMAGE)
    aws.broken = {"s3.GetObject"}
    aws.complete_scan(OTHER_IMAGE)
    with pytest.raises(ClientError):
        running.handlers.record(make_approval_event(token, image=OTHER_IMAGE))
    aws.broken = {"codepipeline.PutApprovalResult"}
    with pytest.raises(ClientError):
        running.handlers.sweep(CLOCK)
    assert running.read_deadline() is not None
