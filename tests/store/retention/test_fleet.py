"""Contract of the store: images that are gone for long leave the fleet index."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, make_approval, open_store_of_kind
from tests.store.fleet.test_index import BASE, FACTS, FINDING, FLASK, NEW, SOURCE, ZLIB

from dockgate.store import Store
from dockgate.store.fleet.findings import MatchResult
from dockgate.store.fleet.index import NewBundle, NewPlatform
from dockgate.store.records import PushedImage
from dockgate.store.schema.fleet import (
    fleet_bundle_components,
    fleet_bundles,
    fleet_components,
    fleet_due_images,
    fleet_image_bundles,
    fleet_images,
    fleet_platforms,
    fleet_tags,
)

SECOND = "sha256:" + "b" * 64
TABLES = (
    fleet_images,
    fleet_platforms,
    fleet_image_bundles,
    fleet_bundles,
    fleet_bundle_components,
    fleet_components,
    fleet_tags,
    fleet_due_images,
)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def push(store: Store, image: str) -> None:
    store.images.add_push(PushedImage("web", "1", image, NOW))


def count_rows(store: Store) -> dict[str, int]:
    with store.database.read() as connection:
        return {table.name: connection.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES}


def test_an_image_leaves_with_what_no_other_image_has(store: Store) -> None:
    own_bundle = NewBundle("sha256:3", False, {ZLIB: 1}, {})
    second_image = NEW._replace(digest=SECOND, platforms=(NewPlatform(replace(FACTS, image=SECOND), 1, (BASE,)),))
    push(store, SECOND)
    store.fleet.add(second_image)
    before = count_rows(store)
    push(store, IMAGE)
    store.fleet.add(NEW._replace(platforms=(NewPlatform(FACTS, 3, (*NEW.platforms[0].bundles, own_bundle)),)))
    assert store.fleet_retention.delete_gone(LATER) == 0
    store.image_removals.remove("web", IMAGE, NOW)
    assert store.fleet_retention.count_gone(NOW) == store.fleet_retention.delete_gone(NOW) == 0
    assert store.fleet_retention.count_gone(LATER) == 1
    assert store.fleet_retention.delete_gone(LATER) == 1
    assert store.fleet_retention.delete_gone(LATER) == 0
    assert count_rows(store) == before
    assert [image.digest for image in store.fleet.iterate_images()] == [SECOND]
    assert {component for _, component in store.fleet.iterate_components()} == {ZLIB, FLASK}


def test_findings_leave_with_their_component(store: Store) -> None:
    push(store, IMAGE)
    store.fleet.add(NEW)
    store.fleet_findings.begin(SOURCE, NOW)
    unmatched_components = store.fleet_findings.list_unmatched_components(10)
    results = [
        MatchResult(number, (FINDING,) if component == FLASK else (), ()) for number, component in unmatched_components
    ]
    assert store.fleet_findings.record_new(results, SOURCE, NOW)
    store.image_removals.remove("web", IMAGE, NOW)
    assert store.fleet_retention.delete_gone(LATER) == 1
    assert not any(count_rows(store).values())
    assert list(store.fleet.iterate_components()) == []


def test_an_image_that_an_approval_names_stays(store: Store) -> None:
    push(store, IMAGE)
    store.fleet.add(NEW)
    store.approvals.add(make_approval())
    store.image_removals.remove("web", IMAGE, NOW)
    assert store.fleet_retention.delete_gone(LATER) == 0


def test_an_image_that_is_back_stays(store: Store) -> None:
    push(store, IMAGE)
    store.fleet.add(NEW)
    store.image_removals.remove("web", IMAGE, NOW)
    push(store, IMAGE)
    assert store.fleet_retention.delete_gone(LATER) == 0
    assert store.trends.list_image_ids([IMAGE]) == {IMAGE: 1}


def test_packages_of_an_earlier_scan_only_are_deleted(store: Store) -> None:
    push(store, IMAGE)
    store.fleet.add(NEW)
    (platform,) = NEW.platforms
    base, _ = platform.bundles
    store.fleet.add(
        NEW._replace(inventories="sha256:j", scanned_at=LATER, platforms=(platform._replace(bundles=(base,)),))
    )
    before = count_rows(store)
    assert store.fleet_retention.delete_orphans() == 1
    assert store.fleet_retention.delete_orphans() == 0
    assert sum(count_rows(store).values()) < sum(before.values())
    assert [row.layer for row in store.fleet.iterate_bundles_of_images()] == [base.layer]
    assert {component for _, component in store.fleet.iterate_components()} == {
        *base.counted_components,
        *base.owned_components,
    }


def test_a_vulnerability_leaves_with_the_last_component_that_had_it(store: Store) -> None:
    push(store, IMAGE)
    store.fleet.add(NEW)
    store.fleet_findings.begin(SOURCE, NOW)
    unmatched_components = store.fleet_findings.list_unmatched_components(10)
    results = [
        MatchResult(number, (FINDING,) if component == FLASK else (), ()) for number, component in unmatched_components
    ]
    store.fleet_findings.record_new(results, SOURCE, NOW)
    assert store.fleet_retention.delete_vulnerabilities() == 0
    store.image_removals.remove("web", IMAGE, NOW)
    store.fleet_retention.delete_gone(LATER)
    assert store.fleet_retention.delete_vulnerabilities() == 1
    assert store.fleet_retention.delete_vulnerabilities() == 0
    assert store.fleet_findings.list_vulnerabilities() == {}
    assert store.component_search.find_vulnerabilities("GHSA-1") == {}
