"""The schedule of fetching feeds, and the failures that are announced. Pure.

All times are RFC 3339 in UTC. A clock may jump: a time further in the future than any pause does not count, and what is
due is fetched once, whether a minute or a year has passed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dockgate.shared.retry import RetrySchedule
from dockgate.shared.timestamps import format_time, parse_time

# Failed parts that are stored of one attempt, and characters of a reason.
FAILURE_LIMIT = 20
REASON_LIMIT = 500
# Seconds between attempts at a feed that fails: the first pause, unless the feed's period is shorter, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 3600.0
# The longest pause for hosts that never answered: a server without network.
_UNREACHABLE_PAUSE = 6 * 3600.0
# A period or pause gets longer by up to this fraction, so that servers do not fetch at the same time.
JITTER = 0.1
# A feed that failed again within a day after it had recovered is announced once it has failed for an hour.
_FLAPPING_PERIOD, _FLAPPING_PATIENCE = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PartFailure:
    """A part of a feed that could not be updated: "osv Debian", or "kev" for a feed with one part.

    `attempts` counts those in a row that failed.
    """

    part: str
    reason: str
    advice: str | None = None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class FeedState:
    """The result of the attempts to fetch a feed; None: never.

    `failures` counts the failed attempts in a row, since `failing_since`; `failed_parts` are those of the last attempt.
    `suspect` says why its data may be old though it is checked, in `suspect_parts`: see `feed_age`; `newest` is the day
    of its last record.
    `is_partial`: other parts were updated in the last attempt.
    `is_unreachable`: no host took a connection. `next_at` is the next attempt, `off` why the server makes none.
    The rest is for announcements: the period of failure that was announced with these parts, when the last one that was
    announced ended, and of which last check was announced that it is too old.
    """

    feed: str
    attempted_at: str | None = None
    succeeded_at: str | None = None
    failed_at: str | None = None
    failing_since: str | None = None
    failures: int = 0
    failed_parts: tuple[PartFailure, ...] = ()
    is_unreachable: bool = False
    is_partial: bool = False
    next_at: str | None = None
    off: str | None = None
    suspect: str | None = None
    suspect_parts: tuple[str, ...] = ()
    newest: str | None = None
    announced_since: str | None = None
    announced_parts: tuple[str, ...] = ()
    recovered_at: str | None = None
    stale_since: str | None = None


@dataclass(frozen=True, slots=True)
class FeedAnnouncement:
    """The news that a feed fails, or, without `failures`, that it has recovered.

    `since` is the beginning of the failure. `key` names this announcement among those of the feed.
    """

    feed: str
    since: str
    failures: tuple[PartFailure, ...]
    key: str


def apply_attempt(
    state: FeedState,
    now: datetime,
    failures: Sequence[PartFailure],
    *,
    is_unreachable: bool = False,
    is_partial: bool = False,
) -> FeedState:
    """The state after an attempt that ended now. It has no next attempt yet: see `schedule`."""
    time = format_time(now)
    if not failures:
        return replace(
            state,
            attempted_at=time,
            succeeded_at=time,
            failing_since=None,
            failures=0,
            failed_parts=(),
            is_unreachable=False,
            is_partial=False,
            next_at=None,
        )
    attempts = {failure.part: failure.attempts for failure in state.failed_parts}
    shortened_failures = [
        replace(failure, reason=failure.reason[:REASON_LIMIT], attempts=attempts.get(failure.part, 0) + 1)
        for failure in failures[:FAILURE_LIMIT]
    ]
    return replace(
        state,
        attempted_at=time,
        failed_at=time,
        failing_since=state.failing_since or time,
        failures=state.failures + 1,
        failed_parts=tuple(shortened_failures),
        is_unreachable=is_unreachable,
        is_partial=is_partial,
        next_at=None,
    )


def compute_pause(state: FeedState, period: float) -> float:
    """Seconds between the last attempt and the next, without jitter.

    `period` is that of a feed that works. The part decides that has failed least often: a record that stays unreadable
    in one part keeps no other part from its first retries, nor those that were updated from their period.
    """
    if not state.failures:
        return period
    longest = _LONGEST_PAUSE
    if state.is_unreachable and state.succeeded_at is None:
        longest = _UNREACHABLE_PAUSE
    is_complete = len(state.failed_parts) < FAILURE_LIMIT
    failures = min((part.attempts for part in state.failed_parts), default=0) if is_complete else 0
    seconds = RetrySchedule(min(_FIRST_PAUSE, period), longest).compute_pause(failures or state.failures)
    return min(seconds, period) if state.is_partial else seconds


def schedule(state: FeedState, now: datetime, period: float, checked_at: str | None, jitter: float) -> FeedState:
    """The state with its next attempt.

    `period` is in seconds, `checked_at` the last successful check of the feed's oldest part, `jitter` from 0 to 1.
    """
    seconds = compute_pause(state, period)
    longest = timedelta(seconds=seconds * (1 + JITTER))
    planned_at = parse_time(state.next_at or "")
    if planned_at is not None and planned_at <= now + longest:
        return state
    last = parse_time(state.attempted_at or checked_at or "")
    if last is None or last > now:
        return replace(state, next_at=format_time(now))
    return replace(state, next_at=format_time(last + timedelta(seconds=seconds * (1 + JITTER * jitter))))


def is_due(state: FeedState, now: datetime) -> bool:
    """Return whether the next attempt is due."""
    planned_at = parse_time(state.next_at or "")
    return planned_at is not None and planned_at <= now


def announce(state: FeedState, now: datetime) -> tuple[FeedState, FeedAnnouncement | None]:
    """Return what to announce now, and the state once that is done.

    Each period of failure is announced once, and once more for parts that fail later. A feed that fails and recovers
    again and again is announced at most twice a day, unless it fails for an hour.
    """
    if state.failing_since is None:
        if state.announced_since is None:
            return state, None
        since = state.announced_since
        recovered_at = format_time(now)
        ended_state = replace(
            state, announced_since=None, announced_parts=(), recovered_at=recovered_at, stale_since=None
        )
        return ended_state, FeedAnnouncement(state.feed, since, (), since)
    new = [failure.part for failure in state.failed_parts if failure.part not in state.announced_parts]
    if (
        not new
        or len(state.announced_parts) >= FAILURE_LIMIT
        or (state.announced_since is None and _is_flapping(state, now))
    ):
        return state, None
    since = state.announced_since or state.failing_since
    parts = (*state.announced_parts, *new)[:FAILURE_LIMIT]
    key = f"{since}/{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"
    announced_state = replace(state, announced_since=since, announced_parts=parts)
    return announced_state, FeedAnnouncement(state.feed, since, state.failed_parts, key)


def _is_flapping(state: FeedState, now: datetime) -> bool:
    recovered_at, failing_since = parse_time(state.recovered_at or ""), parse_time(state.failing_since or "")
    if recovered_at is None or failing_since is None:
        return False
    return abs(now - recovered_at) < _FLAPPING_PERIOD and abs(now - failing_since) < _FLAPPING_PATIENCE
