"""What is wrong with an advisory feed, in words."""

from dataclasses import replace
from datetime import UTC, datetime

from dockgate.services.feeds.status import FeedStatus
from dockgate.web.console.pages.feed_trouble import FeedTrouble, find_feed_trouble

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
RECENT, OLD = "2026-11-28T10:00:00Z", "2026-11-18T12:00:00Z"
FEED = FeedStatus("osv", "https://example.org", RECENT, RECENT, RECENT, None, None, 0, None, None, None)


def test_a_feed_that_works_or_was_never_fetched_is_no_trouble() -> None:
    assert find_feed_trouble(FEED, NOW) is None
    assert find_feed_trouble(replace(FEED, checked_at=None, off="DOCKGATE_FEED_KEV is not set"), NOW) is None


def test_a_stale_feed_says_what_that_does_and_why_it_is() -> None:
    problem = "Last checked 10 d ago: new verdicts that need it are Undetermined."
    stale = replace(FEED, checked_at=OLD)
    assert find_feed_trouble(stale, NOW) == FeedTrouble("Stale", problem)
    failing = replace(stale, reason="timed out", failing_since=OLD)
    assert find_feed_trouble(failing, NOW) == FeedTrouble("Stale", f"{problem} Updates fail: timed out")
    off = replace(stale, off="DOCKGATE_UPDATES turns it off")
    expected = FeedTrouble("Stale", f"{problem} It is not fetched: DOCKGATE_UPDATES turns it off.")
    assert find_feed_trouble(off, NOW) == expected


def test_a_failing_feed_says_since_when_and_a_suspect_one_why() -> None:
    failing = replace(FEED, reason="timed out", failing_since=RECENT, suspect="x")
    assert find_feed_trouble(failing, NOW) == FeedTrouble("Failed", "Updates began to fail 2 h ago: timed out")
    new = FeedTrouble("Failed", "There is no data of it yet. Updates began to fail 2 h ago: timed out")
    assert find_feed_trouble(replace(failing, checked_at=None), NOW) == new
    suspect = replace(FEED, suspect="the newest record of osv npm is of 2026-10-01")
    trouble = find_feed_trouble(suspect, NOW)
    assert trouble == FeedTrouble(
        "Suspect",
        "It is checked and brings nothing: the newest record of osv npm is of 2026-10-01, unusually old for it.",
    )
