"""Feeds are fetched before their time on request."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dockgate.config import Settings
from dockgate.services.feeds.attempts import record_origin
from dockgate.services.feeds.requests import advise_refresh, request_update
from dockgate.shared.errors import ConflictError
from dockgate.shared.timestamps import format_time
from dockgate.vulnerabilities.database.feed_states import FeedStates, change_states, read_states
from dockgate.vulnerabilities.feed_schedule import FeedState, is_due

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LATER = format_time(NOW + timedelta(hours=1))


def store_states(database: Path, *states: FeedState) -> None:
    change_states(database, lambda before: before.replace_feeds({state.feed: state for state in states}))


def test_feeds_that_wait_are_due_and_those_that_are_off_stay_so(tmp_path: Path) -> None:
    database = tmp_path / "advisories.db"
    store_states(
        database, FeedState("osv", next_at=LATER), FeedState("kev", next_at=LATER), FeedState("epss", off="off")
    )
    assert request_update(database, NOW) == ["kev", "osv"]
    states: FeedStates = read_states(database)
    assert [name for name, state in sorted(states.feeds.items()) if is_due(state, NOW)] == ["kev", "osv"]
    assert states.get_state("epss").next_at is None
    assert request_update(database, NOW + timedelta(minutes=1)) == ["kev", "osv"]
    assert read_states(database) == states  # they are due already


def test_a_server_that_fetches_nothing_says_so(tmp_path: Path) -> None:
    database = tmp_path / "advisories.db"
    with pytest.raises(ConflictError, match="fetches no feed"):
        request_update(database, NOW)
    store_states(database, FeedState("osv", off="off"))
    with pytest.raises(ConflictError):
        request_update(database, NOW)


def test_the_advice_for_newer_advisories_works_on_this_server(tmp_path: Path) -> None:
    database = tmp_path / "advisories.db"
    settings = Settings(data=tmp_path, cache=tmp_path)
    assert settings.advisories == database
    refresh = "Have the server fetch its feeds: `dockgate db refresh`."
    assert advise_refresh(settings, ()) == refresh  # before its first round
    store_states(database, FeedState("osv", next_at=LATER), FeedState("kev", off="DOCKGATE_UPDATES turns it off"))
    assert advise_refresh(settings, ()) == refresh
    assert advise_refresh(settings, ["epss", "kev", "osv"]) == refresh
    only_kev = advise_refresh(settings, ["kev"])
    assert only_kev.startswith("This server does not fetch the feed kev: run `dockgate db import` or ")
    store_states(database, FeedState("osv", off="the database was imported"))
    record_origin(database, "import")
    expected = "run `dockgate db import` with a newer export where its database is."
    assert advise_refresh(settings, ()) == f"This server does not fetch any feed: {expected}"
    assert advise_refresh(settings, ["epss", "kev"]) == f"This server does not fetch the feeds epss and kev: {expected}"
    assert "db refresh" not in advise_refresh(None, ())
