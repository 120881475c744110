"""Collections remove what nothing needs, and nothing else, whatever happens meanwhile."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.fakes.registry import push_image, push_index
from tests.fakes.target import MemoryTarget
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES

from dockgate.delivery.model import Approval
from dockgate.delivery.retention import Retention
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.events.model import Event, EventKind
from dockgate.identity.model import LOCAL, Caller
from dockgate.services.registry.push_permits import PushPermits
from dockgate.services.retention.garbage_collection import BATCH, GarbageCollection
from dockgate.shared.errors import BusyError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.store.schema_fleet import fleet_tags

ASSIGNMENT = """\
kind: PolicyAssignment
name: short
repositories: ["team/*"]
policy: default
watch: 1h after push
"""
REPOSITORY = "team/app"


class Site:
    """A server without background work, in whose repositories images are not watched for long."""

    def __init__(self, folder: Path, database: str) -> None:
        self.system = ServerSystem(folder, database=database)
        self.store, self.registry, self.storage = self.system.store, self.system.registry, self.system.storage
        self.collection: GarbageCollection = self.system.use_cases.garbage_collection
        self.collection.facts.retention = Retention(keep_days=30, keep_images=0)
        self.system.server.documents.apply(ASSIGNMENT, "a.yaml", Caller(LOCAL))
        target = self.system.server.targets["podman"]
        assert isinstance(target, MemoryTarget)
        self.target = target

    @property
    def now(self) -> str:
        return self.system.server.clock.now()

    def later(self, **more: float) -> None:
        self.system.clock.ahead += timedelta(**more)

    def record(self, digest: str, tag: str = "", repository: str = REPOSITORY) -> str:
        detail = {"repository": repository, "digest": digest, "tag": tag}
        event = Event(f"push/{repository}/{tag}/{digest}/{self.now}", EventKind.IMAGE_PUSH, detail, self.now)
        scan = self.store.images.accept_push(event)
        if scan is not None:
            self.store.images.finish_scan(digest, scan.number, [], None, self.now)
        return digest

    def push(self, tag: str, *layers: bytes, repository: str = REPOSITORY) -> str:
        return self.record(push_image(self.registry, repository, tag, *layers), tag, repository)

    def service(self, name: str, *digests: str) -> None:
        """A service whose revisions have run these images; the last one runs."""
        self.store.services.put(Service(name, "podman", 1, 0), TaskDefinition(name, 0, "app", None))
        for number, digest in enumerate(digests):
            image = ImageReference(f"{self.registry.address}/{REPOSITORY}", digest)
            definition = TaskDefinition(name, 0, "app", image)
            revision = self.store.services.register(name, definition, f"deploy {number}").revision
            self.store.services.set_revision(name, revision, "")

    def ask(self, digest: str) -> None:
        approval = Approval(
            f"external/{digest}", "token", digest, REPOSITORY, "default", "", self.now, "2099-01-01T00:00:00.000Z"
        )
        self.store.approvals.add(approval)

    def collect(self) -> dict[str, object]:
        """Request a collection, and carry it out. Returns its report."""
        number = self.collection.request("ada").seq
        for _ in range(3):
            self.collection.run_due()
        done = self.store.collections.get(number)
        assert done.finished_at is not None
        assert done.error is None, done.error
        return dict(done.report)

    def there(self, repository: str = REPOSITORY) -> set[str]:
        return {digest for name, digest in self.registry.manifests if name == repository}

    def recorded(self) -> set[str]:
        return {image.digest for image in self.store.images.pushed_images()}


@pytest.fixture(params=FACTORIES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, request.param)
    yield site
    site.system.store.close()


def test_an_unused_image_goes_with_its_blobs_and_rows(site: Site) -> None:
    old = site.push("1", b"shared", b"old")
    site.later(days=40)
    new = site.push("2", b"shared", b"new")
    plan = site.collection.plan()
    assert [image.digest for image in plan.images] == [old]
    assert plan.blob_bytes == len(b"old") + len(site.registry.manifests[REPOSITORY, old].data)
    assert site.there() == {old, new}, "a plan removes nothing"
    report = site.collect()
    assert [image["digest"] for image in report["images"]] == [old]  # type: ignore[attr-defined]
    assert site.there() == {new} == site.recorded()
    assert set(site.registry.blobs.values()) == {b"shared", b"new"}
    with site.store.database.read() as connection:
        until = connection.scalar(select(fleet_tags.c.until).where(fleet_tags.c.digest == old))
    assert until is not None
    assert until <= site.now


def test_what_runs_waits_is_watched_recent_or_may_return_is_kept(site: Site) -> None:
    names = ("before", "running", "task", "waits", "pulled", "watched", "unused")
    images = {
        name: site.push(name, name.encode(), repository="other/app" if name == "watched" else REPOSITORY)
        for name in names
    }
    site.service("web", images["before"], images["running"])
    image = ImageReference(f"{site.registry.address}/{REPOSITORY}", images["task"])
    site.target.deploy(Service("web", "podman", 1, 9), TaskDefinition("web", 9, "app", image), None)
    site.later(days=40)
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
    assert site.there() == {images[name] for name in names} - {images["unused"], images["watched"]}
    assert site.there("other/app") == {images["watched"]}


def test_of_old_revisions_only_the_last_are_kept(site: Site) -> None:
    site.collection.facts.retention = Retention(keep_days=30, keep_images=0, keep_revisions=1)
    images = [site.push(str(number), str(number).encode()) for number in range(4)]
    site.service("web", *images)
    site.later(days=40)
    site.collect()
    assert site.there() == set(images[2:])


def test_an_index_goes_with_what_is_in_it_and_what_is_attached(site: Site) -> None:
    children = [site.push("", name) for name in (b"amd64", b"arm64")]
    index = site.record(push_index(site.registry, REPOSITORY, "1", *children), "1")
    attached = push_image(site.registry, REPOSITORY, f"sha256-{index[7:]}.att", b"statement")
    site.later(days=40)
    new = site.record(push_index(site.registry, REPOSITORY, "2", children[0]), "2")
    site.collect()
    assert site.there() == {new, children[0]}
    assert attached not in site.there()
    assert set(site.registry.blobs.values()) == {b"amd64"}


def test_what_is_attached_to_a_kept_image_stays(site: Site) -> None:
    image, unused = site.push("1", b"a"), site.push("2", b"b")
    attached = push_image(site.registry, REPOSITORY, f"sha256-{image[7:]}", b"statement")
    site.record(attached)  # pushed by its digest first, as for referrers
    site.service("web", image)
    site.later(days=40)
    site.collect()
    assert site.there() == {image, attached}
    assert unused not in site.there()


def test_a_tag_of_attachments_on_an_image_that_runs_removes_nothing(site: Site) -> None:
    old, running = site.push("1", b"old"), site.push("2", b"running")
    site.registry.digests[REPOSITORY, f"sha256-{old[7:]}.att"] = running
    site.service("web", running)
    site.later(days=40)
    site.collect()
    assert running in site.there()


def test_an_image_whose_push_is_not_recorded_is_kept_with_what_is_in_it(site: Site) -> None:
    old, child = site.push("1", b"old"), site.push("", b"child")
    site.later(days=40)
    index = push_index(site.registry, REPOSITORY, "lost", child)
    site.collect()
    assert site.there() == {index, child}
    assert old not in site.there()


def used(site: Site, how: str, digest: str) -> None:
    """Use an image in one way."""
    if how == "requested":
        site.ask(digest)
    elif how == "pulled":
        site.store.image_uses.record_pull(REPOSITORY, digest, site.now)
    elif how == "pushed":
        site.record(digest, "again")
    elif how == "deployed":
        site.service("late", digest)


@pytest.mark.parametrize("how", ["requested", "pulled", "pushed", "deployed"])
@pytest.mark.parametrize("moment", ["before delete", "after delete"])
def test_an_image_that_is_used_while_it_is_removed_stays(site: Site, how: str, moment: str) -> None:
    images = [site.push(str(number), str(number).encode()) for number in range(3)]
    site.later(days=40)
    digest = images[1]

    def use(now: str) -> None:
        # Before the first image is deleted, when all are planned; or after its own manifest was.
        if now == moment and (moment == "before delete" or digest not in site.there()):
            site.registry.fault = lambda _: None
            used(site, how, digest)

    site.registry.fault = use
    site.collect()
    assert site.there() == {digest}
    assert site.registry.resolve(REPOSITORY, "1") == digest
    assert set(site.registry.blobs.values()) == {b"1"}
    assert digest in site.recorded()


def test_an_index_that_is_used_while_it_is_removed_returns_whole(site: Site) -> None:
    children = [site.push("", name) for name in (b"amd64", b"arm64")]
    index = site.record(push_index(site.registry, REPOSITORY, "1", *children), "1")
    site.later(days=40)

    def use(now: str) -> None:
        if now == "after delete" and not site.there():
            site.registry.fault = lambda _: None
            site.ask(index)

    site.registry.fault = use
    site.collect()
    assert site.there() == {index, *children}
    assert site.registry.resolve(REPOSITORY, "1") == index


def test_a_collection_waits_until_no_token_can_push(site: Site) -> None:
    site.push("1", b"old")
    site.later(days=40)
    permits = PushPermits(site.store.push_gate, site.system.server.clock)
    permits.require()
    number = site.collection.request("ada").seq
    site.collection.run_due()
    assert site.there(), "a token may still push"
    with pytest.raises(BusyError):
        permits.require()
    site.later(seconds=430)
    site.collection.run_due()
    assert not site.there()
    assert site.store.collections.get(number).finished_at
    permits.require()


@pytest.mark.parametrize("moment", ["images", "blobs"])
def test_a_collection_that_outlasts_the_closed_gate_removes_nothing_beside_pushes(site: Site, moment: str) -> None:
    """A push may rely on a blob that no manifest names any more."""
    for number in range(BATCH + 5):
        site.push(str(number), str(number).encode())
    site.later(days=40)
    permits = PushPermits(site.store.push_gate, site.system.server.clock)
    blobs, calls = dict(site.registry.blobs), []

    def slow(now: str) -> None:
        calls.append(now)
        if len(calls) == 1:
            site.later(hours=2)
            permits.require()

    if moment == "images":
        site.registry.fault = lambda now: slow(now) if now == "before delete" else None
    else:
        site.storage.fault = lambda now: slow(now) if now == "before unreferenced" else None
    report = site.collect()
    assert site.registry.blobs == blobs
    assert len(site.there()) == (5 if moment == "images" else 0)
    assert "pushes have begun meanwhile" in str(report["notes"])
    site.later(hours=2)
    site.collect()
    assert not site.registry.blobs


def test_the_servers_own_pushes_wait_for_a_collection(site: Site) -> None:
    site.store.push_gate.close("2099-01-01T00:00:00.000Z")
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            site.store.push_gate.open()

    issue = PushPermits(site.store.push_gate, site.system.server.clock, sleep=sleep).issuer(lambda name, what: what)
    assert issue(REPOSITORY, "pull") == "pull"
    assert not waited
    assert issue(REPOSITORY, "pull,push") == "pull,push"
    assert len(waited) == 3


def test_blobs_of_a_push_that_has_not_ended_stay(site: Site) -> None:
    site.push("1", b"old")
    site.later(days=40)
    site.registry.blobs["sha256:" + "1" * 64] = b"uploaded"
    site.storage.written_at["sha256:" + "1" * 64] = (site.system.clock() - timedelta(minutes=5)).timestamp()
    report = site.collect()
    assert b"uploaded" in site.registry.blobs.values()
    assert "younger than an hour" in str(report["notes"])
    assert not site.there()
    site.later(hours=1)
    site.collect()
    assert not site.registry.blobs


@pytest.mark.parametrize("moment", ["before delete", "after delete", "before remove"])
def test_a_collection_that_a_crash_interrupted_goes_on(site: Site, moment: str) -> None:
    keep = site.push("keep", b"shared", b"keep")
    for number in range(3):
        site.push(str(number), b"shared", str(number).encode())
    site.service("web", keep)
    site.later(days=40)
    number = site.collection.request("ada").seq
    crash_at(site, moment, 2)
    with pytest.raises(KeyboardInterrupt):
        site.collection.run_due()
    site.registry.fault = site.storage.fault = lambda _: None
    assert site.store.collections.get(number).finished_at is None
    site.collection.run_due()
    assert site.store.collections.get(number).finished_at
    assert site.there() == {keep} == site.recorded()
    assert set(site.registry.blobs.values()) == {b"shared", b"keep"}
    assert site.store.push_gate.closed_until(site.now) is None


def crash_at(site: Site, moment: str, count: int) -> None:
    seen: list[str] = []

    def fault(now: str) -> None:
        seen.append(now)
        if now == moment and seen.count(moment) == count:
            raise KeyboardInterrupt  # nothing of ours handles it, as nothing handles a kill

    site.registry.fault = site.storage.fault = fault


def fail(moment: str) -> Callable[[str], None]:
    def fault(now: str) -> None:
        if now == moment:
            raise UnavailableError("It does not answer.", "Start it.")

    return fault


@pytest.mark.parametrize("moment", ["before tags", "before manifest", "before delete"])
def test_a_registry_that_fails_ends_the_collection_and_opens_the_gate(site: Site, moment: str) -> None:
    old = site.push("1", b"old")
    site.later(days=40)
    site.registry.fault = fail(moment)
    number = site.collection.request("ada").seq
    site.collection.run_due()
    done = site.store.collections.get(number)
    assert done.error is not None
    assert "It does not answer" in done.error
    assert site.there() == {old} == site.recorded()
    assert site.store.push_gate.closed_until(site.now) is None


def test_nothing_is_removed_while_a_target_does_not_say_what_runs(site: Site) -> None:
    old, running = site.push("1", b"old"), site.push("2", b"running")
    site.service("web", running)
    site.later(days=40)
    site.target.available = False
    site.collection.request("ada")
    site.collection.run_due()
    assert site.there() == {old, running}


def test_a_collection_starts_by_itself_after_so_many_hours(site: Site) -> None:
    site.collection.run_due()
    assert not site.store.collections.list()
    site.collection.every_hours = 24
    site.collection.run_due()
    site.collection.run_due()
    assert [entry.requested_by for entry in site.store.collections.list()] == ["server"]
    site.later(hours=25)
    site.collection.run_due()
    assert len(site.store.collections.list()) == 2


def test_a_second_request_returns_the_collection_that_has_not_finished(site: Site) -> None:
    assert site.collection.request("ada") == site.collection.request("ben")
    site.collection.run_due()
    assert site.collection.request("ben").requested_by == "ben"
