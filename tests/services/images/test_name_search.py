"""Images by REPOSITORY:TAG and REPOSITORY@DIGEST."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import AdvisoryDatabase, digest, make_package
from tests.store.factories import open_store_of_kind

from dockgate.config import Settings
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.services.images.name_search import find_named_images, read_own_pattern, resolve_image, strip_own_registry
from dockgate.shared.errors import DockgateError, NotFoundError, UsageError
from dockgate.shared.host_port import HostPort


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind("sqlite", tmp_path) as store:
        fleet = Fleet(store, AdvisoryDatabase([]))
        fleet.push("a", "team/web", "latest", make_package("idna", "3.6"))
        yield fleet


def find(fleet: Fleet, name: str, *repositories: str) -> list[str]:
    token = Token("t", "ana", "", format_day(1), format_day(30), repositories=repositories)
    caller = Caller(Principal("ana", (Role.VIEWER,)), token)
    return [str(image) for image in find_named_images(fleet.store, caller, name)]


def test_an_image_is_found_by_tag_and_by_digest(fleet: Fleet) -> None:
    image = f"team/web@{digest('a')}"
    names = ("team/web:latest", image, f"team/web:latest@{digest('a')}", image[:24] + "…", "team/web@" + image[16:24])
    assert [find(fleet, name) for name in names] == [["team/web:latest"], [image], [image], [image], [image]]
    for name in ("team/web", "team/web:1", f"team/api@{digest('a')}", f"team/web@{digest('b')}", "team/web@sha256:x"):
        assert find(fleet, name) == []


def test_only_what_the_caller_may_see_is_found(fleet: Fleet) -> None:
    for name in ("team/web:latest", f"team/web@{digest('a')}"):
        assert find(fleet, name, "other/*") == []
        assert len(find(fleet, name, "team/*")) == 1


REGISTRY = "127.0.0.1:7421"


def make_caller(*repositories: str) -> Caller:
    token = Token("t", "ana", "", format_day(1), format_day(30), repositories=repositories)
    return Caller(Principal("ana", (Role.VIEWER,)), token)


def test_every_name_of_an_image_gives_its_digest_and_the_repository_that_it_has(fleet: Fleet) -> None:
    image = digest("a")
    names = {
        "team/web": "team/web",  # latest, as for docker, skopeo and crane
        "team/web:latest": "team/web",
        f"team/web@{image}": "team/web",
        f"team/web:1@{image}": "team/web",
        f"{REGISTRY}/team/web:latest": "team/web",
        f"localhost:7421/team/web@{image[:20]}…": "team/web",
        f"{REGISTRY}/team/web": "team/web",
        image: None,
        image[7:15]: None,
        f"{image[:16]}…": None,
    }
    for name, repository in names.items():
        named_image = resolve_image(fleet.store, make_caller("team/*"), name, (REGISTRY,))
        assert (name, named_image.digest, named_image.repository) == (name, image, repository)


def test_a_repository_with_a_name_like_a_digest_is_found(fleet: Fleet) -> None:
    image = fleet.push("b", "decade", "latest", make_package("idna", "3.6"))
    assert resolve_image(fleet.store, make_caller(), "decade", (REGISTRY,)).digest == image


def test_a_name_without_an_image_is_answered_with_those_that_there_are(fleet: Fleet) -> None:
    fleet.today += 1
    fleet.push("b", "team/api", "1.7", make_package("idna", "3.6"))
    cases: dict[str, tuple[type[DockgateError], str, str]] = {
        "team/api": (NotFoundError, "team/api has no tag 'latest'", "team/api:1.7"),
        f"{REGISTRY}/team/api:2": (NotFoundError, "team/api has no tag '2'", "team/api:1.7"),
        f"team/api@{digest('a')}": (NotFoundError, f"team/api has no image {digest('a')}", "team/api:1.7"),
        "quay.io/team/web": (NotFoundError, "quay.io/team/web has no tag 'latest'", "`dockgate image list`"),
        "abcdef": (NotFoundError, "no image digest begins with abcdef", "`dockgate image list`"),
        "team/api@sha256:x": (UsageError, "'sha256:x' is too short, or not a digest", "REPOSITORY:TAG"),
        "team/api@abcd": (UsageError, "'abcd' is too short, or not a digest", "6 digits"),
        "sha256:abcd": (UsageError, "'sha256:abcd' is too short, or not a digest", "6 digits"),
    }
    for name, (kind, message, advice) in cases.items():
        with pytest.raises(kind) as error:
            resolve_image(fleet.store, make_caller("team/*"), name, (REGISTRY,))
        assert error.value.full_message.startswith(message)
        assert advice in (error.value.advice or "")


def test_what_the_caller_may_not_see_is_answered_like_what_does_not_exist(fleet: Fleet) -> None:
    def refuse(name: str) -> str:
        with pytest.raises(NotFoundError) as error:
            resolve_image(fleet.store, make_caller("other/*"), name, (REGISTRY,))
        return error.value.full_message

    for name in ("team/web", "team/web:latest", f"team/web@{digest('a')}"):
        assert refuse(name) == refuse(name.replace("web", "none")).replace("none", "web")
    start, unknown = digest("a")[7:15], digest("unknown")[7:15]
    assert refuse(start) == refuse(unknown).replace(unknown, start)


def test_our_own_registry_is_left_out_however_it_is_spelled() -> None:
    assert strip_own_registry("127.0.0.1:7421/web/app:1", ("127.0.0.1:7421",)) == "web/app:1"
    assert strip_own_registry("LOCALHOST:7421/web/app:1", ("127.0.0.1:7421",)) == "web/app:1"
    for name in ("quay.io/web/app:1", "web/app:1", "app:1", "127.0.0.1:7421/quay.io/app:1"):
        assert strip_own_registry(name, ("127.0.0.1:7421",)) == name


def test_the_public_name_of_our_own_registry_is_left_out_too(tmp_path: Path) -> None:
    listen = HostPort("10.0.0.5", 7422)
    settings = Settings(tmp_path, tmp_path, registry_listen=listen, public_url="https://gate.example.org")
    assert settings.registry_names == ("127.0.0.1:7421", "gate.example.org:7422")
    for name in ("gate.example.org:7422/web/app:1", "Gate.Example.org:7422/web/app:1", "localhost:7421/web/app:1"):
        assert strip_own_registry(name, settings.registry_names) == "web/app:1"
    assert strip_own_registry("gate.example.org/web/app:1", settings.registry_names) == "gate.example.org/web/app:1"
    assert Settings(tmp_path, tmp_path).registry_names == ("127.0.0.1:7421",)


def test_a_pattern_of_our_own_registry_is_one_without_it_unless_it_would_match_more() -> None:
    for pattern, expected in (
        ("LOCALHOST:7421/web/*", "web/*"),
        ("web/*", "web/*"),
        ("**", "**"),
        ("quay.io/*", "quay.io/*"),
    ):
        assert read_own_pattern(pattern, ("127.0.0.1:7421",)) == expected
    for pattern in ("127.0.0.1:7421/**", "127.0.0.1:7421/*/app"):
        with pytest.raises(UsageError, match="other registries"):
            read_own_pattern(pattern, ("127.0.0.1:7421",))
