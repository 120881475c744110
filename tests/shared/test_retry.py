"""Retry schedules: doubling pauses, limits by number and by time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from dockgate.shared.retry import OUTBOX_RETRIES, RetrySchedule

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def test_deliveries_are_retried_with_doubling_pauses_for_a_day() -> None:
    now, failures, pauses = NOW, 0, []
    while (
        next_attempt := OUTBOX_RETRIES.compute_next_attempt("msg_1", failures + 1, now, NOW.isoformat())
    ) is not None:
        failures += 1
        pauses.append(next_attempt - now)
        now = next_attempt
    longest = timedelta(seconds=OUTBOX_RETRIES.longest_pause)
    assert timedelta(seconds=2) <= pauses[0] < timedelta(seconds=3)
    assert all(shorter < right for shorter, right in pairwise(pauses[:10]))
    assert max(pauses) <= longest * 1.25
    assert timedelta(days=1) - longest * 1.25 < now - NOW < timedelta(days=1)


def test_a_delivery_that_was_due_days_ago_is_tried_for_an_hour() -> None:
    """A server that was off, or whose clock jumped, gives nothing up at its first attempt."""
    now, failures, since = NOW, 0, (NOW - timedelta(days=3)).isoformat()
    while (next_attempt := OUTBOX_RETRIES.compute_next_attempt("msg_1", failures + 1, now, since)) is not None:
        failures += 1
        now = next_attempt
    assert timedelta(minutes=30) < now - NOW < timedelta(hours=2)


def test_a_schedule_may_limit_the_number_of_attempts() -> None:
    schedule = RetrySchedule(first_pause=30, longest_pause=3600, attempts=8)
    attempts = [schedule.compute_next_attempt("build", failures, NOW) for failures in range(1, 10)]
    assert [attempt is None for attempt in attempts] == [False] * 7 + [True] * 2


def test_items_that_failed_together_are_retried_at_different_times() -> None:
    assert OUTBOX_RETRIES.compute_next_attempt("a", 1, NOW) != OUTBOX_RETRIES.compute_next_attempt("b", 1, NOW)


def test_pauses_double_up_to_the_longest() -> None:
    assert RetrySchedule(first_pause=1, longest_pause=3, attempts=4).compute_pauses() == (1, 2, 3)
    assert RetrySchedule(first_pause=1, longest_pause=3).compute_pause(10_000) == 3
