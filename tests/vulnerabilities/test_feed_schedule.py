"""When feeds are fetched, and what is announced: by a clock that is passed, and that may jump."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dockgate.shared.timestamps import format_time, parse_time
from dockgate.vulnerabilities.feed_schedule import (
    FAILURE_LIMIT,
    JITTER,
    REASON_LIMIT,
    FeedAnnouncement,
    FeedState,
    PartFailure,
    announce,
    apply_attempt,
    is_due,
    schedule,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOUR = 3600.0
FAILED = [PartFailure("osv PyPI", "it answered 500")]


def get_time(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def get_next_hours(state: FeedState, now: datetime = NOW, period: float = HOUR, checked_at: str | None = None) -> float:
    """Hours from NOW to the next attempt, without jitter."""
    planned_time = parse_time(schedule(state, now, period, checked_at, 0).next_at or "")
    assert planned_time
    return (planned_time - NOW).total_seconds() / 3600


def test_a_feed_that_was_never_fetched_is_due_at_once() -> None:
    state = schedule(FeedState("osv"), NOW, HOUR, None, 0.5)
    assert is_due(state, NOW)
    assert not is_due(FeedState("osv"), NOW)  # without a schedule


def test_a_recent_database_is_not_fetched_again_at_the_start() -> None:
    assert get_next_hours(FeedState("osv"), checked_at=format_time(get_time(-0.25))) == 0.75


def test_a_feed_that_works_is_fetched_every_period_with_jitter() -> None:
    state = apply_attempt(FeedState("osv"), NOW, [])
    assert (state.succeeded_at, state.failures, state.failing_since) == (format_time(NOW), 0, None)
    assert get_next_hours(state) == 1
    latest_time = parse_time(schedule(state, NOW, HOUR, None, 1).next_at or "")
    assert latest_time == get_time(1 + JITTER)
    planned_state = schedule(state, NOW, HOUR, None, 0.5)
    assert schedule(planned_state, get_time(0.5), HOUR, None, 0.9) == planned_state  # a plan is kept


def test_a_part_that_keeps_failing_does_not_delay_the_retries_of_others() -> None:
    broken_part, brief = (
        PartFailure("osv npm", "one record is unreadable"),
        PartFailure("osv Debian", "it answered 500"),
    )
    state = FeedState("osv", succeeded_at=format_time(NOW))
    for _ in range(9):
        state = apply_attempt(state, NOW, [broken_part], is_partial=True)
    assert get_next_hours(state) == 1
    both = apply_attempt(state, NOW, [broken_part, brief], is_partial=True)
    assert get_next_hours(both) == pytest.approx(1 / 60)
    assert get_next_hours(apply_attempt(both, NOW, [broken_part], is_partial=True)) == 1
    assert [part.attempts for part in both.failed_parts] == [10, 1]


def test_parts_that_work_keep_their_period_beside_one_that_fails() -> None:
    state = FeedState("osv", succeeded_at=format_time(NOW))
    for _ in range(9):
        state = apply_attempt(state, NOW, FAILED, is_partial=True)
    assert get_next_hours(state, period=HOUR / 6) == pytest.approx(1 / 6)
    assert get_next_hours(replace(state, is_partial=False), period=HOUR / 6) == 1


def test_more_failing_parts_than_are_stored_are_tried_with_growing_pauses() -> None:
    state = FeedState("osv", succeeded_at=format_time(NOW))
    for _ in range(9):
        failures = [PartFailure(f"osv {number}", "no") for number in range(2 * FAILURE_LIMIT)]
        state = apply_attempt(state, NOW, failures)
    assert get_next_hours(state) == 1


def test_failures_are_tried_again_with_growing_pauses_up_to_an_hour() -> None:
    state, minutes = FeedState("osv", succeeded_at=format_time(NOW)), []
    for _ in range(9):
        state = apply_attempt(state, NOW, FAILED)
        minutes.append(round(get_next_hours(state) * 60))
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (state.failures, state.failing_since) == (9, format_time(NOW))
    assert get_next_hours(apply_attempt(state, get_time(1), []), get_time(1)) == 2


def test_a_failing_feed_is_never_tried_later_than_one_that_works_for_the_first_time() -> None:
    assert get_next_hours(apply_attempt(FeedState("osv"), NOW, FAILED), period=10) * 3600 == pytest.approx(10)


def test_a_server_without_network_tries_every_six_hours() -> None:
    state = FeedState("osv")
    for _ in range(12):
        state = apply_attempt(state, NOW, FAILED, is_unreachable=True)
    assert get_next_hours(state) == 6
    reached_state = apply_attempt(FeedState("osv", succeeded_at=format_time(NOW)), NOW, FAILED, is_unreachable=True)
    assert get_next_hours(reached_state) == pytest.approx(1 / 60)


def test_a_clock_that_jumps_forward_leads_to_one_attempt() -> None:
    state = schedule(apply_attempt(FeedState("osv"), NOW, []), NOW, HOUR, None, 0)
    later = get_time(24 * 365)
    assert is_due(schedule(state, later, HOUR, None, 0), later)
    second_state = apply_attempt(state, later, [])
    assert not is_due(schedule(second_state, later, HOUR, None, 0), later)


def test_a_clock_that_jumps_back_leads_to_one_attempt() -> None:
    future = get_time(24 * 365)
    state = schedule(apply_attempt(FeedState("osv"), future, []), future, HOUR, None, 0)
    jumped_state = schedule(state, NOW, HOUR, format_time(future), 0)
    assert is_due(jumped_state, NOW)
    second_state = schedule(apply_attempt(jumped_state, NOW, []), NOW, HOUR, None, 0)
    assert not is_due(second_state, NOW)


def test_what_is_stored_of_failures_is_bounded() -> None:
    failures = [PartFailure(f"osv {number}", "x" * 10_000) for number in range(100)]
    state = apply_attempt(FeedState("osv"), NOW, failures)
    assert len(state.failed_parts) == FAILURE_LIMIT
    assert {len(failure.reason) for failure in state.failed_parts} == {REASON_LIMIT}


class Story:
    """A feed's attempts, and what was announced of them."""

    def __init__(self) -> None:
        self.state = FeedState("osv")
        self.announcements: list[FeedAnnouncement] = []

    def attempt_update(self, hours: float, *parts: str) -> int:
        """An attempt at that hour at which these parts fail. Returns how many announcements there are so far."""
        self.state = apply_attempt(
            self.state, get_time(hours), [PartFailure(part, "it answered 500") for part in parts]
        )
        for _ in range(3):
            self.state, announcement = announce(self.state, get_time(hours))
            self.announcements += [announcement] if announcement else []
        return len(self.announcements)


def test_a_failure_and_its_end_are_announced_once() -> None:
    story = Story()
    assert story.attempt_update(0) == 0
    assert [story.attempt_update(hour, "osv PyPI") for hour in (1, 2, 3)] == [1, 1, 1]
    assert [story.attempt_update(hour) for hour in (4, 5)] == [2, 2]
    failure, recovery = story.announcements
    assert (failure.since, failure.failures[0].part) == (format_time(get_time(1)), "osv PyPI")
    assert (recovery.since, recovery.failures) == (format_time(get_time(1)), ())
    assert failure.key != recovery.key


def test_a_part_that_fails_later_is_announced_too() -> None:
    story = Story()
    story.attempt_update(0, "osv PyPI")
    assert story.attempt_update(1, "osv PyPI", "osv npm") == 2
    assert story.attempt_update(2, "osv npm") == 2
    assert len({announcement.key for announcement in story.announcements}) == 2
    assert {announcement.since for announcement in story.announcements} == {format_time(NOW)}


def test_many_failing_parts_are_announced_once() -> None:
    story = Story()
    parts = [f"osv {number}" for number in range(40)]
    assert story.attempt_update(0, *parts) == 1
    assert story.attempt_update(1, *reversed(parts)) == 1


def test_a_feed_that_flaps_is_announced_a_few_times_a_day() -> None:
    story = Story()
    for quarter in range(4 * 24):
        story.attempt_update(quarter / 4, *([] if quarter % 2 else ["kev"]))
    assert len(story.announcements) == 2
    story.attempt_update(24, "kev")
    assert story.attempt_update(25.5, "kev") == 3  # it lasts
