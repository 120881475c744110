"""Pushes and deletions that registries report in any order."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.registry.notifications import RegistryNotifications
from dockgate.services.registry.pushes import RegistryPushes
from dockgate.services.registry.webhook_secrets import WebhookSecrets
from dockgate.shared.errors import NotFoundError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.records import Scan

ACCOUNT, REGION = "123456789012", "eu-central-1"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/web"
FIRST, SECOND, THIRD = (f"sha256:{letter * 64}" for letter in "abc")
SECOND_TIME = "2026-11-28T10:00:00Z"


@dataclass
class Registry:
    """Amazon ECR with one tag, and a server that is notified of its pushes."""

    store: Store
    folder: Path
    tag: str | None = None
    deleted: set[str] = field(default_factory=set)
    # Digests that are there, and what tags name: None for nothing.
    stored_digests: set[str] = field(default_factory=set)
    tags: dict[str, str | None] = field(default_factory=dict)
    requests: int = 0
    started: list[Scan] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def start(self, scan: Scan) -> None:
        self.started.append(scan)

    def resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        self.requests += 1
        if (tag := reference.removeprefix(f"{REPOSITORY}:")) in self.tags:
            if (tagged_digest := self.tags[tag]) is None:
                raise NotFoundError("there is no such tag")
            return ImageReference(REPOSITORY, tagged_digest)
        if should_check_existence and reference.partition("@")[2] in self.deleted:
            raise NotFoundError("there is no such image")
        if should_check_existence and (digest := reference.partition("@")[2]) in self.stored_digests:
            return ImageReference(REPOSITORY, digest)
        if self.tag is None:
            raise UnavailableError("no answer")
        return ImageReference(REPOSITORY, self.tag)

    def report_push(self, digest: str, at: str = SECOND_TIME, action: str = "PUSH", tag: str = "1") -> None:
        clock = ServerClock(lambda: datetime(2026, 11, 28, 12, tzinfo=UTC))
        pushes = RegistryPushes(self.store, None, self, None, clock, Effects())  # type: ignore[arg-type]
        secrets = WebhookSecrets("own", self.folder / "hooks.json")
        detail = {"action-type": action, "result": "SUCCESS", "repository-name": "web"}
        event = {
            "id": f"event-{next(self.numbers)}",
            "source": "aws.ecr",
            "detail-type": "ECR Image Action",
            "account": ACCOUNT,
            "region": REGION,
            "time": at,
            "detail": {**detail, "image-digest": digest, "image-tag": tag},
        }
        notifications = RegistryNotifications(pushes, secrets, self.resolve, "https://g.example", "registry.example")
        notifications.receive_ecr_event(json.dumps(event))

    def find_digest(self) -> str | None:
        return self.store.tag_history.find_digest(REPOSITORY, "1")

    def list_tag_moves(self) -> list[tuple[str, str]]:
        return [(move.previous, move.digest) for move in self.store.images.list_tag_moves(SECOND)]


@pytest.fixture(params=FACTORIES)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Registry(store, tmp_path)


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_of_two_pushes_in_one_second_the_registry_says_which_has_the_tag(
    registry: Registry, order: tuple[str, str]
) -> None:
    registry.tag = SECOND
    for digest in order:
        registry.report_push(digest)
    assert registry.find_digest() == SECOND
    assert registry.list_tag_moves() == ([(FIRST, SECOND)] if order[0] == FIRST else [])
    assert {period.digest: period.until is None for period in registry.store.tag_history.list_periods(order)} == {
        FIRST: False,
        SECOND: True,
    }


@pytest.mark.parametrize("tag", [None, THIRD])
def test_the_push_that_is_reported_last_counts_where_the_registry_does_not_decide(
    registry: Registry, tag: str | None
) -> None:
    registry.tag = tag
    for digest in (SECOND, FIRST):
        registry.report_push(digest)
    assert registry.find_digest() == FIRST


def test_the_registry_is_asked_only_about_pushes_that_would_move_a_tag(registry: Registry) -> None:
    registry.report_push(FIRST)
    registry.report_push(FIRST)
    assert registry.requests == 0
    registry.report_push(SECOND, "2026-11-28T10:00:01Z")
    assert (registry.find_digest(), registry.requests) == (SECOND, 1)
    registry.report_push(FIRST)
    assert (registry.find_digest(), registry.requests) == (SECOND, 2)


@pytest.mark.parametrize("digest", [SECOND, THIRD])
def test_a_push_that_the_registry_does_not_have_under_the_tag_hides_no_image(registry: Registry, digest: str) -> None:
    registry.report_push(FIRST)
    registry.tag = FIRST
    for at in ("2026-11-28T11:00:00Z", "2026-11-28T13:00:00Z", "at noon"):
        registry.report_push(digest, at)
        assert registry.find_digest() == FIRST


def test_a_push_that_has_its_tag_counts_whatever_time_it_reports(registry: Registry) -> None:
    """Of two hosts of a registry, the clock of one may be wrong."""
    registry.report_push(FIRST)
    registry.tag = SECOND
    registry.report_push(SECOND, "2026-11-28T09:00:00Z")
    assert registry.find_digest() == SECOND


def test_a_push_reported_for_the_future_does_not_take_a_tag_that_it_has_lost(registry: Registry) -> None:
    registry.report_push(FIRST)
    registry.tag = FIRST
    registry.report_push(SECOND, "2026-11-28T13:00:00Z")
    assert registry.find_digest() == FIRST


def test_a_late_push_between_two_of_the_present_image_moves_no_tag(registry: Registry) -> None:
    registry.report_push(SECOND, "2026-11-28T09:00:00Z")
    registry.report_push(SECOND, "2026-11-28T11:00:00Z")
    registry.report_push(FIRST, "2026-11-28T10:00:00Z")
    assert registry.find_digest() == SECOND
    periods = registry.store.tag_history.list_periods([FIRST, SECOND])
    assert [(entry.digest, entry.since[11:13], (entry.until or "")[11:13]) for entry in periods] == [
        (SECOND, "09", "10"),
        (FIRST, "10", "11"),
        (SECOND, "11", ""),
    ]


def test_an_image_that_was_deleted_is_in_its_repository_no_longer(registry: Registry) -> None:
    registry.report_push(FIRST)
    registry.deleted.add(FIRST)
    for _ in range(2):  # notifications may be doubled
        registry.report_push(FIRST, action="DELETE")
    assert registry.find_digest() is None
    events = [event.detail_type for event in registry.store.event_log.read(0, 100)]
    bodies = [event.body["detail"].get("action-type") for event in registry.store.event_log.read(0, 100)]
    assert events.count("ECR Image Action") == 2, events
    assert bodies == ["PUSH", "DELETE"]


def list_current_tags(registry: Registry, digest: str) -> dict[str | None, bool]:
    """Whether each tag names the image now."""
    return {entry.tag: entry.until is None for entry in registry.store.tag_history.list_periods([digest])}


def test_a_tag_that_was_deleted_while_another_names_the_image_names_it_no_longer(registry: Registry) -> None:
    for tag in ("1", "2"):
        registry.report_push(FIRST, tag=tag)
    registry.stored_digests, registry.tags = {FIRST}, {"1": None, "2": FIRST}
    for _ in range(2):  # notifications may be doubled
        registry.report_push(FIRST, action="DELETE")
    registry.report_push(FIRST, action="DELETE", tag="2")  # forged: the registry does not confirm it
    assert list_current_tags(registry, FIRST) == {"1": False, "2": True}
    assert [(push.tag, push.digest) for push in registry.store.images.list_pushed()] == [("2", FIRST)]
    details = [event.body["detail"] for event in registry.store.event_log.read(0, 100)]
    assert [(entry["action-type"], entry["image-tag"]) for entry in details] == [
        ("PUSH", "1"),
        ("PUSH", "2"),
        ("DELETE", "1"),
    ]


def test_an_image_whose_last_tag_was_deleted_is_there_by_its_digest(registry: Registry) -> None:
    registry.report_push(FIRST)
    registry.stored_digests, registry.tags = {FIRST}, {"1": None}
    registry.report_push(FIRST, action="DELETE")
    assert list_current_tags(registry, FIRST) == {"1": False, None: True}
    assert registry.store.image_removals.list_locations(None, 10) == [(REPOSITORY, FIRST)]
    registry.deleted.add(FIRST)
    registry.stored_digests.clear()
    registry.report_push(FIRST, action="DELETE")
    assert list_current_tags(registry, FIRST) == {"1": False, None: False}


def test_the_deletion_of_a_tag_that_was_pushed_again_changes_nothing(registry: Registry) -> None:
    registry.report_push(FIRST)
    registry.report_push(SECOND, "2026-11-28T10:00:01Z")
    registry.stored_digests, registry.tags = {FIRST, SECOND}, {"1": SECOND}
    for digest in (FIRST, SECOND):
        registry.report_push(digest, action="DELETE")
    assert registry.find_digest() == SECOND
    assert [
        event.body["detail"]["action-type"]
        for event in registry.store.event_log.read(0, 100)
        if "action-type" in event.body["detail"]
    ] == ["PUSH", "PUSH"]


def test_a_deletion_that_the_registry_does_not_confirm_changes_nothing(registry: Registry) -> None:
    """It was forged, or the image has been pushed again since."""
    registry.report_push(FIRST)
    registry.tag = FIRST
    registry.report_push(FIRST, action="DELETE")
    assert registry.find_digest() == FIRST


def test_a_deletion_is_reported_again_while_the_registry_cannot_be_asked(registry: Registry) -> None:
    registry.report_push(FIRST)
    with pytest.raises(UnavailableError):
        registry.report_push(FIRST, action="DELETE")
    assert registry.find_digest() == FIRST
