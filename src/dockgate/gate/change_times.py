"""When time alone can change what rules say of an image. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from math import ceil, inf

from dockgate.gate.active_rules import ActiveRule
from dockgate.gate.rule import RuleInput
from dockgate.shared.timestamps import format_time, shift_time, to_datetime

# Where time may change a verdict at a moment that is not known, it is judged again after so long.
UNKNOWN_MOMENT = timedelta(hours=1)
# In seconds since 1970. Images and documents may name any time; what is due on the last day that there is, never is.
_LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def find_first_change(active: ActiveRule, rule_input: RuleInput, now: float) -> float:
    """Return when time can change the rule's answers, in seconds since 1970: `now` if unknown."""
    times = active.rule.list_change_times(rule_input, active.settings)
    return now if times is None else find_first_after(times, now)


def find_first_after(times: Iterable[datetime | None], now: float) -> float:
    """The first of the times after `now`, infinite without one."""
    return min((at for time in times if time is not None and (at := time.timestamp()) > now), default=inf)


def format_next_change(changes_at: float, now: str) -> str | None:
    """Return when to judge again what time can change at `changes_at`, not before that moment.

    `changes_at` is in seconds since 1970. None for never (infinite, or the last day that there is). A moment that is
    not after `now` is not known: see UNKNOWN_MOMENT.
    """
    if changes_at >= _LAST_DAY:
        return None
    if changes_at <= to_datetime(now).timestamp():
        return format_unknown_moment(now)
    milliseconds = ceil(changes_at * 1000)
    return format_time(datetime.fromtimestamp(milliseconds // 1000, UTC) + timedelta(milliseconds=milliseconds % 1000))


def format_unknown_moment(now: str) -> str:
    """Return when to judge again what time may change at any moment."""
    return format_time(shift_time(to_datetime(now), UNKNOWN_MOMENT))
