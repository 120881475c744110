"""Pushes that our own registry reports in any order, and tags that are compared with it."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.fakes.registry import MemoryRegistry
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.events.pushes.distribution import MANIFESTS
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.registry.notifications import RegistryNotifications
from dockgate.services.registry.push_confirmation import PushConfirmation
from dockgate.services.registry.pushes import RegistryPushes
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.shared.errors import UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store import Store
from dockgate.store.records import Scan

FIRST, SECOND, THIRD = (f"sha256:{letter * 64}" for letter in "abc")
OWN, ADDRESS = "team/web", "registry.example"


@dataclass
class OwnRegistry:
    """Our own registry, and a server that gets what it reports, in the order of a test."""

    store: Store
    folder: Path
    registry: MemoryRegistry = field(default_factory=lambda: MemoryRegistry(ADDRESS))
    now: datetime = datetime(2026, 11, 28, 12, tzinfo=UTC)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    questions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pushes = self.start_server()
        self.registry.fault = self.questions.append

    def start_server(self) -> RegistryPushes:
        clock = ServerClock(lambda: self.now)
        return RegistryPushes(self.store, self.registry, self, None, clock, Effects())  # type: ignore[arg-type]

    def start(self, scan: Scan) -> None:
        """Scans are not the subject here."""

    def resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        raise AssertionError(f"{reference}: our own registry is asked by its own adapter")

    def push(self, digest: str, tag: str = "1") -> None:
        self.now += timedelta(minutes=1)
        self.registry.push(OWN, tag, digest)

    def report(
        self, digest: str, tag: str = "1", at: str | None = None, event: str | None = None, by: str | None = None
    ) -> None:
        self.now += timedelta(seconds=1)
        secrets = WebhookSecrets("own", self.folder / "hooks.json")
        target = {"mediaType": MANIFESTS[0], "digest": digest, "repository": OWN, "tag": tag}
        report = {
            "id": event or f"event-{next(self.numbers)}",
            "timestamp": at or format_time(self.now),
            "action": "push",
            "target": target,
            "actor": {"name": by},
        }
        confirmation = PushConfirmation(self.pushes, self.resolve, ADDRESS)
        notifications = RegistryNotifications(confirmation, secrets, "https://g.example", ADDRESS)
        notifications.receive("distribution", None, "Bearer own", json.dumps({"events": [report]}).encode())

    def confirm(self) -> None:
        """Ask about the pushes that were not confirmed."""
        PushConfirmation(self.pushes, self.resolve, ADDRESS).run()

    def find_digest(self, tag: str = "1") -> str | None:
        return self.store.tag_history.find_digest(OWN, tag)

    def list_tag_moves(self) -> list[tuple[str, str]]:
        moves = self.store.images.list_tag_moves(FIRST)
        return [(move.previous, move.digest) for move in reversed(moves)]


@pytest.fixture(params=FACTORIES)
def own_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRegistry]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield OwnRegistry(store, tmp_path)


@limit_to_sqlite("own_registry")
@pytest.mark.parametrize("at", ["2026-11-28T11:00:00Z", "2026-11-28T12:02:02.5Z", "2999-01-01T00:00:00Z", "unknown"])
def test_a_late_notification_of_our_own_registry_moves_no_tag_back(own_registry: OwnRegistry, at: str) -> None:
    """Whatever time it claims: the registry decides."""
    for digest in (FIRST, SECOND):
        own_registry.push(digest)
        own_registry.report(digest)
    own_registry.report(FIRST, at=at)
    assert own_registry.find_digest() == SECOND
    assert own_registry.list_tag_moves() == [(FIRST, SECOND)]
    pushes = own_registry.store.images.list_pushed()
    assert [push.digest for push in pushes] == [SECOND, FIRST]


def test_two_notifications_in_the_wrong_order_leave_the_tag_as_the_registry_has_it(own_registry: OwnRegistry) -> None:
    own_registry.push(FIRST)
    own_registry.push(SECOND)
    own_registry.report(SECOND)
    own_registry.report(FIRST)
    assert (own_registry.find_digest(), own_registry.list_tag_moves()) == (SECOND, [])


@limit_to_sqlite("own_registry")
def test_a_tag_that_was_pushed_back_moves_back(own_registry: OwnRegistry) -> None:
    for digest in (FIRST, SECOND, FIRST):
        own_registry.push(digest)
        own_registry.report(digest)
    assert own_registry.find_digest() == FIRST
    assert own_registry.list_tag_moves() == [(FIRST, SECOND), (SECOND, FIRST)]


@limit_to_sqlite("own_registry")
def test_our_own_registry_is_asked_only_about_a_tag_that_moves(own_registry: OwnRegistry) -> None:
    own_registry.push(FIRST)
    own_registry.report(FIRST)
    own_registry.report(FIRST)
    own_registry.report(FIRST, tag="")
    assert own_registry.questions == []
    own_registry.push(SECOND)
    own_registry.report(SECOND)
    assert own_registry.questions == ["before resolve"]


@limit_to_sqlite("own_registry")
def test_a_push_that_our_registry_has_counts_though_the_clock_was_set_back(own_registry: OwnRegistry) -> None:
    own_registry.push(FIRST)
    own_registry.report(FIRST)
    own_registry.now -= timedelta(hours=1)
    own_registry.push(SECOND)
    own_registry.report(SECOND)
    assert (own_registry.find_digest(), own_registry.list_tag_moves()) == (SECOND, [(FIRST, SECOND)])


@limit_to_sqlite("own_registry")
def test_a_push_that_is_reported_before_the_registry_has_moved_the_tag_has_it_soon(own_registry: OwnRegistry) -> None:
    own_registry.push(FIRST)
    own_registry.report(FIRST, by="ada")
    own_registry.report(SECOND, by="ben")
    assert own_registry.find_digest() == FIRST
    own_registry.pushes.check_moved_tags()
    own_registry.push(SECOND)
    own_registry.now -= timedelta(minutes=1)
    own_registry.pushes.check_moved_tags()
    assert own_registry.find_digest() == SECOND
    assert [move.pushed_by for move in own_registry.store.images.list_tag_moves(SECOND)] == ["ben"]


@limit_to_sqlite("own_registry")
def test_a_push_whose_tag_is_written_after_its_server_ended_has_it_soon(own_registry: OwnRegistry) -> None:
    """Another server goes on: it had its own look at all tags when it started."""
    other_server = own_registry.start_server()
    other_server.record_missed()
    own_registry.push(FIRST)
    own_registry.report(FIRST)
    own_registry.report(SECOND)
    own_registry.push(SECOND)
    own_registry.pushes = other_server
    for _ in range(2):
        other_server.check_moved_tags()
        other_server.record_missed()
        own_registry.confirm()
        own_registry.now += timedelta(minutes=1)
    assert (own_registry.find_digest(), own_registry.store.reported_pushes.list()) == (SECOND, [])
    assert own_registry.list_tag_moves() == [(FIRST, SECOND)]


@limit_to_sqlite("own_registry")
def test_a_moved_tag_is_compared_until_it_is_settled(own_registry: OwnRegistry) -> None:
    for digest in (FIRST, SECOND):
        own_registry.push(digest)
        own_registry.report(digest)
    own_registry.questions.clear()
    own_registry.now += timedelta(minutes=1)
    own_registry.pushes.check_moved_tags()
    own_registry.pushes.check_moved_tags()
    assert own_registry.questions == ["before resolve"]


@limit_to_sqlite("own_registry")
def test_no_tag_moves_while_our_registry_does_not_answer(own_registry: OwnRegistry) -> None:
    def fail(_: str) -> None:
        raise UnavailableError("no answer")

    own_registry.push(FIRST)
    own_registry.report(FIRST)
    own_registry.push(SECOND)
    own_registry.registry.fault = fail
    own_registry.report(THIRD, by="carl")
    own_registry.report(SECOND, by="ben")
    assert own_registry.find_digest() == FIRST
    with pytest.raises(UnavailableError):
        own_registry.pushes.check_moved_tags()
    own_registry.registry.fault = own_registry.questions.append
    own_registry.now += timedelta(minutes=1)
    own_registry.confirm()
    assert own_registry.find_digest() == SECOND
    pushers = {push.digest: push.pushed_by for push in own_registry.store.images.list_pushed()}
    assert pushers == {FIRST: None, SECOND: "ben", THIRD: "carl"}


@limit_to_sqlite("own_registry")
def test_a_wrong_tag_is_corrected_at_each_start_of_the_server(own_registry: OwnRegistry) -> None:
    for digest in (FIRST, SECOND):
        own_registry.push(digest)
        own_registry.report(digest)
    for _ in range(2):
        own_registry.pushes.record(f"wrong-{own_registry.now}", OWN, FIRST, "1")
        assert own_registry.find_digest() == FIRST
        own_registry.now += timedelta(minutes=1)
        own_registry.start_server().record_missed()
        assert own_registry.find_digest() == SECOND
    assert own_registry.pushes.store.images.list_pushed()[0].digest == SECOND
