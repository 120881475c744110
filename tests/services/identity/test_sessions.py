"""Sessions of browsers: when they end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dockgate.identity.model import Permission, Role, Session, hash_secret
from dockgate.services.clock import ServerClock
from dockgate.services.identity.people import People
from dockgate.services.identity.sessions import IDLE_HOURS, MOST_DAYS, Sessions
from dockgate.shared.errors import NotFoundError, UnknownCallerError
from dockgate.shared.timestamps import format_time
from dockgate.store import open_store

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


class Door:
    """Sessions with a clock that a case moves, and the token of an admin."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.store = open_store(folder)
        self.people = People(self.store, lambda: self.now, ("127.0.0.1:7421",))
        self.sessions = Sessions(self.store, self.people, ServerClock(lambda: self.now))
        self.token = self.people.add_first("ada", None)

    def is_open(self, secret: str) -> bool:
        try:
            return self.sessions.authenticate(secret).name == "ada"
        except UnknownCallerError:
            return False


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.store.close()


def test_a_session_acts_as_the_token_that_signed_in(door: Door) -> None:
    caller = door.sessions.authenticate(door.sessions.start(door.token))
    assert caller.token is not None
    assert door.token.split("_")[1] == caller.token.id


def test_an_idle_session_ends(door: Door) -> None:
    secret = door.sessions.start(door.token)
    door.now += timedelta(hours=IDLE_HOURS)
    assert door.is_open(secret)
    door.now += timedelta(hours=IDLE_HOURS + 1)
    assert not door.is_open(secret)


def test_a_used_session_ends_after_a_week(door: Door) -> None:
    secret = door.sessions.start(door.token)
    while door.now < START + timedelta(days=MOST_DAYS) - timedelta(hours=1):
        assert door.is_open(secret)
        door.now += timedelta(hours=6)
    door.now = START + timedelta(days=MOST_DAYS)
    assert not door.is_open(secret)


def test_a_session_ends_with_its_token(door: Door) -> None:
    _, text = door.people.issue("ada", 1)
    secret = door.sessions.start(text)
    (session,) = door.sessions.list_sessions(door.sessions.authenticate(secret))
    assert session.ends_at == format_time(START + timedelta(days=1))
    assert door.is_open(secret)
    door.now += timedelta(hours=11)
    assert door.is_open(secret)
    door.now += timedelta(hours=11)
    assert door.is_open(secret)
    door.now += timedelta(hours=3)
    assert not door.is_open(secret)


def test_a_disabled_principal_has_no_session(door: Door) -> None:
    door.people.add("eve", [Role.ADMIN], "")
    _, text = door.people.issue("eve", 1)
    secret = door.sessions.start(text)
    door.store.principals.disable("eve", "2026-11-28T12:00:00.000Z")
    with pytest.raises(UnknownCallerError):
        door.sessions.authenticate(secret)


def test_a_session_that_begins_while_its_principal_is_disabled_does_not_count(door: Door) -> None:
    """A sign-in may have been checked before, and stored after the sessions were ended."""
    door.people.add("eve", [Role.ADMIN], "")
    token, _ = door.people.issue("eve", 1)
    at, ends_at = format_time(START), format_time(START + timedelta(hours=1))
    door.store.principals.disable("eve", at)
    door.store.sessions.add(Session(hash_secret("late"), token.id, created_at=at, seen_at=at, ends_at=ends_at))
    with pytest.raises(UnknownCallerError):
        door.sessions.authenticate("late")


def test_a_principal_that_is_enabled_again_signs_in_again(door: Door) -> None:
    door.people.add("eve", [Role.ADMIN], "")
    _, text = door.people.issue("eve", 1)
    secrets = [door.sessions.start(text), door.sessions.start_for_principal("eve", "key")]
    own_session = door.sessions.start(door.token)
    door.store.principals.disable("eve", "2026-11-28T12:00:00.000Z")
    door.store.principals.enable("eve")
    for secret in secrets:
        with pytest.raises(UnknownCallerError):
            door.sessions.authenticate(secret)
    assert door.sessions.authenticate(door.sessions.start(text)).name == "eve"
    assert door.is_open(own_session)
    assert all(token.revoked_at for token in door.store.tokens.list("eve") if token.is_session)


def test_the_store_has_no_secret_of_a_session(door: Door, tmp_path: Path) -> None:
    secret = door.sessions.start(door.token)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_sessions_that_are_over_are_deleted(door: Door) -> None:
    for _ in range(3):
        door.sessions.start(door.token)
    door.now += timedelta(days=MOST_DAYS + 1)
    door.sessions.start(door.token)
    assert len(door.store.sessions.list_of_principal("ada")) == 1


@pytest.mark.parametrize("secret", ["", "x", "\ud800"])
def test_nonsense_is_no_session(door: Door, secret: str) -> None:
    assert not door.is_open(secret)


@pytest.mark.parametrize(
    "limits",
    [
        {"scopes": [Permission.READ, Permission.RUN]},
        {"repositories": ["team/*"]},
        {"pipelines": ["web"]},
    ],
    ids=str,
)
def test_a_limited_token_neither_sees_nor_ends_the_sessions_of_other_tokens(door: Door, limits: dict[str, Any]) -> None:
    _, text = door.people.issue("ada", 1, **limits)
    limited_session, full_session = door.sessions.start(text), door.sessions.start(door.token)
    reader, ada = door.sessions.authenticate(limited_session), door.sessions.authenticate(full_session)
    assert [session.digest for session in door.sessions.list_sessions(reader)] == [hash_secret(limited_session)]
    assert {session.digest for session in door.sessions.list_sessions(ada)} == {
        hash_secret(limited_session),
        hash_secret(full_session),
    }
    with pytest.raises(NotFoundError):
        door.sessions.end_session(reader, hash_secret(full_session))
    assert door.is_open(full_session)
