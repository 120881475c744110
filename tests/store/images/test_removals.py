"""Contract of the store: images that were deleted from their repositories. Each changing call is made twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scanned_platforms import list_platforms
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind
from tests.store.fleet.test_index import FACTS, NEW

from dockgate.gate.model import Status
from dockgate.store import Store
from dockgate.store.fleet.records import FleetVerdict
from dockgate.store.records import ImageLocation, PushedImage, ScanState

LATEST = "2026-11-24T12:00:00.000Z"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def push(store: Store, repository: str, tag: str, at: str = NOW) -> None:
    store.images.add_push(PushedImage(repository, tag, IMAGE, at))


def index(store: Store) -> int:
    """Index the image with a verdict. Returns its id."""
    store.fleet.add(NEW)
    (image,) = store.fleet.iterate_images()
    with store.database.write() as connection:
        verdict = FleetVerdict("default", image.id, Status.APPROVED, (0, 0, 0, 0, 0, 0), None, NOW)
        store.fleet_verdicts.write_changed(connection, [verdict])
    return image.id


def list_deletions(store: Store) -> list[tuple[str, str]]:
    details = [event.body["detail"] for event in store.event_log.read()]
    return [
        (detail["repository-name"], detail.get("image-tag", ""))
        for detail in details
        if detail.get("action-type") == "DELETE"
    ]


def test_an_image_is_gone_when_it_is_in_no_repository_any_more(store: Store) -> None:
    push(store, "web", "1")
    push(store, "web", "2")
    push(store, "mirror", "1")
    number = index(store)
    for _ in range(2):
        assert not store.image_removals.remove("web", IMAGE, LATER)
    assert [image.id for image in store.fleet.iterate_images()] == [number]
    assert [(row.repository, row.tag, row.until) for row in store.tag_history.list_periods([IMAGE])] == [
        ("mirror", "1", None),
        ("web", "1", LATER),
        ("web", "2", LATER),
    ]
    assert [image.repository for image in store.images.list_pushed()] == ["mirror"]
    assert list_deletions(store) == [("web", "1"), ("web", "2")]
    for at in (LATEST, "2026-11-24T13:00:00.000Z"):
        assert store.image_removals.remove("mirror", IMAGE, at)
    image = store.fleet.find_image(IMAGE)
    assert image is not None
    assert image.gone_at == LATEST
    assert list(store.fleet.iterate_images()) == []
    assert store.fleet_verdicts.list_of_policy("default") == {}
    assert list_deletions(store) == [("web", "1"), ("web", "2"), ("mirror", "1")]


def test_an_image_whose_tag_has_moved_on_is_still_in_its_repository(store: Store) -> None:
    push(store, "web", "1")
    push(store, "mirror", "1")
    index(store)
    store.images.add_push(PushedImage("web", "1", FACTS.image_digest.replace("a", "b"), LATER))
    assert not store.image_removals.remove("mirror", IMAGE, LATEST)
    assert store.image_removals.remove("web", IMAGE, LATEST)
    assert list_deletions(store) == [("mirror", "1"), ("web", "")]


def test_a_push_brings_a_gone_image_back(store: Store) -> None:
    push(store, "web", "1")
    index(store)
    before = store.fleet_judging.read_fleet_revision()
    store.image_removals.remove("web", IMAGE, LATER)
    revision_without_image = store.fleet_judging.read_fleet_revision()
    for _ in range(2):
        push(store, "web", "1", LATEST)
    assert [image.digest for image in store.fleet.iterate_images()] == [IMAGE]
    assert len({before, revision_without_image, store.fleet_judging.read_fleet_revision()}) >= 2
    assert [(row.since, row.until) for row in store.tag_history.list_periods([IMAGE])] == [(NOW, LATER), (LATEST, None)]


def test_a_push_brings_an_image_back_that_was_deleted_by_a_clock_that_was_ahead(store: Store) -> None:
    push(store, "web", "1")
    index(store)
    store.image_removals.remove("web", IMAGE, LATEST)
    for _ in range(2):
        push(store, "web", "2", LATER)
    assert [image.digest for image in store.fleet.iterate_images()] == [IMAGE]


def test_a_gone_image_that_is_requested_again_is_scanned_again(store: Store) -> None:
    scan = store.images.request_scan(IMAGE, "web", NOW)
    store.images.finish_scan(IMAGE, scan.number, list_platforms(FACTS), None, NOW)
    store.tag_history.add_location(IMAGE, "web", NOW)
    index(store)
    store.image_removals.remove("web", IMAGE, LATER)
    store.tag_history.add_location(IMAGE, "web", NOW)  # what was scanned before it was deleted
    assert list(store.fleet.iterate_images()) == []
    for _ in range(2):
        scan = store.images.request_scan(IMAGE, "web", LATEST)
        assert (scan.number, scan.state, scan.requested_at) == (2, ScanState.REQUESTED, LATEST)
    store.images.finish_scan(IMAGE, scan.number, list_platforms(FACTS), None, LATEST)
    for _ in range(2):
        store.tag_history.add_location(IMAGE, "web", scan.requested_at)
    assert [image.digest for image in store.fleet.iterate_images()] == [IMAGE]
    assert [row.until for row in store.tag_history.list_periods([IMAGE])] == [LATER, None]
    assert store.images.request_scan(IMAGE, "web", LATEST).state is ScanState.DONE


def test_an_image_that_is_deleted_before_it_is_indexed_stays_out_of_the_index(store: Store) -> None:
    push(store, "web", "1")
    scan = store.images.request_scan(IMAGE, "web", NOW)
    store.images.finish_scan(IMAGE, scan.number, list_platforms(FACTS), None, NOW)
    assert store.images.list_unindexed(1) == [IMAGE]
    for _ in range(2):
        assert store.image_removals.remove("web", IMAGE, LATER)
    assert store.images.list_unindexed(1) == []
    assert store.images.find_newest_scan(IMAGE) is None


def test_locations_are_listed_in_parts(store: Store) -> None:
    push(store, "web", "1")
    push(store, "web", "2")
    push(store, "mirror", "1")
    assert store.image_removals.count_locations() == 2
    assert store.image_removals.list_locations(None, 1) == [("mirror", IMAGE)]
    assert store.image_removals.list_locations(ImageLocation("mirror", IMAGE), 10) == [("web", IMAGE)]
    assert store.image_removals.list_locations(ImageLocation("web", IMAGE), 10) == []
