"""When a scan is over, and what it found: coverage, events and findings, each of which may be early, late or lost."""

from typing import Any

import pytest
from tests.aws.account import (
    SCANNED,
    Account,
    digest_of,
    make_approval_event,
    make_finding,
    scan_event,
)

IMAGE = digest_of(1)
CLOCK = {"source": "aws.events"}
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _request_approval(aws: Account, image: str, **variables: Any) -> str:
    token = aws.ask(image, **variables)
    aws.make_functions().record(make_approval_event(token, image=image, **variables))
    return token


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("SUCCESSFUL", "Approved"),
        ("SCAN_FREQUENCY_SCAN_ON_PUSH", "Approved"),
        ("PENDING_INITIAL_SCAN", None),
        ("SCAN_IN_PROGRESS", None),
        ("INTERNAL_ERROR", None),
        ("PENDING_REVIVAL_SCAN", None),
        ("UNSUPPORTED_OS", "Rejected"),
        ("SCAN_ELIGIBILITY_EXPIRED", "Rejected"),
        ("IMAGE_ARCHIVED", "Rejected"),
        ("SCAN_FREQUENCY_MANUAL", "Rejected"),
    ],
)
def test_an_image_is_answered_by_its_coverage_where_the_event_was_lost(
    aws: Account, reason: str, answer: str | None
) -> None:
    aws.cover_image(IMAGE, reason)
    token = _request_approval(aws, IMAGE)
    assert aws.list_answers(token) == [answer]
    if answer == "Rejected":
        assert aws.approvals.summaries[token].startswith(f"Inspector cannot scan the image: {reason}.")


@pytest.mark.parametrize(
    ("reason", "hours", "answer"),
    [
        ("PENDING_INITIAL_SCAN", 0, "Approved"),  # the coverage lags
        ("", 0, "Approved"),
        ("", 2, None),  # it was deleted, and pushed again: its findings were closed, and it was not scanned again
        ("PENDING_REVIVAL_SCAN", 0, None),
        ("SCAN_IN_PROGRESS", 2, None),
        ("SCAN_ELIGIBILITY_EXPIRED", 0, "Rejected"),
    ],
)
def test_a_scan_event_counts_while_it_is_fresh(aws: Account, reason: str, hours: int, answer: str | None) -> None:
    aws.make_functions().judge(scan_event(IMAGE))
    if reason:
        aws.cover_image(IMAGE, reason)
    aws.now += hours * 3600
    assert aws.list_answers(_request_approval(aws, IMAGE)) == [answer]


def test_a_scan_that_failed_first_and_succeeded_since_counts(aws: Account) -> None:
    """The second has no event."""
    aws.make_functions().judge(scan_event(IMAGE, status="SCAN_FAILED_SOMEHOW"))
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Rejected"]
    aws.complete_scan(IMAGE)
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Approved"]


def test_the_latest_of_several_events_counts_in_any_order(aws: Account) -> None:
    late = scan_event(IMAGE)
    early = scan_event(IMAGE, status="SCAN_FAILED_SOMEHOW") | {"time": "2026-11-18T11:00:00Z"}
    handlers = aws.make_functions()
    handlers.judge(late)
    handlers.judge(early)
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Approved"]


def test_findings_that_are_not_listed_yet_are_waited_for(aws: Account) -> None:
    handlers = aws.make_functions()
    token = _request_approval(aws, IMAGE)
    aws.complete_scan(IMAGE, make_finding(IMAGE, "LOW", 1))
    handlers.judge(scan_event(IMAGE, TOTAL=2))
    aws.now += 59 * 60 - 600
    handlers.sweep(CLOCK)
    assert aws.list_answers(token) == [None]


def test_findings_that_were_closed_since_are_not(aws: Account) -> None:
    aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL", 1, status="CLOSED"), make_finding(IMAGE, "LOW", 2))
    aws.make_functions().judge(scan_event(IMAGE, CRITICAL=1, TOTAL=2))
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Approved"]


# --- findings roll in ------------------------------------------------------------------------------------------------


def _sweep(aws: Account, seconds: float = 0) -> None:
    aws.now += seconds
    aws.make_functions().sweep(CLOCK)


def test_a_list_that_the_event_contradicts_waits_for_a_later_scan_and_is_undetermined_without_one(aws: Account) -> None:
    aws.complete_scan(IMAGE, make_finding(IMAGE, "LOW", 2), ended_at=SCANNED)
    aws.make_functions().judge(scan_event(IMAGE, CRITICAL=1, TOTAL=2))
    aws.now += 2 * 86400
    token = _request_approval(aws, IMAGE)
    _sweep(aws, 600)
    assert aws.list_answers(token) == [None]
    _sweep(aws, 3600)
    assert aws.list_answers(token) == ["Rejected"]
    assert "Inspector lists 1 findings of the 2 that it counted." in aws.approvals.summaries[token]


def test_a_later_scan_replaces_what_the_event_counted(aws: Account) -> None:
    """Inspector deletes closed findings after a while."""
    aws.complete_scan(IMAGE, make_finding(IMAGE, "LOW", 2), ended_at=SCANNED)
    aws.make_functions().judge(scan_event(IMAGE, CRITICAL=1, TOTAL=2))
    aws.cover_image(IMAGE, "SUCCESSFUL", ended_at=SCANNED + 3600)
    aws.now = SCANNED + 3 * 3600
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Approved"]


def test_coverage_that_is_ahead_of_the_findings_approves_nothing(aws: Account) -> None:
    aws.complete_scan(IMAGE, *(make_finding(IMAGE, "CRITICAL", number) for number in range(3)), ended_at=SCANNED)
    aws.inspector.lag[IMAGE] = [0, 0, 1, 3]
    aws.now = SCANNED + 5
    token = _request_approval(aws, IMAGE)
    for seconds in (60, 60, 60):
        _sweep(aws, seconds)
    assert aws.list_answers(token) == [None]
    _sweep(aws, 300)
    assert aws.list_answers(token) == ["Rejected"]
    assert "3 CRITICAL" in aws.approvals.summaries[token]


@pytest.mark.parametrize(
    ("lag", "answers"),
    [
        ([0, 0], [None, "Approved"]),
        ([0, 1], [None, None, "Rejected"]),
        ([0, 1, 0, 1, 1], [None, None, None, None, "Rejected"]),
    ],
)
def test_without_the_event_two_lists_in_a_row_have_to_be_equal(
    aws: Account, lag: list[int], answers: list[str | None]
) -> None:
    aws.complete_scan(IMAGE, *(make_finding(IMAGE, "CRITICAL", number) for number in range(max(lag))), ended_at=SCANNED)
    aws.inspector.lag[IMAGE] = lag
    aws.now = SCANNED + 301
    token = _request_approval(aws, IMAGE)
    collected_answers = aws.list_answers(token)
    for _ in answers[1:]:
        _sweep(aws, 300)
        collected_answers += aws.list_answers(token)
    assert collected_answers == answers


def test_two_lists_at_the_same_moment_confirm_nothing(aws: Account) -> None:
    aws.complete_scan(IMAGE, ended_at=SCANNED)
    aws.now = SCANNED + 301
    token = _request_approval(aws, IMAGE)
    _sweep(aws)
    assert aws.list_answers(token) == [None]


def test_the_list_of_a_scan_long_ago_is_confirmed_at_once(aws: Account) -> None:
    aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL"), ended_at=SCANNED)
    aws.inspector.lag[IMAGE] = [0, 1]
    aws.now = SCANNED + 3601
    token = _request_approval(aws, IMAGE)
    assert aws.list_answers(token) == [None]
    _sweep(aws)
    assert aws.list_answers(token) == ["Rejected"]


def test_an_event_without_a_total_confirms_no_list(aws: Account) -> None:
    event = scan_event(IMAGE)
    event["detail"]["finding-severity-counts"] = {}
    aws.complete_scan(IMAGE, ended_at=SCANNED)
    aws.now = SCANNED + 60
    aws.make_functions().judge(event)
    token = _request_approval(aws, IMAGE)
    assert aws.list_answers(token) == [None]


def test_a_scan_without_a_time_is_undetermined(aws: Account) -> None:
    aws.complete_scan(IMAGE, ended_at=None)
    token = _request_approval(aws, IMAGE)
    assert aws.list_answers(token) == [None]
    _sweep(aws, 3600)
    assert "does not say when it scanned" in aws.approvals.summaries[token]


def test_suppressed_findings_count(aws: Account) -> None:
    aws.complete_scan(IMAGE, make_finding(IMAGE, "CRITICAL", 1, status="SUPPRESSED"))
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Rejected"]


def test_all_pages_count(aws: Account) -> None:
    aws.complete_scan(IMAGE, *(make_finding(IMAGE, "MEDIUM", number) for number in range(11)))
    assert aws.list_answers(_request_approval(aws, IMAGE)) == ["Rejected"]


def test_continuous_scans_are_current_and_single_scans_grow_stale(aws: Account) -> None:
    aws.cover_image(IMAGE, "SUCCESSFUL")
    aws.cover_image(digest_of(2), "SCAN_FREQUENCY_SCAN_ON_PUSH")
    aws.now = SCANNED + 8 * 86400
    assert aws.list_answers(_request_approval(aws, IMAGE), _request_approval(aws, digest_of(2))) == [
        "Approved",
        "Rejected",
    ]


def test_an_image_that_no_repository_is_named_of_is_found_by_its_event(aws: Account) -> None:
    token = _request_approval(aws, IMAGE, Image_Repository="")
    aws.complete_scan(IMAGE)
    aws.make_functions().sweep(CLOCK)
    assert aws.list_answers(token) == [None]
    aws.make_functions().judge(scan_event(IMAGE))
    assert aws.list_answers(token) == ["Approved"]


# --- indexes ---------------------------------------------------------------------------------------------------------
