"""Pushes that are reported without an id and a digest, as by Quay: what the tag names then is what was pushed."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.registry.notifications import RegistryNotifications
from dockgate.services.registry.push_confirmation import PushConfirmation
from dockgate.services.registry.pushes import RegistryPushes
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.shared.errors import NotFoundError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.records import Scan

REGISTRY, REPOSITORY = "quay.example", "quay.example/team/app"
FIRST, SECOND = (f"sha256:{letter * 64}" for letter in "ab")


class Quay:
    """A registry with one tag, and a server that is notified of its pushes."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.digest, self.now = store, FIRST, datetime(2026, 11, 28, 12, tzinfo=UTC)
        self.is_away = False
        # What happens while the registry answers a question.
        self.meanwhile: Callable[[], None] = lambda: None
        self.clock, self.secrets = ServerClock(lambda: self.now), WebhookSecrets("own", folder / "hooks.json")
        pushes = RegistryPushes(store, None, self, None, self.clock, Effects())  # type: ignore[arg-type]
        self.confirmation = PushConfirmation(pushes, self.resolve, "registry.example")
        self.notifications = RegistryNotifications(
            self.confirmation, self.secrets, "https://g.example", "registry.example"
        )

    def start(self, scan: Scan) -> None:
        """Leave the scan alone."""

    def resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        if self.is_away:
            raise UnavailableError("no answer")
        if reference.endswith(":deleted"):
            raise NotFoundError(f"there is no {reference}")
        image = ImageReference(REPOSITORY, self.digest)
        self.meanwhile()
        return image

    def push(self, digest: str, times: int = 2, **later: float) -> None:
        """Push an image under the tag, and have it reported so many times."""
        self.now += timedelta(**later)
        self.digest = digest
        for _ in range(times):
            self.notify("1")
            self.now += timedelta(seconds=30)

    def notify(self, *tags: str) -> None:
        """Report that tags were pushed."""
        body = json.dumps({"docker_url": REPOSITORY, "updated_tags": tags}).encode()
        secret = self.secrets.read_secret("quay", REGISTRY)
        self.notifications.receive("quay", REGISTRY, f"Bearer {secret}", body)

    def count_reported(self) -> int:
        """How many pushes the event log has."""
        details = [event.body["detail"] for event in self.store.event_log.read(limit=100)]
        return sum(detail.get("action-type") == "PUSH" for detail in details)


@pytest.fixture(params=FACTORIES)
def quay(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Quay]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Quay(store, tmp_path)


@limit_to_sqlite("quay")
def test_a_tag_that_is_pushed_back_names_the_former_image_again(quay: Quay) -> None:
    for count, digest in enumerate((FIRST, SECOND, FIRST, SECOND), start=1):
        quay.push(digest, minutes=5)
        assert quay.store.tag_history.find_digest(REPOSITORY, "1") == digest
        assert quay.count_reported() == count


def test_a_tag_that_was_deleted_meanwhile_keeps_no_other_from_being_recorded(quay: Quay) -> None:
    quay.notify("deleted", "1")
    assert quay.store.tag_history.find_digest(REPOSITORY, "1") == FIRST
    quay.now += timedelta(minutes=1)
    quay.confirmation.run()
    assert quay.store.reported_pushes.list(10) == []


@limit_to_sqlite("quay")
def test_a_push_is_recorded_once_the_registry_answers_again(quay: Quay) -> None:
    quay.is_away = True
    quay.push(FIRST)
    assert quay.store.tag_history.find_digest(REPOSITORY, "1") is None
    quay.is_away = False
    quay.now += timedelta(minutes=1)
    quay.confirmation.run()
    assert quay.store.tag_history.find_digest(REPOSITORY, "1") == FIRST
    assert (quay.count_reported(), quay.store.reported_pushes.list(10)) == (1, [])


@limit_to_sqlite("quay")
def test_an_image_that_was_deleted_and_is_pushed_again_is_back(quay: Quay) -> None:
    quay.push(FIRST)
    quay.store.image_removals.remove(REPOSITORY, FIRST, quay.clock.now())
    assert quay.store.tag_history.find_digest(REPOSITORY, "1") is None
    quay.push(FIRST, minutes=5)
    assert quay.store.tag_history.find_digest(REPOSITORY, "1") == FIRST
    assert quay.count_reported() == 2


@limit_to_sqlite("quay")
def test_an_image_that_is_pushed_again_later_is_watched_from_then_on(quay: Quay) -> None:
    quay.push(FIRST)
    quay.push(FIRST, times=3, days=1)
    (period,) = quay.store.tag_history.list_periods([FIRST])
    assert period.pushed_at == "2026-11-29T12:01:00.000Z"
    assert quay.count_reported() == 2


def test_a_push_that_is_confirmed_twice_is_recorded_once(quay: Quay) -> None:
    """The server was killed before it removed the stored push, and started hours later."""
    quay.is_away = True
    quay.push(FIRST)
    (stored_push,) = quay.store.reported_pushes.list(10)
    quay.is_away = False
    quay.now += timedelta(minutes=1)
    quay.confirmation.run()
    quay.store.reported_pushes.add(stored_push)
    quay.now += timedelta(hours=5)
    quay.confirmation.run()
    assert (quay.count_reported(), quay.store.reported_pushes.list(10)) == (1, [])


def test_a_push_that_is_reported_while_the_former_one_is_confirmed_is_not_lost(quay: Quay) -> None:
    def push_while_the_registry_fails() -> None:
        quay.meanwhile, quay.is_away = lambda: None, True
        quay.push(SECOND, times=1)

    quay.is_away = True
    quay.push(FIRST)
    quay.is_away, quay.meanwhile = False, push_while_the_registry_fails
    quay.confirmation.run()
    quay.is_away = False
    quay.now += timedelta(minutes=1)
    quay.confirmation.run()
    assert quay.store.tag_history.find_digest(REPOSITORY, "1") == SECOND
