"""Images that vanished from their registries: found by asking, slowly, and recorded only when that is certain."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.store.factories import FACTORIES, NOW, limit_to_sqlite, open_store_of_kind

from dockgate.services.images.image_presence import ImagePresence
from dockgate.shared.errors import DeniedError, DockgateError, NotFoundError, UnavailableError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.records import PushedImage
from dockgate.store.schema.images import pushed_images

OWN = "registry.example:5000"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


@dataclass
class Registries:
    """What is in registries: everything but what is `missing`. `errors` are raised by registry."""

    missing: set[str] = field(default_factory=set)
    errors: dict[str, DockgateError] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

    def resolve(self, reference: str, *, should_check_existence: bool = False) -> ImageReference:
        self.questions.append(reference)
        assert should_check_existence
        registry, _, image = reference.partition("/")
        if registry in self.errors:
            raise self.errors[registry]
        if image in self.missing:
            raise NotFoundError("there is no such image")
        repository, _, name = reference.partition("@")
        return ImageReference(repository, name)


@dataclass
class Server:
    store: Store
    registries: Registries = field(default_factory=Registries)
    removed: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.presence = ImagePresence(self.store, self.registries.resolve, self._remove, OWN)

    def _remove(self, repository: str, image: str) -> None:
        self.store.image_removals.remove(repository, image, NOW)
        self.removed.append((repository, image))

    def push(self, repository: str, *numbers: int) -> None:
        for number in numbers:
            self.store.images.add_push(PushedImage(repository, str(number), digest(number), NOW))

    def run(self, times: int) -> None:
        for _ in range(times):
            self.presence.run()


@pytest.fixture(params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Server(store)


@limit_to_sqlite("server")
def test_an_image_that_is_missing_twice_is_recorded_as_gone(server: Server) -> None:
    server.push("web", 1, 2, 3, 4)
    server.push("quay.example/team/app", 5)
    server.registries.missing = {f"web@{digest(3)}"}
    server.run(10)
    assert server.removed == [("web", digest(3))]
    assert server.store.tag_history.find_digest("web", "3") is None
    assert server.store.tag_history.find_digest("web", "2") == digest(2)
    assert f"{OWN}/web@{digest(1)}" in server.registries.questions
    assert f"quay.example/team/app@{digest(5)}" in server.registries.questions


@limit_to_sqlite("server")
def test_an_image_that_was_put_back_stays(server: Server) -> None:
    server.push("web", 1, 2, 3)
    server.run(2)
    server.registries.missing = {f"web@{digest(3)}"}
    server.run(1)
    server.registries.missing = set()
    server.run(10)
    assert server.removed == []


@limit_to_sqlite("server")
def test_a_registry_that_misses_all_images_loses_none(server: Server) -> None:
    """Its storage may not be mounted."""
    server.push("web", 1, 2, 3, 4)
    server.run(6)
    server.registries.missing = {f"web@{digest(number)}" for number in range(5)}
    server.run(60)
    assert server.removed == []
    server.registries.missing = {f"web@{digest(2)}"}
    server.run(10)
    assert server.removed == [("web", digest(2))]


@limit_to_sqlite("server")
def test_the_only_image_of_a_registry_stays(server: Server) -> None:
    server.push("web", 1)
    server.push("quay.example/team/app", 2)
    server.run(4)
    server.registries.missing = {f"web@{digest(1)}"}
    server.run(10)
    assert server.removed == []


@limit_to_sqlite("server")
@pytest.mark.parametrize("error", [UnavailableError("no answer"), DeniedError("this server reads no images there")])
def test_an_image_of_a_registry_that_does_not_say_stays(server: Server, error: DockgateError) -> None:
    server.push("quay.example/team/app", 1, 2)
    server.push("web", 3)
    server.registries.errors = {"quay.example": error}
    server.run(10)
    assert server.removed == []
    assert f"{OWN}/web@{digest(3)}" in server.registries.questions


def test_each_image_is_asked_about_once_a_day(server: Server) -> None:
    images = [PushedImage("web", str(number), digest(number), NOW) for number in range(1, 1500)]
    with server.store.database.write() as connection:
        connection.execute(insert(pushed_images), list(map(asdict, images)))
    server.run(60)  # once a minute: 1,440 times a day
    assert len(server.registries.questions) == len(set(server.registries.questions)) == 2 * 60
