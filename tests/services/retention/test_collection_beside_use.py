"""A collection removes nothing that is pushed, pulled or deployed while it runs."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes.registry import push_index
from tests.services.collection_site import REPOSITORY, Site
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.services.registry.push_permits import PushPermits
from dockgate.services.retention.garbage_collection import BATCH
from dockgate.shared.errors import BusyError


@pytest.fixture(params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    yield site
    site.system.discard()


def use_image(site: Site, use: str, digest: str) -> None:
    """Use an image in one way."""
    if use == "requested":
        site.ask(digest)
    elif use == "pulled":
        site.store.image_uses.record_pull(REPOSITORY, digest, site.now)
    elif use == "pushed":
        site.record(digest, "again")
    elif use == "deployed":
        site.add_service("late", digest)


@pytest.mark.parametrize("way_of_use", ["requested", "pulled", "pushed", "deployed"])
@pytest.mark.parametrize("moment", ["before delete", "after delete"])
def test_an_image_that_is_used_while_it_is_removed_stays(site: Site, way_of_use: str, moment: str) -> None:
    images = [site.push(str(number), str(number).encode()) for number in range(3)]
    site.advance_clock(days=40)
    digest = images[1]

    def use(now: str) -> None:
        # Before the first image is deleted, when all are planned; or after its own manifest was.
        if now == moment and (moment == "before delete" or digest not in site.list_manifests()):
            site.registry.fault = lambda _: None
            use_image(site, way_of_use, digest)

    site.registry.fault = use
    site.collect()
    assert site.list_manifests() == {digest}
    assert site.registry.resolve(REPOSITORY, "1") == digest
    assert set(site.registry.blobs.values()) == {b"1"}
    assert digest in site.list_pushed_images()


def test_an_index_that_is_used_while_it_is_removed_returns_whole(site: Site) -> None:
    children = [site.push("", name) for name in (b"amd64", b"arm64")]
    index = site.record(push_index(site.registry, REPOSITORY, "1", *children), "1")
    site.advance_clock(days=40)

    def use(now: str) -> None:
        if now == "after delete" and not site.list_manifests():
            site.registry.fault = lambda _: None
            site.ask(index)

    site.registry.fault = use
    site.collect()
    assert site.list_manifests() == {index, *children}
    assert site.registry.resolve(REPOSITORY, "1") == index


def test_a_collection_waits_until_no_token_can_push(site: Site) -> None:
    site.push("1", b"old")
    site.advance_clock(days=40)
    permits = PushPermits(site.store.push_barrier, site.system.services.clock)
    permits.require()
    number = site.collection.request("ada").seq
    site.collection.run_due()
    assert site.list_manifests(), "a token may still push"
    with pytest.raises(BusyError):
        permits.require()
    site.advance_clock(seconds=430)
    site.collection.run_due()
    assert not site.list_manifests()
    assert site.store.collections.get(number).finished_at
    permits.require()


@limit_to_sqlite("site")
@pytest.mark.parametrize("moment", ["images", "blobs"])
def test_a_collection_that_outlasts_the_closed_gate_removes_nothing_beside_pushes(site: Site, moment: str) -> None:
    """A push may rely on a blob that no manifest names any more."""
    for number in range(BATCH + 5):
        site.push(str(number), str(number).encode())
    site.advance_clock(days=40)
    permits = PushPermits(site.store.push_barrier, site.system.services.clock)
    blobs, calls = dict(site.registry.blobs), []

    def wait_on_first_call(now: str) -> None:
        calls.append(now)
        if len(calls) == 1:
            site.advance_clock(hours=2)
            permits.require()

    if moment == "images":
        site.registry.fault = lambda now: wait_on_first_call(now) if now == "before delete" else None
    else:
        site.storage.fault = lambda now: wait_on_first_call(now) if now == "before unreferenced" else None
    report = site.collect()
    assert site.registry.blobs == blobs
    assert len(site.list_manifests()) == (5 if moment == "images" else 0)
    assert "pushes have begun meanwhile" in str(report["notes"])
    site.advance_clock(hours=2)
    site.collect()
    assert not site.registry.blobs


def test_the_servers_own_pushes_wait_for_a_collection(site: Site) -> None:
    site.store.push_barrier.close("2099-01-01T00:00:00.000Z", site.now)
    pauses: list[float] = []

    def record_pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            site.store.push_barrier.open()

    issue = PushPermits(site.store.push_barrier, site.system.services.clock, sleep=record_pause).make_issuer(
        lambda name, target: target
    )
    assert issue(REPOSITORY, "pull") == "pull"
    assert not pauses
    assert issue(REPOSITORY, "pull,push") == "pull,push"
    assert len(pauses) == 3


def test_blobs_of_a_push_that_has_not_ended_stay(site: Site) -> None:
    site.push("1", b"old")
    site.advance_clock(days=40)
    site.registry.blobs["sha256:" + "1" * 64] = b"uploaded"
    site.storage.written_at["sha256:" + "1" * 64] = (site.system.clock() - timedelta(minutes=5)).timestamp()
    report = site.collect()
    assert b"uploaded" in site.registry.blobs.values()
    assert "younger than an hour" in str(report["notes"])
    assert not site.list_manifests()
    site.advance_clock(hours=1)
    site.collect()
    assert not site.registry.blobs
