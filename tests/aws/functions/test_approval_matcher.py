"""Each waiter is answered once and in time, whatever fails on the way."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.aws.account import (
    PIPELINE,
    SCANNED,
    STAGE,
    Account,
    digest_of,
    make_approval_event,
    make_approval_message,
    make_finding,
    scan_event,
)
from tests.aws.fakes.server import Refused

from dockgate.aws.functions.table import Table
from dockgate.aws.functions.wait_table import LEASE_SECONDS, WaitTable
from dockgate.gate.model import ExemptionSet, Waiver
from dockgate.shared import canonical
from dockgate.shared.errors import DockgateError

IMAGE = digest_of(1)
FAULTS = (ClientError, DockgateError, ValueError)
CLOCK = {"source": "aws.events"}
MINUTE = 60


def _open_wait_table(aws: Account) -> WaitTable:
    return WaitTable(Table(aws.get_client("dynamodb"), "approvals"), lambda: aws.now)


# --- leases ----------------------------------------------------------------------------------------------------------


def test_after_a_crash_behind_the_answer_the_next_run_finds_it_settled(aws: Account) -> None:
    token = aws.ask(IMAGE)
    handlers = aws.make_functions()
    handlers.record(make_approval_event(token, image=IMAGE))
    aws.complete_scan(IMAGE)
    waits = _open_wait_table(aws)
    (wait,) = waits.read_items(IMAGE).waits
    assert waits.claim(wait)
    aws.get_client("codepipeline").put_approval_result(
        pipelineName=PIPELINE,
        stageName=STAGE,
        actionName=STAGE,
        token=token,
        result={"status": "Approved", "summary": ""},
    )
    assert handlers.sweep(CLOCK) == {"waiting": 0}, "it is claimed"
    assert aws.approvals.refused == 0
    aws.now += LEASE_SECONDS + 1
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert (aws.list_answers(token), aws.approvals.refused) == (["Approved"], 1)
    handlers.sweep(CLOCK)
    assert aws.approvals.refused == 1, "settled for good"


def test_a_claim_is_given_back_by_its_holder_alone(aws: Account) -> None:
    waits = _open_wait_table(aws)
    aws.make_functions().record(make_approval_event(aws.ask(IMAGE), image=IMAGE))
    (wait,) = waits.read_items(IMAGE).waits
    first = waits.claim(wait)
    assert waits.claim(wait) == 0
    aws.now += LEASE_SECONDS + 1
    second = waits.claim(wait)
    assert second > first
    waits.release(wait, first)
    assert waits.read_items(IMAGE).waits == ()
    waits.release(wait, second)
    assert len(waits.read_items(IMAGE).waits) == 1


def test_the_first_answer_to_an_approval_counts(aws: Account) -> None:
    waits = _open_wait_table(aws)
    aws.make_functions().record(make_approval_event(aws.ask(IMAGE), image=IMAGE))
    (wait,) = waits.read_items(IMAGE).waits
    waits.claim(wait)
    waits.settle(wait, "Approved", "ours", "")
    waits.settle(wait, "Settled", "theirs", "")
    (item,) = aws.get_client("dynamodb").scan(TableName="approvals")["Items"]
    assert (item["status"], item["summary"]) == ({"S": "Approved"}, {"S": "ours"})


def test_a_failing_answer_does_not_block_the_others(aws: Account) -> None:
    """The refused one is the first of its image: the others, and other images', are answered."""
    foreign_token = aws.ask(IMAGE, "Foreign")
    tokens = [aws.ask(image) for image in (IMAGE, IMAGE, digest_of(2))]
    handlers = aws.make_functions(DOCKGATE_APPROVALS=f"Foreign/{STAGE}/{STAGE},{PIPELINE}/{STAGE}/{STAGE}")
    foreign = make_approval_message(foreign_token, IMAGE).replace(PIPELINE, "Foreign")
    handlers.record({"Records": [{"Sns": {"Message": foreign}}]})
    handlers.record(make_approval_event(*tokens[:2], image=IMAGE))
    handlers.record(make_approval_event(tokens[2], image=digest_of(2)))
    give = aws.services["codepipeline"].operations["PutApprovalResult"]

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        if request["pipelineName"] == "Foreign":
            raise Refused("AccessDeniedException")
        return give(request)

    aws.services["codepipeline"].operations["PutApprovalResult"] = refuse
    aws.complete_scan(IMAGE)
    aws.complete_scan(digest_of(2))
    with pytest.raises(ClientError):
        handlers.sweep(CLOCK)
    assert aws.list_answers(*tokens) == ["Approved"] * 3
    aws.now = SCANNED + 8 * 86400
    aws.approvals.run(foreign_token).status = "Failed"
    with pytest.raises(ClientError):
        handlers.sweep(CLOCK)
    assert handlers.sweep(CLOCK) == {"waiting": 0}, "CodePipeline has given up: no endless retries"


def test_a_verdict_is_kept_once_however_often_its_answer_fails(aws: Account) -> None:
    """A changed verdict is kept, too."""
    tokens = [aws.ask(IMAGE) for _ in range(2)]
    handlers = aws.make_functions()
    handlers.record(make_approval_event(*tokens, image=IMAGE))
    aws.complete_scan(IMAGE, make_finding(IMAGE, "LOW"))
    aws.broken = {"codepipeline.PutApprovalResult"}
    for _ in range(3):
        with pytest.raises(ClientError):
            handlers.sweep(CLOCK)
        aws.now += 5 * MINUTE
    first = aws.list_verdict_keys()
    assert len(first) == 3, "a page, its JSON and its case"
    aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL", 2))
    for _ in range(2):
        with pytest.raises(ClientError):
            handlers.sweep(CLOCK)
    aws.broken = set()
    handlers.sweep(CLOCK)
    assert aws.list_answers(*tokens) == ["Rejected", "Rejected"]
    assert len(aws.list_verdict_keys()) == 6
    (page,) = {aws.approvals.summaries[token].partition("&prefix=")[2] for token in tokens}
    assert page in aws.list_verdict_keys()
    assert page not in first


# --- in time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "broken_call", "output"),
    [
        ({"DOCKGATE_POLICY": "s3://verdicts/none.json"}, "", "NoSuchKey"),
        ({"DOCKGATE_POLICY": "ssm:/none"}, "", "ParameterNotFound"),
        ({"DOCKGATE_POLICY": "nowhere"}, "", "not the location of a document"),
        pytest.param({"DOCKGATE_POLICY": "s3://verdicts/broken.json"}, "", "JSONDecodeError", marks=pytest.mark.slow),
        ({"DOCKGATE_POLICY": "s3://verdicts/foreign.json"}, "", "names rules that do not exist: unheard_of"),
        ({"DOCKGATE_WAIVERS": "s3://verdicts/broken.json"}, "", "JSONDecodeError"),
        ({}, "s3.PutObject", "this test does not allow it"),
        ({}, "inspector2.ListFindings", "this test does not allow it"),
        pytest.param({}, "inspector2.ListCoverage", "this test does not allow it", marks=pytest.mark.slow),
        pytest.param({}, "inspector2.BatchGetFindingDetails", "this test does not allow it", marks=pytest.mark.slow),
    ],
)
def test_an_image_that_cannot_be_judged_waits_for_a_correction_and_is_rejected_in_time(
    aws: Account, environment: dict[str, str], broken_call: str, output: str
) -> None:
    aws.get_client("s3").put_object(Bucket="verdicts", Key="broken.json", Body=b"{")
    foreign = canonical.encode({"name": "foreign", "rules": {"unheard_of": [{}]}})
    aws.get_client("s3").put_object(Bucket="verdicts", Key="foreign.json", Body=foreign)
    handlers = aws.make_functions(**environment)
    aws.broken = {broken_call}
    token = aws.ask(IMAGE)
    aws.complete_scan(IMAGE, make_finding(IMAGE, "LOW"))
    with pytest.raises(FAULTS):
        handlers.record(make_approval_event(token, image=IMAGE))
    aws.now += 59 * MINUTE
    with pytest.raises(FAULTS):
        handlers.sweep(CLOCK)
    assert aws.list_answers(token) == [None]
    aws.now += 2 * MINUTE
    with pytest.raises(FAULTS):
        handlers.sweep(CLOCK)
    assert aws.list_answers(token) == ["Rejected"]
    assert output in aws.approvals.summaries[token]
    aws.broken = set()
    assert handlers.sweep(CLOCK) == {"waiting": 0}


def test_a_policy_that_was_corrected_in_time_answers(aws: Account) -> None:
    handlers = aws.make_functions()
    token = aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    aws.broken = {"s3.GetObject"}
    with pytest.raises(ClientError):
        handlers.record(make_approval_event(token, image=IMAGE))
    aws.broken = set()
    assert handlers.sweep(CLOCK) == {"waiting": 0}
    assert aws.list_answers(token) == ["Approved"]


@pytest.mark.parametrize(
    ("timeout", "minutes", "answer"),
    [
        (5, 0, None),
        (5, 4, "Rejected"),
        (30, 18, None),
        (30, 20, "Rejected"),
        (86_400, 59, None),
        (86_400, 60, "Rejected"),
        (None, 59, None),
        (None, 60, "Rejected"),
    ],
)
def test_approvals_are_answered_before_codepipelines_timeout(
    aws: Account, timeout: int | None, minutes: int, answer: str | None
) -> None:
    """By the timeout in the pipeline's definition, whatever the message says of it."""
    token = aws.ask(IMAGE)
    aws.approvals.pipelines[PIPELINE].timeout = timeout
    handlers = aws.make_functions()
    handlers.record(make_approval_event(token, image=IMAGE, expires="2026-11-18T11:16Z"))
    aws.now += minutes * MINUTE
    handlers.sweep(CLOCK)
    assert aws.list_answers(token) == [answer]
    if answer:
        assert "Inspector has not scanned the image. It was waited for until now." in aws.approvals.summaries[token]


def test_a_sweep_ends_in_time_and_takes_the_pressing_first(aws: Account, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = aws.make_functions()
    patient = [digest_of(number) for number in range(1, 7)]
    for image in patient:
        handlers.record(make_approval_event(aws.ask(image), image=image))
    pressing = aws.ask(digest_of(9), started_at=aws.now - 60 * MINUTE + 30)
    handlers.record(make_approval_event(pressing, image=digest_of(9)))
    aws.now += 30
    clock_looks = iter(range(100))
    assert handlers.approvals.sweep(lambda: next(clock_looks) >= 2) == len(patient)
    assert aws.list_answers(pressing) == ["Rejected"]
    assert '"SweepIncomplete"' in capsys.readouterr().out
    queried_ids = set()
    for _ in patient:
        aws.now += 60
        calls = aws.services["inspector2"].calls
        calls.clear()
        clock_looks = iter(range(100))
        handlers.approvals.sweep(lambda: next(clock_looks) >= 2)  # noqa: B023 - it is called at once
        queried_ids |= {item["value"] for _, request in calls for item in request["filterCriteria"]["resourceId"]}
    assert len(queried_ids) == len(patient), "each has its turn, however little time there is"


# --- repositories ----------------------------------------------------------------------------------------------------


def test_an_image_in_two_repositories_is_judged_by_each_ones_waivers(aws: Account) -> None:
    """By neither's where the action names no repository: everyone who may push could copy the image to one."""
    waiver = Waiver("w1", "ann", "known", "CVE-2024-0001", repository="other", until="2027-01-01T00:00:00Z")
    aws.get_client("s3").put_object(
        Bucket="verdicts", Key="waivers.json", Body=canonical.encode(ExemptionSet((waiver,)))
    )
    handlers = aws.make_functions(DOCKGATE_WAIVERS="s3://verdicts/waivers.json")
    own_token, other_token = aws.ask(IMAGE), aws.ask(IMAGE, Image_Repository="other")
    unnamed_token = aws.ask(IMAGE, Image_Repository="")
    handlers.record(make_approval_event(own_token, image=IMAGE))
    handlers.record(make_approval_event(other_token, image=IMAGE, Image_Repository="other"))
    handlers.record(make_approval_event(unnamed_token, image=IMAGE, Image_Repository=""))
    for repository in ("other", "dockgate-app"):
        aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL", repository=repository), repository=repository)
        handlers.judge(scan_event(IMAGE, repository=repository, CRITICAL=1, TOTAL=1))
    assert aws.list_answers(own_token, other_token, unnamed_token) == ["Rejected", "Approved", "Rejected"]


def test_findings_of_another_repository_are_not_this_images_whole_list(aws: Account) -> None:
    """The other repository's listing is complete, ours not yet: it is waited for."""
    token = aws.ask(IMAGE)
    handlers = aws.make_functions()
    handlers.record(make_approval_event(token, image=IMAGE))
    aws.complete_scan(
        IMAGE, make_finding(IMAGE, "LOW", 1, repository="other"), make_finding(IMAGE, "LOW", 2, repository="other")
    )
    aws.inspector.findings[IMAGE].append(make_finding(IMAGE, "LOW", 1))
    handlers.judge(scan_event(IMAGE, TOTAL=2))
    assert aws.list_answers(token) == [None]
    aws.inspector.findings[IMAGE].append(make_finding(IMAGE, "CRITICAL", 3))
    handlers.sweep(CLOCK)
    assert aws.list_answers(token) == ["Rejected"]
