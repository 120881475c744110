"""How old advisory data is, and whether packages can be judged with it. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dockgate.shared.timestamps import format_time, parse_time
from dockgate.vulnerabilities.model import Coverage, is_same_ecosystem

# The age at which a feed is stale, unless a policy says otherwise (`evidence.stale_after_days`).
STALE_AFTER = timedelta(days=7)
# A check that is further in the future was made with another clock.
CLOCK_SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CannotJudge:
    """Why the database cannot judge now: the ecosystems whose feed is stale, sorted; () if there is no database.

    `since` is when the first of them became stale (RFC 3339); None if that is not known.
    """

    since: str | None
    ecosystems: tuple[str, ...]
    reason: str


def is_stale(checked_at: str, now: datetime, limit: timedelta = STALE_AFTER) -> bool:
    """Whether a check at this time is too old, unknown, or in the future."""
    then = parse_time(checked_at)
    return then is None or not -CLOCK_SKEW <= now - then < limit


def cannot_judge(
    coverage: Iterable[Coverage],
    now: datetime,
    limit: timedelta = STALE_AFTER,
    ecosystems: Collection[str] | None = None,
) -> CannotJudge | None:
    """Why packages of these ecosystems (None: of all that are covered) cannot be judged now; None if they can.

    New verdicts are then Undetermined. What runs is not at risk for it: nothing is known against it.
    """
    stale = [
        entry
        for entry in coverage
        if (ecosystems is None or any(is_same_ecosystem(entry.ecosystem, name) for name in ecosystems))
        and is_stale(entry.checked_at, now, limit)
    ]
    if not stale:
        return None
    times = [parse_time(entry.checked_at) for entry in stale]
    ends = [time + limit for time in times if time is not None and time + limit <= now]
    names = tuple(sorted(entry.ecosystem for entry in stale))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    reason = f"The advisories of {', '.join(names[:3])}{more} were last checked more than {limit.days} days ago."
    return CannotJudge(format_time(min(ends)) if ends else None, names, reason)
