"""Collections remove what nothing needs, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.fakes.registry import push_image, push_index
from tests.services.collection_site import REPOSITORY, Site
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.retention import Retention
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.services.retention.registry_snapshot import read_manifest
from dockgate.shared.references import ImageReference
from dockgate.store.images.reported_pushes import ReportedPush
from dockgate.store.schema.fleet import fleet_tags


@pytest.fixture(params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    yield site
    site.system.discard()


def test_an_unused_image_goes_with_its_blobs_and_rows(site: Site) -> None:
    old = site.push("1", b"shared", b"old")
    site.advance_clock(days=40)
    new = site.push("2", b"shared", b"new")
    plan = site.collection.plan()
    assert [image.digest for image in plan.images] == [old]
    assert plan.blob_bytes == len(b"old") + len(site.registry.manifests[REPOSITORY, old].data)
    assert site.list_manifests() == {old, new}, "a plan removes nothing"
    report = site.collect()
    assert [image["digest"] for image in report["images"]] == [old]  # type: ignore[attr-defined]
    assert site.list_manifests() == {new} == site.list_pushed_images()
    assert set(site.registry.blobs.values()) == {b"shared", b"new"}
    with site.store.database.read() as connection:
        until = connection.scalar(select(fleet_tags.c.until).where(fleet_tags.c.digest == old))
    assert until is not None
    assert until <= site.now


@limit_to_sqlite("site")
def test_what_runs_waits_is_watched_recent_or_may_return_is_kept(site: Site) -> None:
    names = ("before", "running", "task", "waits", "pulled", "watched", "unused")
    images = {
        name: site.push(name, name.encode(), repository="other/app" if name == "watched" else REPOSITORY)
        for name in names
    }
    site.add_service("web", images["before"], images["running"])
    image = ImageReference(f"{site.registry.address}/{REPOSITORY}", images["task"])
    site.target.deploy(Service("web", "podman", 1, 9), TaskDefinition("web", 9, "app", image), None)
    site.advance_clock(days=40)
    site.ask(images["waits"])
    site.store.image_uses.record_pull(REPOSITORY, images["pulled"], site.now)
    plan = site.collection.plan()
    reasons = {next(name for name in names if images[name] == entry.digest): entry.reason for entry in plan.kept_images}
    assert reasons == {
        "before": "rollback",
        "running": "runs",
        "task": "runs",
        "waits": "approval",
        "pulled": "recent",
        "watched": "watched",
    }
    site.collect()
    assert site.list_manifests() == {images[name] for name in names} - {images["unused"], images["watched"]}
    assert site.list_manifests("other/app") == {images["watched"]}


@limit_to_sqlite("site")
def test_of_old_revisions_only_the_last_are_kept(site: Site) -> None:
    site.collection.registry_reader.retention = Retention(keep_days=30, keep_images=0, keep_revisions=1)
    images = [site.push(str(number), str(number).encode()) for number in range(4)]
    site.add_service("web", *images)
    site.advance_clock(days=40)
    site.collect()
    assert site.list_manifests() == set(images[2:])


@limit_to_sqlite("site")
def test_an_index_goes_with_what_is_in_it_and_what_is_attached(site: Site) -> None:
    children = [site.push("", name) for name in (b"amd64", b"arm64")]
    index = site.record(push_index(site.registry, REPOSITORY, "1", *children), "1")
    attached_image = push_image(site.registry, REPOSITORY, f"sha256-{index[7:]}.att", b"statement")
    site.advance_clock(days=40)
    new = site.record(push_index(site.registry, REPOSITORY, "2", children[0]), "2")
    site.collect()
    assert site.list_manifests() == {new, children[0]}
    assert attached_image not in site.list_manifests()
    assert set(site.registry.blobs.values()) == {b"amd64"}


@pytest.mark.parametrize("names", [b'"Manifests": [], "schemaVersion"', b'"manifests": [], "schemaVersion"'])
def test_an_index_that_the_registry_would_read_otherwise_is_unreadable(names: bytes) -> None:
    """docker-registry ignores the case of names, and takes the last of several. What cannot be read is kept."""
    data = b'{"schemaVersion": 2, "manifests": []}'
    assert read_manifest(data).is_readable
    assert not read_manifest(data.replace(b'"schemaVersion"', names)).is_readable


@limit_to_sqlite("site")
def test_what_is_attached_to_a_kept_image_stays(site: Site) -> None:
    image, unused_image = site.push("1", b"a"), site.push("2", b"b")
    attached_image = push_image(site.registry, REPOSITORY, f"sha256-{image[7:]}", b"statement")
    site.record(attached_image)  # pushed by its digest first, as for referrers
    site.add_service("web", image)
    site.advance_clock(days=40)
    site.collect()
    assert site.list_manifests() == {image, attached_image}
    assert unused_image not in site.list_manifests()


@limit_to_sqlite("site")
def test_a_tag_of_attachments_on_an_image_that_runs_removes_nothing(site: Site) -> None:
    old, running = site.push("1", b"old"), site.push("2", b"running")
    site.registry.digests[REPOSITORY, f"sha256-{old[7:]}.att"] = running
    site.add_service("web", running)
    site.advance_clock(days=40)
    site.collect()
    assert running in site.list_manifests()


@limit_to_sqlite("site")
def test_an_image_whose_push_is_not_recorded_is_kept_with_what_is_in_it(site: Site) -> None:
    old, child = site.push("1", b"old"), site.push("", b"child")
    site.advance_clock(days=40)
    index = push_index(site.registry, REPOSITORY, "lost", child)
    site.collect()
    assert site.list_manifests() == {index, child}
    assert old not in site.list_manifests()


@limit_to_sqlite("site")
def test_an_old_image_that_was_pushed_again_is_kept_before_that_is_recorded(site: Site) -> None:
    by_tag, by_digest, unused_image = (site.push(name, name.encode()) for name in ("1", "2", "3"))
    site.advance_clock(days=40)
    assert push_image(site.registry, REPOSITORY, "again", b"1") == by_tag, "its notification is lost"
    site.store.reported_pushes.add(
        ReportedPush(
            id="event-1",
            has_own_id=True,
            source="registry",
            registry=None,
            repository=REPOSITORY,
            tag=None,
            digest=by_digest,
            pushed_by=None,
            pushed_at=site.now,
            received_at=site.now,
            next_at=site.now,
        )
    )
    site.collect()
    assert site.list_manifests() == {by_tag, by_digest}
    assert unused_image not in site.list_manifests()


@limit_to_sqlite("site")
def test_a_collection_starts_by_itself_after_so_many_hours(site: Site) -> None:
    site.collection.run_due()
    assert not site.store.collections.list()
    site.collection.every_hours = 24
    site.collection.run_due()
    site.collection.run_due()
    assert [entry.requested_by for entry in site.store.collections.list()] == ["server"]
    site.advance_clock(hours=25)
    site.collection.run_due()
    assert len(site.store.collections.list()) == 2


def test_a_second_request_returns_the_collection_that_has_not_finished(site: Site) -> None:
    assert site.collection.request("ada") == site.collection.request("ben")
    site.collection.run_due()
    assert site.collection.request("ben").requested_by == "ben"
