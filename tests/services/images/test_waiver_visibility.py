"""The waivers that a caller with limits sees: those that count in images that it may see, and no others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import IDNA, AdvisoryDatabase, digest, make_package
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.gate.model import Waiver
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.services.images.waiver_visibility import select_visible_waivers


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA]))


def make_caller(*repositories: str) -> Caller:
    token = Token("t", "ben", "", format_day(1), format_day(30), repositories=repositories)
    return Caller(Principal("ben", (Role.VIEWER,), format_day(1)), token)


def add_waiver(fleet: Fleet, waiver_id: str, repository: str | None = None, image: str | None = None) -> None:
    waiver = Waiver(
        waiver_id,
        "ana",
        "No such code.",
        "CVE-2026-1",
        repository=repository,
        image=image,
        until=format_day(28),
        created_at=format_day(15),
    )
    fleet.store.waivers.add(waiver)


@limit_to_sqlite("fleet")
def test_a_limited_caller_sees_the_waivers_that_count_in_its_images(fleet: Fleet) -> None:
    for name, repository in (("web", "team/web"), ("api", "secret/api")):
        fleet.push(name, repository, "1", make_package("idna", "3.6"))
    add_waiver(fleet, "all")
    add_waiver(fleet, "web", "team/web")
    add_waiver(fleet, "pattern", "*/web")
    add_waiver(fleet, "secret", "secret/*")
    add_waiver(fleet, "web-image", image=digest("web"))
    add_waiver(fleet, "secret-image", image=digest("api"))
    add_waiver(fleet, "secret-image-of-pattern", "**", digest("api"))
    records = fleet.store.waivers.list()

    def list_visible(caller: Caller | None) -> set[str]:
        return {record.waiver.id for record in select_visible_waivers(fleet.store, records, caller)}

    assert list_visible(make_caller("team/*")) == {"all", "web", "pattern", "web-image"}
    assert list_visible(make_caller("other/*")) == {"all"}
    assert list_visible(make_caller()) == list_visible(None) == {record.waiver.id for record in records}
    naming = fleet.find_exposure("CVE-2026-1", caller=make_caller("team/*")).waivers
    assert {entry.id for entry in naming} == {"all", "web", "pattern", "web-image"}
