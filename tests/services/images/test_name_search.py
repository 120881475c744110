"""Images by REPOSITORY:TAG and REPOSITORY@DIGEST."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, day
from tests.services.fleet.test_index import AdvisoryDatabase, digest, package
from tests.store.factories import opened

from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.services.images.name_search import find_named_images, strip_own_registry


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with opened("sqlite", tmp_path) as store:
        fleet = Fleet(store, AdvisoryDatabase([]))
        fleet.push("a", "team/web", "latest", package("idna", "3.6"))
        yield fleet


def find(fleet: Fleet, name: str, *repositories: str) -> list[str]:
    token = Token("t", "ana", "", day(1), day(30), repositories=repositories)
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


def test_our_own_registry_is_left_out_however_it_is_spelled() -> None:
    assert strip_own_registry("127.0.0.1:7421/web/app:1", "127.0.0.1:7421") == "web/app:1"
    assert strip_own_registry("LOCALHOST:7421/web/app:1", "127.0.0.1:7421") == "web/app:1"
    for name in ("quay.io/web/app:1", "web/app:1", "app:1", "127.0.0.1:7421/quay.io/app:1"):
        assert strip_own_registry(name, "127.0.0.1:7421") == name
