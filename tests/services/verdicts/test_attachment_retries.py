"""What is attached to images and could not be fetched is fetched again; images are judged again for a new result."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.gate.model import Policy, VexStatus
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.verdicts.attachment_retries import AttachmentRetries
from dockgate.services.verdicts.provenance import Provenance
from dockgate.services.verdicts.waivers import ServerWaivers
from dockgate.shared import canonical
from dockgate.shared.errors import DeniedError, UnavailableError
from dockgate.store import Store
from dockgate.store.records import ImageLocation

IMAGES = [
    ImageLocation(f"{host}.example/{name}", f"sha256:{letter * 64}")
    for host in ("one", "two")
    for name, letter in (("app", "a"), ("web", "b"))
]


def make_vex(status: str) -> bytes:
    """An OpenVEX document about the image that it is attached to."""
    statement = {"vulnerability": {"name": "CVE-2026-1"}, "status": status, "impact_statement": "not called"}
    statement |= {"action_statement": "upgrade"} if status == "affected" else {}
    return canonical.encode(
        {
            "@context": "https://openvex.dev/ns/v0.2.0",
            "@id": "https://example.org/vex",
            "author": "Example",
            "timestamp": "2026-11-28T11:00:00Z",
            "version": 1,
            "statements": [statement],
        }
    )


class Registries:
    """Registries of which some are away or refuse repositories, and the images that were asked for."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, datetime(2026, 11, 28, 12, tzinfo=UTC)
        self.away, self.refused_repositories, self.defects = set[str](), set[str](), set[str]()
        self.requests, self.documents = list[ImageLocation](), dict[ImageLocation, bytes]()
        clock, policies = ServerClock(lambda: self.now), dict[str, Policy]()
        self.provenance = Provenance(store, self.read_attached, None, policies.__getitem__, clock, "", "", "1")
        self.waivers = ServerWaivers(store, self.read_attached, (), clock, Effects(), 7)
        self.retries = AttachmentRetries(store, self.provenance, self.waivers, clock, Effects())

    def read_attached(self, repository: str, digest: str) -> Sequence[bytes]:
        location = ImageLocation(repository, digest)
        self.requests.append(location)
        if repository in self.defects:
            raise RecursionError("a defect")
        if repository in self.refused_repositories:
            raise DeniedError("the registry refuses it")
        if repository.partition(".")[0] in self.away:
            raise UnavailableError("the registry does not answer")
        return [self.documents[location]] if location in self.documents else []

    def fetch_all(self, kind: str) -> None:
        """Fetch what is attached to every image for the first time."""
        fetch = self.provenance.fetch_statements if kind == "provenance" else self.waivers.record_attached_vex
        for location in IMAGES:
            fetch(*location)

    def retry(self, minutes: float) -> list[ImageLocation]:
        """Run a round so much later, and return what was asked for."""
        self.now += timedelta(minutes=minutes)
        self.requests.clear()
        self.retries.run()
        return list(self.requests)

    def list_due(self) -> set[str]:
        """Forget and return the images that the fleet has to judge again."""
        changes = self.store.due_images.list()
        self.store.due_images.remove_unjudged([number for numbers in changes.values() for number in numbers])
        return set(changes)


@pytest.fixture(params=FACTORIES)
def registries(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registries]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Registries(store)


@limit_to_sqlite("registries")
@pytest.mark.parametrize("kind", ["provenance", "vex"])
def test_each_registry_that_is_away_gets_one_request_in_a_round(registries: Registries, kind: str) -> None:
    registries.away = {"one", "two"}
    registries.fetch_all(kind)
    registries.list_due()
    revisions = registries.store.provenance.list_revisions(IMAGES), registries.store.vex.read_revision()
    assert registries.retry(minutes=9) == []
    assert registries.retry(minutes=2) == [IMAGES[0], IMAGES[2]]
    assert registries.retry(minutes=1) == [IMAGES[1], IMAGES[3]]
    assert registries.retry(minutes=1) == []
    assert (registries.store.provenance.list_revisions(IMAGES), registries.store.vex.read_revision()) == revisions
    assert registries.list_due() == set()


@limit_to_sqlite("registries")
@pytest.mark.parametrize("kind", ["provenance", "vex"])
def test_a_fetch_that_failed_by_a_clock_that_was_ahead_is_repeated(registries: Registries, kind: str) -> None:
    registries.away = {"one", "two"}
    registries.fetch_all(kind)
    registries.away = set()
    assert registries.retry(minutes=-3 * 24 * 60) == IMAGES
    assert registries.retry(minutes=11) == []


@limit_to_sqlite("registries")
def test_provenance_and_vex_of_a_registry_that_is_away_are_one_request(registries: Registries) -> None:
    registries.away = {"one", "two"}
    registries.fetch_all("provenance")
    registries.fetch_all("vex")
    assert registries.retry(minutes=11) == [IMAGES[0], IMAGES[2]]


@limit_to_sqlite("registries")
@pytest.mark.parametrize("kind", ["provenance", "vex"])
def test_a_refused_repository_and_a_defect_keep_no_other_from_being_asked(registries: Registries, kind: str) -> None:
    registries.away = {"one", "two"}
    registries.fetch_all(kind)
    registries.away, registries.refused_repositories = set(), {IMAGES[0].repository}
    registries.defects = {IMAGES[2].repository}
    with pytest.raises(RecursionError):
        registries.retry(minutes=11)
    assert registries.requests == IMAGES
    registries.defects = set()
    assert registries.retry(minutes=1) == [IMAGES[2]]
    assert registries.retry(minutes=11) == [IMAGES[0]]


@limit_to_sqlite("registries")
def test_a_registry_that_is_back_has_its_images_judged_again(registries: Registries) -> None:
    registries.away = {"one", "two"}
    registries.fetch_all("provenance")
    registries.list_due()
    registries.away = {"two"}
    before = registries.store.provenance.list_revisions(IMAGES)
    assert set(registries.retry(minutes=11)) == {*IMAGES[:2], IMAGES[2]}
    after = registries.store.provenance.list_revisions(IMAGES)
    assert [location for location in IMAGES if before[location] != after[location]] == IMAGES[:2]
    assert registries.list_due() == {image for _, image in IMAGES[:2]}
    assert all(
        registries.store.provenance.list_statements(location.image, location.repository).fetch_error is None
        for location in IMAGES[:2]
    )


def test_a_request_to_read_attached_documents_fails_while_the_registry_does_not_say_them(
    registries: Registries,
) -> None:
    location = IMAGES[0]
    registries.documents[location] = make_vex("not_affected")
    registries.away = {"one"}
    with pytest.raises(UnavailableError, match=r"attached to one.example/app@sha256:a+: the registry does not") as away:
        registries.waivers.refresh_attached_vex(*location)
    assert "every ten minutes" in (away.value.advice or "")
    registries.away, registries.refused_repositories = set(), {location.repository}
    with pytest.raises(UnavailableError, match="the registry refuses it"):
        registries.waivers.refresh_attached_vex(*location)
    registries.refused_repositories = set()
    registries.waivers.refresh_attached_vex(*location)
    assert registries.store.vex.list_active([location.image])
    assert registries.retry(minutes=11) == []


@limit_to_sqlite("registries")
def test_a_retraction_that_could_not_be_fetched_counts_when_the_registry_is_back(registries: Registries) -> None:
    location = IMAGES[0]
    registries.documents[location] = make_vex("not_affected")
    registries.fetch_all("vex")
    registries.documents[location], registries.away = make_vex("affected"), {"one"}
    assert registries.waivers.record_attached_vex(*location) is None
    registries.away = set()
    revision = registries.store.vex.read_revision()
    assert registries.retry(minutes=11) == [location]
    assert registries.store.vex.read_revision() != revision
    active = registries.store.vex.list_active([location.image])
    assert [statement.status for _, (statement,) in active] == [VexStatus.NOT_AFFECTED, VexStatus.AFFECTED]
    assert registries.retry(minutes=11) == []


@limit_to_sqlite("registries")
def test_failed_fetches_of_absent_images_are_forgotten(registries: Registries) -> None:
    registries.away = {"one", "two"}
    registries.fetch_all("provenance")
    registries.fetch_all("vex")
    registries.store.row_retention.delete_of_absent_images("2026-01-01T00:00:00.000Z")
    assert registries.retry(minutes=11) == []
