"""Messages that ask for approvals, from a queue, a topic or a pipe, whatever is wrong with them."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.aws.account import (
    Account,
    digest_of,
    make_approval_event,
    make_approval_message,
    scan_event,
)

from dockgate.aws.functions.table import Table
from dockgate.aws.functions.wait_table import WaitTable
from dockgate.aws.messages import parse_scan

IMAGE = digest_of(1)
CLOCK = {"source": "aws.events"}


def _make_sqs_event(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": str(number), "body": body} for number, body in enumerate(bodies, 1)]}


def _open_wait_table(aws: Account) -> WaitTable:
    return WaitTable(Table(aws.get_client("dynamodb"), "approvals"), lambda: aws.now)


def test_only_failed_messages_of_a_queue_return(aws: Account) -> None:
    first, second = aws.ask(IMAGE), aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    good = json.dumps({"Type": "Notification", "Message": make_approval_message(first, IMAGE)})
    aws.broken.add("codepipeline.PutApprovalResult")
    answer = aws.make_functions().record(_make_sqs_event("{", "[]", good, make_approval_message(second, IMAGE)))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "4"}]}


def test_an_unreadable_message_does_not_block_the_others(aws: Account, capsys: pytest.CaptureFixture[str]) -> None:
    token = aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    odd = [
        "{",
        "null",
        "7",
        "{}",
        make_approval_message("no-token", IMAGE),
        make_approval_message("no-token", "sha256:1"),
    ]
    assert aws.make_functions().record(_make_sqs_event(*odd, make_approval_message(token, IMAGE))) == {
        "batchItemFailures": []
    }
    assert aws.list_answers(token) == ["Approved"]
    refusals = [line for line in capsys.readouterr().out.splitlines() if '"MessageRefused"' in line]
    assert len(refusals) == 2 * len(odd) - len(odd)


def test_a_dead_letter_can_be_passed_to_the_function_as_it_is_in_the_queue(aws: Account) -> None:
    """The function's own dead letters are its events; the topic's are notifications."""
    first, second = aws.ask(IMAGE), aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    handlers = aws.make_functions()
    aws.broken.add("dynamodb.PutItem")
    with pytest.raises(ClientError):
        handlers.record(make_approval_event(first, image=IMAGE))
    aws.broken.clear()
    for _ in range(2):
        handlers.record(make_approval_event(first, image=IMAGE))
        handlers.record({"Type": "Notification", "Message": make_approval_message(second, IMAGE)})
    assert aws.list_answers(first, second) == ["Approved", "Approved"]
    assert aws.approvals.refused == 0


@pytest.mark.parametrize("digest", ["", "sha256:1", "latest", "#{BuildVariables.IMAGE_DIGEST}"])
def test_an_action_that_names_no_digest_is_rejected_at_once_and_hears_why(aws: Account, digest: str) -> None:
    token, handlers = aws.ask(digest), aws.make_functions()
    for _ in range(2):
        handlers.record(make_approval_event(token, image=digest))
    assert aws.list_answers(token) == ["Rejected"]
    assert "Image_Digest=#{BuildVariables.IMAGE_DIGEST}" in aws.approvals.summaries[token]
    assert aws.get_client("dynamodb").scan(TableName="approvals")["Count"] == 0
    aws.broken.add("codepipeline.PutApprovalResult")
    with pytest.raises(ClientError):
        handlers.record(make_approval_event(aws.ask(digest), image=digest))


def test_an_event_without_status_and_repository_is_a_scan_in_an_unknown_repository(aws: Account) -> None:
    event = scan_event(IMAGE, repository="No Name")
    del event["detail"]["scan-status"]
    scan = parse_scan(event)
    assert scan is not None
    assert (scan.repository, scan.status) == (None, None)
    waits = _open_wait_table(aws)
    waits.record_scan(scan)
    items = waits.read_items(IMAGE)
    assert (items.find_scan(None), items.find_scan("team/app")) == (scan, None)


@pytest.mark.parametrize("expires", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "tomorrow", "2026-13-01"])
def test_an_invalid_time_is_ignored(aws: Account, expires: str) -> None:
    token = aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    assert aws.make_functions().record(_make_sqs_event(make_approval_message(token, IMAGE, expires))) == {
        "batchItemFailures": []
    }
    assert aws.list_answers(token) == ["Approved"]


def test_pipes_hand_over_a_list(aws: Account) -> None:
    token = aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    handlers = aws.make_functions()
    handlers.record(make_approval_event(token, image=digest_of(2)))
    handlers.judge([scan_event(digest_of(2)), scan_event(IMAGE)])
    assert aws.list_answers(token) == ["Approved"]


def test_a_topics_message_that_fails_is_raised_so_that_lambda_tries_again(aws: Account) -> None:
    token = aws.ask(IMAGE)
    aws.complete_scan(IMAGE)
    aws.broken.add("s3.PutObject")
    with pytest.raises(ClientError):
        aws.make_functions().record(make_approval_event(token, image=IMAGE))
    aws.broken.clear()
    aws.make_functions().record(make_approval_event(token, image=IMAGE))
    assert aws.list_answers(token) == ["Approved"]


def test_tokens_are_in_no_log(aws: Account, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = [aws.ask(IMAGE) for _ in range(4)]
    aws.complete_scan(IMAGE)
    handlers = aws.make_functions()
    calls = ("s3.PutObject", "codepipeline.PutApprovalResult", "dynamodb.UpdateItem", "inspector2.ListFindings")
    for broken_call in calls:
        aws.broken = {broken_call}
        with pytest.raises(ClientError):
            handlers.record(make_approval_event(tokens.pop(), image=IMAGE))
        with pytest.raises(ClientError):
            handlers.sweep(CLOCK)
    aws.broken = set()
    handlers.sweep(CLOCK)
    messages = capsys.readouterr()
    assert len(aws.approvals.answered) == 4
    assert [token for token in aws.approvals.answered if token in messages.out + messages.err] == []
