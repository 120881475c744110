"""The ages of the feeds that an answer about a vulnerability depends on. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from dockgate.shared.timestamps import parse_time, to_datetime
from dockgate.vulnerabilities.feed_age import describe_staleness, is_stale
from dockgate.vulnerabilities.model import Coverage


@dataclass(frozen=True, slots=True)
class FeedAge:
    """The last check of the advisory feed for an ecosystem of which some image has packages.

    `checked_at` is null if unknown. `is_stale`: at the time of the question the check was too long ago, was unknown, or
    lay in the future. The limit is `STALE_AFTER`, the default of the rule `evidence`: no policy applies to a question.
    `reason` says so in a sentence, null if the feed is not stale.
    """

    ecosystem: str
    checked_at: str | None
    is_stale: bool
    reason: str | None


def list_feed_ages(
    coverage: Iterable[Coverage], ecosystems: Collection[str], now: str, as_of: str | None
) -> list[FeedAge]:
    """Return the ages of the feeds for these ecosystems, sorted by ecosystem.

    A question about a time before the last check is answered by advisories that were not stale at that time.
    """
    return [
        _make_feed_age(entry, now, as_of)
        for entry in sorted(coverage, key=lambda entry: entry.ecosystem)
        if entry.ecosystem in ecosystems
    ]


def find_moment(checked_at: str | None, now: str, as_of: str | None) -> datetime:
    """Return the time at which the age of a feed counts: that of the question, or the last check after it."""
    moment, checked_time, past_time = to_datetime(now), parse_time(checked_at), parse_time(as_of)
    if past_time is not None and checked_time is not None:
        return max(past_time, min(checked_time, moment))
    return moment


def _make_feed_age(coverage: Coverage, now: str, as_of: str | None) -> FeedAge:
    moment = find_moment(coverage.checked_at, now, as_of)
    reason = describe_staleness(
        f"The advisory feed for {coverage.ecosystem}", "was last checked", coverage.checked_at, moment
    )
    return FeedAge(coverage.ecosystem, coverage.checked_at, is_stale(coverage.checked_at, moment), reason)
