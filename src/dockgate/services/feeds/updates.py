"""Update the advisory database in the server: due feeds, failures, announcements."""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from dockgate.config import Settings
from dockgate.events import dockgate_events
from dockgate.events.model import NewEvent
from dockgate.services.clock import ServerClock
from dockgate.services.error_isolation import run_for_each
from dockgate.services.feeds import advisories
from dockgate.services.feeds.status import read_parts, read_record_ages
from dockgate.shared.errors import ConflictError, DockgateError, UsageError
from dockgate.vulnerabilities import feeds
from dockgate.vulnerabilities.database.feed_states import FeedStates, change_states, read_states
from dockgate.vulnerabilities.database.parts import Part, Result
from dockgate.vulnerabilities.feed import Feed
from dockgate.vulnerabilities.feed_age import is_stale
from dockgate.vulnerabilities.feed_schedule import FeedState, announce, is_due, schedule

_log = logging.getLogger(__name__)


class Update(Protocol):
    """`advisories.update`."""

    def __call__(
        self, settings: Settings, path: Path, report: Callable[[str], None], *, feeds: Sequence[str], now: datetime
    ) -> Result:
        """Update the feeds, or those of `feeds` if it is not empty, and report each step as a line."""
        ...


class FeedUpdates:
    """Updates from the feeds that are due. One process of a database updates, under a named lock.

    `record` stores events, `on_install` is called when another database is in place, by a command too, and once at the
    start: it may be called twice for one database. `jitter` returns a number from 0 to 1.
    """

    def __init__(
        self,
        settings: Settings,
        record: Callable[[Sequence[NewEvent]], None],
        clock: ServerClock,
        on_install: Callable[[], object] = lambda: None,
        update: Update = advisories.update,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare updates. UsageError if the settings name an unknown feed."""
        self._settings = settings
        self._path = settings.advisories
        self._record = record
        self._clock = clock
        self._on_install = on_install
        self._update = update
        self._jitter = jitter
        self._feeds = feeds.load()
        self._urls = dict(settings.feeds)
        self._periods = dict(settings.updates.periods)
        self._installed_files: tuple[int, int] | None = None
        self._attempts: dict[str, datetime] = {}
        self._suspects_read: date | None = None
        names = [feed.name for feed in self._feeds]
        for name in self._periods:
            if name not in names:
                raise UsageError(f"DOCKGATE_UPDATES names an unknown feed: {name}", f"Feeds: {', '.join(names)}.")

    def run(self) -> None:
        """Fetch the feeds that are due.

        Those that began to fail or recovered are announced, and a new database is noticed.
        """
        now = self._clock()
        states = self.plan(now)
        due = [feed for feed in self._feeds if is_due(states.get_state(feed.name), now) and self._can_fetch(feed, now)]
        if due:
            self._attempts |= {feed.name: now for feed in due}
            self._fetch([feed.name for feed in due], now)
            self.plan(now)
        self._announce_failures()
        self._check_installed_database()

    def plan(self, now: datetime) -> FeedStates:
        """Give each feed its next attempt, or the reason why it has no next attempt; return the states."""
        before = read_states(self._path)
        after = self._plan_states(before, now)
        if after == before:
            return before
        return change_states(self._path, lambda states: self._plan_states(states, now))

    def announce_stale(self) -> None:
        """Announce each feed whose last successful check is too old, once until the next one.

        Then it has recovered, which is announced here if it was not the end of a failure.
        """
        now, parts, states = self._clock(), read_parts(self._path), read_states(self._path)

        def announce_feed(feed: str) -> None:
            state, last_attempt = states.get_state(feed), self._attempts.get(feed)
            if is_due(state, now) and (last_attempt is None or not is_due(state, last_attempt)):
                return  # a clock that jumps makes all feeds old until their next attempt
            stale_parts = [part for part in parts if part.feed == feed and is_stale(part.checked_at, now)]
            since = min((part.checked_at for part in stale_parts), default=None)
            if since == state.stale_since:
                return
            if since is not None:
                titles = [part.title for part in stale_parts]
                self._record([dockgate_events.make_feed_stale(feed, since, titles, self._clock.now())])
                _log.warning("the advisories of the feed %s were last checked at %s", feed, since)
            elif state.failing_since is None:
                event = dockgate_events.make_feed_recovered(feed, str(state.stale_since), self._clock.now())
                self._record([event])
            change_states(self._path, partial(_set_stale, feed=feed, since=since))

        run_for_each(sorted({*states.feeds, *(part.feed for part in parts)}), announce_feed)

    def announce_suspect(self) -> None:
        """Announce the parts of feeds that are checked and bring nothing, each once.

        All records are read for it, and the newest of each feed is noted: once a day, and after the server has started.
        """
        now = self._clock()
        if self._suspects_read == now.date() or not read_parts(self._path):
            return
        ages = read_record_ages(self._path, now)
        suspects = ages.suspect
        time, states_before = self._clock.now(), read_states(self._path)
        events = [
            dockgate_events.make_feed_suspect(suspect.feed, suspect.part, suspect.newest, suspect.since, time)
            for suspect in suspects
            if suspect.part not in states_before.get_state(suspect.feed).suspect_parts
        ]
        if events:
            self._record(events)
        reasons = {suspect.feed: f"the newest record of {suspect.part} is of {suspect.newest}" for suspect in suspects}
        parts = {feed: tuple(suspect.part for suspect in suspects if suspect.feed == feed) for feed in reasons}
        change_states(self._path, lambda states: _add_ages(states, reasons, parts, ages.newest_days))
        self._suspects_read = now.date()

    def _can_fetch(self, feed: Feed, now: datetime) -> bool:
        """Return whether the last attempt was a minute ago, even if the states cannot be written."""
        last, pause = self._attempts.get(feed.name), min(self._get_period(feed), 60.0)
        return last is None or abs((now - last).total_seconds()) >= pause

    def _get_period(self, feed: Feed) -> float:
        return self._periods.get(feed.name) or feed.period

    def _fetch(self, due: Sequence[str], now: datetime) -> None:
        try:
            result = self._update(self._settings, self._path, _log.debug, feeds=due, now=now)
        except ConflictError:
            return  # a command writes the database: it fetches, too
        except DockgateError as error:
            _log.warning("the advisories were not updated: %s", error)
        except Exception as error:
            _log.warning("the advisories were not updated", exc_info=error)
        else:
            changed_parts = [
                part.title for part in result.parts if part.feed in due and part.title not in result.unchanged_parts
            ]
            failed_parts = {failure.title for failure in result.failures}
            installed_parts = [title for title in changed_parts if title not in failed_parts]
            if result.digest and installed_parts:
                _log.info("advisories updated: %s", ", ".join(installed_parts))

    def _plan_states(self, states: FeedStates, now: datetime) -> FeedStates:
        parts = read_parts(self._path)
        origin = states.origin or _determine_origin(parts)
        planned_states = {}
        for feed in self._feeds:
            off_reason = self._explain_off(feed, origin)
            state = replace(states.get_state(feed.name), off=off_reason)
            if off_reason is not None:
                planned_states[feed.name] = replace(state, next_at=None)
                continue
            oldest_check = min((part.checked_at for part in parts if part.feed == feed.name), default=None)
            planned_states[feed.name] = schedule(state, now, self._get_period(feed), oldest_check, self._jitter())
        return states.replace_feeds(planned_states)

    def _explain_off(self, feed: Feed, origin: str | None) -> str | None:
        if not (self._urls.get(feed.name) or feed.url):
            return f"DOCKGATE_FEED_{feed.name.upper()} is not set"
        if self._settings.updates.mode == "off" or self._periods.get(feed.name) == 0:
            return "DOCKGATE_UPDATES turns it off"
        if feed.name in self._periods or feed.name in self._urls or self._settings.updates.mode == "on":
            return None
        if origin in ("build", "import"):
            cause = "built from a folder" if origin == "build" else "imported"
            return f"the database was {cause}: set DOCKGATE_UPDATES=on to fetch it"
        return None

    def _announce_failures(self) -> None:
        """Record the events, then the states: a crash in between repeats the events under the same ids."""
        now, events, changed_states = self._clock(), list[NewEvent](), dict[str, FeedState]()
        for name, state in read_states(self._path).feeds.items():
            after, announcement = announce(state, now)
            if announcement is None:
                continue
            changed_states[name] = after
            since, time = announcement.since, self._clock.now()
            if announcement.failures:
                failures = [(failure.part, failure.reason) for failure in announcement.failures]
                advice = announcement.failures[0].advice or ""
                events.append(dockgate_events.make_feed_failed(name, since, failures, advice, announcement.key, time))
                _log.warning("the feed %s fails: %s", name, failures[0][1])
            else:
                events.append(dockgate_events.make_feed_recovered(name, since, time))
                _log.info("the feed %s works again", name)
        if events:
            self._record(events)
            change_states(self._path, lambda states: _merge_announced(states, changed_states))

    def _check_installed_database(self) -> None:
        try:
            stat = self._path.stat()
        except OSError:
            return
        identity = stat.st_ino, stat.st_mtime_ns
        if identity != self._installed_files:
            self._on_install()
            self._installed_files = identity


def _determine_origin(parts: Sequence[Part]) -> str | None:
    """Return how a database was made that has no states; None for an update, or if there is no database."""
    is_local = bool(parts) and not any("://" in part.source for part in parts)
    return "build" if is_local else None


def _add_ages(
    states: FeedStates,
    reasons: Mapping[str, str],
    suspect_parts: Mapping[str, tuple[str, ...]],
    newest_days: Mapping[str, str],
) -> FeedStates:
    """Return the states of feeds with why they are suspect and the day of their newest record.

    Feeds that are not suspect have neither.
    """
    names = {*states.feeds, *reasons, *newest_days}
    return states.replace_feeds(
        {
            name: replace(
                states.get_state(name),
                suspect=reasons.get(name),
                suspect_parts=suspect_parts.get(name, ()),
                newest=newest_days.get(name),
            )
            for name in names
        }
    )


def _set_stale(states: FeedStates, feed: str, since: str | None) -> FeedStates:
    return states.replace_feeds({feed: replace(states.get_state(feed), stale_since=since)})


def _merge_announced(states: FeedStates, changed_states: dict[str, FeedState]) -> FeedStates:
    """The states with what was announced; an attempt may have been made meanwhile."""
    return states.replace_feeds(
        {
            name: replace(
                states.get_state(name),
                announced_since=state.announced_since,
                announced_parts=state.announced_parts,
                recovered_at=state.recovered_at,
                stale_since=state.stale_since,
            )
            for name, state in changed_states.items()
        }
    )
