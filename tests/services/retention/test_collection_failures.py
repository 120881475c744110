"""A collection that was interrupted goes on, and one that fails removes nothing more."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.services.collection_site import Site
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.shared.errors import UnavailableError


@pytest.fixture(params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    yield site
    site.system.discard()


@pytest.mark.parametrize("moment", ["before delete", "after delete", "before remove"])
def test_a_collection_that_a_crash_interrupted_goes_on(site: Site, moment: str) -> None:
    keep = site.push("keep", b"shared", b"keep")
    for number in range(3):
        site.push(str(number), b"shared", str(number).encode())
    site.add_service("web", keep)
    site.advance_clock(days=40)
    number = site.collection.request("ada").seq
    crash_at(site, moment, 2)
    with pytest.raises(KeyboardInterrupt):
        site.collection.run_due()
    site.registry.fault = site.storage.fault = lambda _: None
    assert site.store.collections.get(number).finished_at is None
    site.collection.run_due()
    assert site.store.collections.get(number).finished_at
    assert site.list_manifests() == {keep} == site.list_pushed_images()
    assert set(site.registry.blobs.values()) == {b"shared", b"keep"}
    assert site.store.push_barrier.enter(site.now, site.now)


def crash_at(site: Site, moment: str, count: int) -> None:
    moments: list[str] = []

    def crash_at_moment(now: str) -> None:
        moments.append(now)
        if now == moment and moments.count(moment) == count:
            raise KeyboardInterrupt  # nothing of ours handles it, as nothing handles a kill

    site.registry.fault = site.storage.fault = crash_at_moment


def fail(moment: str) -> Callable[[str], None]:
    def fail_at_moment(now: str) -> None:
        if now == moment:
            raise UnavailableError("It does not answer.", "Start it.")

    return fail_at_moment


@limit_to_sqlite("site")
@pytest.mark.parametrize("moment", ["before tags", "before manifest", "before delete"])
def test_a_registry_that_fails_ends_the_collection_and_opens_the_gate(site: Site, moment: str) -> None:
    old = site.push("1", b"old")
    site.advance_clock(days=40)
    site.registry.fault = fail(moment)
    number = site.collection.request("ada").seq
    site.collection.run_due()
    collection = site.store.collections.get(number)
    assert collection.error is not None
    assert "It does not answer" in collection.error
    assert site.list_manifests() == {old} == site.list_pushed_images()
    assert site.store.push_barrier.enter(site.now, site.now)


@limit_to_sqlite("site")
def test_nothing_is_removed_while_a_target_does_not_say_what_runs(site: Site) -> None:
    old, running = site.push("1", b"old"), site.push("2", b"running")
    site.add_service("web", running)
    site.advance_clock(days=40)
    site.target.available = False
    site.collection.request("ada")
    site.collection.run_due()
    assert site.list_manifests() == {old, running}
