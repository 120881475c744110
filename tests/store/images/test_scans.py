"""The scans of images: requested, completed, failed, and with their inventories."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.scanned_platforms import list_platforms
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind
from tests.store.images.test_images import INVENTORY

from dockgate.scanner.model import LayerBuildInfo, ScannedPlatform
from dockgate.shared.canonical import encode
from dockgate.shared.digest import compute_digest
from dockgate.store import Store
from dockgate.store.records import Scan, ScanState


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_a_scan_is_requested_once(store: Store) -> None:
    assert store.images.find_newest_scan(IMAGE) is None
    first = store.images.request_scan(IMAGE, "web", NOW)
    assert first == Scan(IMAGE, "web", ScanState.REQUESTED, 1, requested_at=NOW)
    assert store.images.request_scan(IMAGE, "other", LATER) == first
    store.images.request_scan("sha256:b", "web", LATER)
    assert [scan.image for scan in store.images.list_requested_scans()] == [IMAGE, "sha256:b"]


def test_a_completed_scan_keeps_its_inventories(store: Store) -> None:
    arm = replace(INVENTORY, platform="linux/arm64")
    store.images.request_scan(IMAGE, "web", NOW)
    assert list(store.images.list_inventories(IMAGE)) == []
    for _ in range(2):
        store.images.finish_scan(IMAGE, 1, list_platforms(INVENTORY, arm), None, LATER)
    store.images.finish_scan(IMAGE, 1, [], "too late to fail", LATER)
    completed_scan = Scan(IMAGE, "web", ScanState.DONE, 1, requested_at=NOW, finished_at=LATER)
    assert store.images.find_newest_scan(IMAGE) == completed_scan
    assert store.images.request_scan(IMAGE, "web", LATER) == completed_scan
    assert list(store.images.list_inventories(IMAGE)) == [INVENTORY, arm]
    assert store.verdicts.get_document(compute_digest(encode(arm))) == encode(arm)
    assert list(store.images.list_requested_scans()) == []


def test_a_completed_scan_keeps_the_origins_of_the_layers_outside_of_the_inventory(store: Store) -> None:
    scan = store.images.request_scan(IMAGE, "web", NOW)
    origins = LayerBuildInfo(70_000, "COPY app /app"), LayerBuildInfo(0, 'RUN echo "\0\x1b"')
    read = [ScannedPlatform(INVENTORY, origins)]
    store.images.finish_scan(IMAGE, scan.number, read, None, LATER)
    assert list(store.images.read_scan_with_platforms(IMAGE)[1]) == read
    assert list(store.images.list_inventories(IMAGE)) == [INVENTORY]
    completed_scan = store.images.find_newest_scan(IMAGE)
    assert completed_scan is not None
    assert store.rescans.record(completed_scan, [ScannedPlatform(INVENTORY, origins[:1])], "14.0", LATER)
    assert [platform.origins for platform in store.images.read_scan_with_platforms(IMAGE)[1]] == [origins[:1]]


def test_a_failed_scan_is_requested_again_under_the_next_number(store: Store) -> None:
    store.images.request_scan(IMAGE, "web", NOW)
    for _ in range(2):
        store.images.finish_scan(IMAGE, 1, [], "the registry does not answer", NOW)
    failed_scan = store.images.find_newest_scan(IMAGE)
    assert failed_scan is not None
    assert (failed_scan.state, failed_scan.reason) == (ScanState.FAILED, "the registry does not answer")
    for _ in range(2):
        new_scan = store.images.request_scan(IMAGE, "web", LATER)
        assert new_scan == Scan(IMAGE, "web", ScanState.REQUESTED, 2, requested_at=LATER)
    store.images.finish_scan(IMAGE, 1, list_platforms(INVENTORY), None, LATER)
    assert store.images.find_newest_scan(IMAGE) == new_scan
    store.images.finish_scan(IMAGE, 2, list_platforms(INVENTORY), None, LATER)
    assert list(store.images.list_inventories(IMAGE)) == [INVENTORY]


def test_another_artifact_than_an_image_differs_from_a_failed_scan(store: Store) -> None:
    store.images.request_scan(IMAGE, "web", NOW)
    for _ in range(2):
        store.images.finish_scan(IMAGE, 1, [], "It is a chart.", NOW, is_image=False)
    scan = store.images.find_newest_scan(IMAGE)
    assert scan is not None
    assert (scan.state, scan.state.has_failed, scan.reason) == (ScanState.NOT_AN_IMAGE, True, "It is a chart.")
    assert store.images.request_scan(IMAGE, "web", LATER).number == 2


def test_a_scan_that_was_not_requested_is_not_finished(store: Store) -> None:
    store.images.finish_scan(IMAGE, 1, list_platforms(INVENTORY), None, NOW)
    assert store.images.find_newest_scan(IMAGE) is None
