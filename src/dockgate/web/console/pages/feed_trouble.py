"""The trouble of an advisory feed, in words. Pure."""

from dataclasses import dataclass
from datetime import datetime

from dockgate.delivery.model import RunState
from dockgate.services.feeds.status import FeedStatus
from dockgate.vulnerabilities.feed_age import is_stale
from dockgate.web.console.formats import format_age


@dataclass(frozen=True, slots=True)
class FeedTrouble:
    """`state` says how it looks (`formats.get_mark`)."""

    state: str
    sentence: str


def find_feed_trouble(feed: FeedStatus, now: datetime) -> FeedTrouble | None:
    """The worst of what is wrong: stale, failing, suspect.

    None for a feed that works, or was never fetched.
    """
    failing = f" It is not fetched: {feed.off}." if feed.off else f" Updates fail: {feed.reason}" if feed.reason else ""
    if feed.checked_at and is_stale(feed.checked_at, now):
        last_check = f"Last checked {format_age(feed.checked_at, now)}: new verdicts that need it are Undetermined."
        return FeedTrouble("Stale", last_check + failing)
    if feed.reason:
        no_data = "" if feed.checked_at else "There is no data of it yet. "
        began = f"Updates began to fail {format_age(feed.failing_since, now)}" if feed.failing_since else "Updates fail"
        return FeedTrouble(RunState.FAILED, f"{no_data}{began}: {feed.reason}")
    if feed.suspect:
        return FeedTrouble("Suspect", f"It is checked and brings nothing: {feed.suspect}, unusually old for it.")
    return None
