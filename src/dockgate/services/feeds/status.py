"""The state of each advisory feed: its age, its last failure and its next attempt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dockgate.config import Settings
from dockgate.delivery.ports import Advisories
from dockgate.shared.errors import DatabaseError
from dockgate.shared.redaction import redact_url
from dockgate.shared.wording import format_count
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.feed_states import read_states
from dockgate.vulnerabilities.database.parts import Part
from dockgate.vulnerabilities.feed_age import find_suspect_start
from dockgate.vulnerabilities.feed_schedule import FeedState
from dockgate.vulnerabilities.model import select_ecosystems


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """A feed for people.

    `source` is its public URL or folder, `checked_at` the last check of its oldest part. Times are RFC 3339, None for
    never. `reason` is that of the last failure, None while the feed works; `off` says why the server does not fetch it.
    `suspect` says why its data may be old though it is checked, `newest` is the day of its newest record (both read
    once a day). `records` counts the records of all parts.
    """

    feed: str
    source: str | None
    checked_at: str | None
    changed_at: str | None
    succeeded_at: str | None
    failed_at: str | None
    failing_since: str | None
    failures: int
    reason: str | None
    next_at: str | None
    off: str | None
    suspect: str | None = None
    records: int = 0
    newest: str | None = None


def read_feed_statuses(database: Path, urls: Sequence[tuple[str, str]]) -> tuple[FeedStatus, ...]:
    """The status of each feed that has parts in the database at this path, was tried, or has a URL."""
    parts, states = read_parts(database), read_states(database)
    set_urls = dict(urls)
    all_urls = {feed.name: url for feed in feeds.load() if (url := set_urls.get(feed.name) or feed.url)}
    names = sorted({*(part.feed for part in parts), *states.feeds, *all_urls})
    return tuple(_make_feed_status(name, parts, states.get_state(name), all_urls.get(name)) for name in names)


def read_advisory_feeds(settings: Settings | None) -> Sequence[FeedStatus]:
    """The status of the feeds that these settings update, none without settings."""
    return read_feed_statuses(settings.advisories, settings.feeds) if settings else ()


def describe_advisory_database(advisories: Advisories) -> dict[str, Any]:
    """Return what the advisory database covers, or why it cannot be read."""
    try:
        reader = advisories()
        return {
            "digest": reader.digest,
            "coverage": [
                {"ecosystem": item.ecosystem, "is_complete": item.is_complete, "checked_at": item.checked_at}
                for item in select_ecosystems(reader.list_coverage())
            ],
        }
    except DatabaseError as error:
        return {"error": str(error), "advice": error.advice}


def read_suspect_feeds(database: Path) -> dict[str, str]:
    """Return why feeds are suspect, by feed, as it was read last (`FeedUpdates.announce_suspect`)."""
    return {name: state.suspect for name, state in read_states(database).feeds.items() if state.suspect}


def _make_feed_status(name: str, parts: Sequence[Part], state: FeedState, url: str | None) -> FeedStatus:
    own_parts = [part for part in parts if part.feed == name]
    reasons = [failure.reason for failure in state.failed_parts]
    more_failures = f" ({format_count(len(reasons) - 1, 'more failure')})" if len(reasons) > 1 else ""
    return FeedStatus(
        feed=name,
        source=own_parts[0].source if own_parts else redact_url(url) if url else None,
        checked_at=min((part.checked_at for part in own_parts), default=None),
        changed_at=max((part.changed_at for part in own_parts), default=None),
        succeeded_at=state.succeeded_at,
        failed_at=state.failed_at,
        failing_since=state.failing_since,
        failures=state.failures,
        reason=f"{reasons[0]}{more_failures}" if reasons else None,
        next_at=state.next_at,
        off=state.off,
        suspect=state.suspect,
        records=sum(part.statements for part in own_parts),
        newest=state.newest,
    )


def read_parts(database: Path) -> Sequence[Part]:
    """The parts of the database at this path, () without a database."""
    try:
        with Database.open(database) as reader:
            return reader.list_parts()
    except DatabaseError:
        return ()


def read_record_ages(path: Path, now: datetime) -> "RecordAges":
    """Return the age of the records of the database at this path, of no records without a database.

    It reads every record.
    """
    try:
        with Database.open(path) as reader:
            return record_ages(reader, now)
    except DatabaseError:
        return RecordAges((), {})


@dataclass(frozen=True, slots=True)
class SuspectPart:
    """A part whose newest record is unusually old for its own history.

    `newest` is a day, `since` RFC 3339.
    """

    feed: str
    part: str
    newest: str
    since: str


@dataclass(frozen=True, slots=True)
class RecordAges:
    """The suspect parts, and by feed the day of its newest record that is not in the future."""

    suspect: tuple[SuspectPart, ...]
    newest_days: Mapping[str, str]


def record_ages(database: Database, now: datetime) -> RecordAges:
    """Return the age of the records.

    Parts that were checked but bring no new ones are suspect: their publisher may have stopped. It reads every record
    of the database, so it is not for each request.
    """
    suspect, newest_of = [], dict[str, str]()
    for part in database.list_parts():
        days = database.list_record_days(part.feed, part.name)
        newest_day = max((day for day in days if day <= now.date().isoformat()), default="")
        if newest_day > newest_of.get(part.feed, ""):
            newest_of[part.feed] = newest_day
        if since := find_suspect_start(days, now):
            suspect.append(SuspectPart(part.feed, part.title, newest_day, since))
    return RecordAges(tuple(suspect), newest_of)
