"""The time for which an image is watched: until when its verdict is kept current. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from dockgate.gate.policy_choice import Watch, WatchStart
from dockgate.shared.timestamps import format_time, parse_time

# How long an image that no service runs is watched after its push, approval or run under `watch: running`.
DEPLOY_DAYS = 7


@dataclass(frozen=True, slots=True)
class ImageUse:
    """The times at which an image was last pushed, requested to be approved, pulled and run.

    None for never.
    """

    repository: str
    pushed_at: str | None = None
    approval_at: str | None = None
    pulled_at: str | None = None
    run_at: str | None = None


@dataclass(frozen=True, slots=True)
class WatchState:
    """The watch of an image, if it is watched.

    `until` is the end of the watch, or when it ended; None if it has no end yet.
    """

    is_watched: bool
    until: str | None = None


def compute_watch_state(watch: Watch, use: ImageUse, now: str, *, is_running: bool) -> WatchState:
    """Return whether the image is watched at `now`, as all are that run or wait for an approval.

    A time after a pull or run that never happened counts from the push, or from the request for an approval.
    """
    if watch.start is WatchStart.FOREVER or is_running:
        return WatchState(True)
    times = [use.pushed_at, use.approval_at]
    if watch.start is WatchStart.PULL:
        times.append(use.pulled_at)
    if watch.start in (WatchStart.RUN, WatchStart.RUNNING):
        times.append(use.run_at)
    last = parse_time(max(filter(None, times), default=""))
    if last is None:
        return WatchState(False)
    seconds = DEPLOY_DAYS * 86400 if watch.seconds is None else watch.seconds
    until = format_time(last + timedelta(seconds=seconds))
    return WatchState(now < until, until)
