"""Provenance that could not be fetched is fetched again, and images are judged again only for a new result."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, open_store_of_kind

from dockgate.gate.model import Policy
from dockgate.services.clock import ServerClock
from dockgate.services.durable_effects import Effects
from dockgate.services.verdicts.provenance import Provenance
from dockgate.services.verdicts.provenance_retries import ProvenanceRetries
from dockgate.shared.errors import UnavailableError
from dockgate.store import Store
from dockgate.store.records import ImageLocation

IMAGES = [ImageLocation(f"{host}.example/app", f"sha256:{letter * 64}") for host in ("one", "two") for letter in "ab"]


class Registries:
    """Registries of which some are away, and the images whose statements were asked for."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, datetime(2026, 11, 28, 12, tzinfo=UTC)
        self.away, self.requests = {"one", "two"}, list[ImageLocation]()
        clock, policies = ServerClock(lambda: self.now), dict[str, Policy]()
        self.provenance = Provenance(store, self.read_attached, None, policies.__getitem__, clock, "", "", "1")
        self.retries = ProvenanceRetries(store, self.provenance, clock, Effects())
        for location in IMAGES:
            self.provenance.fetch_statements(*location)

    def read_attached(self, repository: str, digest: str) -> Sequence[bytes]:
        self.requests.append(ImageLocation(repository, digest))
        if repository.partition(".")[0] in self.away:
            raise UnavailableError("the registry does not answer")
        return []

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


def test_each_registry_that_is_away_gets_one_request_in_a_round(registries: Registries) -> None:
    registries.list_due()
    revisions = registries.store.provenance.list_revisions(IMAGES)
    assert registries.retry(minutes=9) == []
    assert registries.retry(minutes=2) == [IMAGES[0], IMAGES[2]]
    assert registries.retry(minutes=1) == [IMAGES[1], IMAGES[3]]
    assert registries.retry(minutes=1) == []
    assert registries.store.provenance.list_revisions(IMAGES) == revisions
    assert registries.list_due() == set()


def test_a_registry_that_is_back_has_its_images_judged_again(registries: Registries) -> None:
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
