"""What runs and cannot be judged: one notice, no deadline, and a risk that began before stays."""

import json

import pytest
from botocore.exceptions import ClientError
from tests.aws.account import Account
from tests.aws.functions.running_services import CLOCK, DAY, IMAGE, Running


def test_an_image_that_is_watched_no_more_cannot_be_judged_and_is_not_at_risk(
    aws: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its findings are closed, which says nothing. Each time, the topic is notified once."""
    running = Running(aws)
    for _ in range(2):
        aws.cover_image(IMAGE, "SCAN_ELIGIBILITY_EXPIRED")
        for _ in range(3):
            running.handlers.sweep(CLOCK)
            aws.now += 20 * DAY
        (message,) = running.receive_messages()
        content = json.loads(message["Message"])
        assert message["Subject"] == "c/web cannot be judged"
        assert content["summary"] == "Inspector cannot scan the image: SCAN_ELIGIBILITY_EXPIRED."
        assert (content["until"], running.read_deadline()) == (None, None)
        aws.cover_image(IMAGE, "SUCCESSFUL")
        running.handlers.sweep(CLOCK)
        assert capsys.readouterr().out.count('"ServiceSafe"') == 1
    assert (running.read_deadline(), running.receive_notices()) == (None, [])


def test_a_risk_stays_while_the_image_cannot_be_judged(aws: Account) -> None:
    running = Running(aws)
    running.handlers.sweep(running.add_finding())
    until = running.read_deadline()
    running.receive_messages()
    aws.cover_image(IMAGE, "SCAN_ELIGIBILITY_EXPIRED")
    running.handlers.sweep(CLOCK)
    assert (running.read_deadline(), running.receive_messages()) == (until, [])
    aws.now += 14 * DAY
    running.handlers.sweep(CLOCK)
    (message,) = running.receive_messages()
    assert message["Subject"].startswith("c/web is at risk, deadline passed")


def test_an_image_that_could_not_be_judged_is_at_risk_once_it_is_rejected(aws: Account) -> None:
    running = Running(aws)
    aws.cover_image(IMAGE, "SCAN_ELIGIBILITY_EXPIRED")
    running.handlers.sweep(CLOCK)
    aws.cover_image(IMAGE, "SUCCESSFUL")
    aws.now += DAY
    running.handlers.sweep(running.add_finding())
    subjects = [message["Subject"] for message in running.receive_messages()]
    assert subjects == ["c/web cannot be judged", "c/web is at risk until 2026-12-03"]
    assert running.read_deadline() == int(aws.now) + 14 * DAY


@pytest.mark.parametrize("broken_call", ["sns.Publish", "s3.PutObject"])
def test_a_notice_that_an_image_cannot_be_judged_is_sent_again_after_a_failure(aws: Account, broken_call: str) -> None:
    running = Running(aws)
    aws.cover_image(IMAGE, "SCAN_ELIGIBILITY_EXPIRED")
    aws.broken = {broken_call}
    with pytest.raises(ClientError):
        running.handlers.sweep(CLOCK)
    aws.broken = set()
    for _ in range(2):
        running.handlers.sweep(CLOCK)
    assert [message["Subject"] for message in running.receive_messages()] == ["c/web cannot be judged"]
