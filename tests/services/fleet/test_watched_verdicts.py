"""Continuous verdicts when the watch of an image ends, and begins again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.services.renewal_fleet import NAMES, Fleet, open_fleet
from tests.store.factories import FACTORIES, limit_to_sqlite, make_approval

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.identity.model import LOCAL, Caller
from dockgate.services.images.search import ImageQuery
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage
from dockgate.web.api.images import read_image_view

ENDING = "kind: PolicyAssignment\nname: ending\nrepositories: [team/web]\npolicy: default\nwatch: 2d after push\n"


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def test_the_end_of_a_watch_keeps_the_last_verdict_with_which_the_next_watch_compares(fleet: Fleet) -> None:
    verdicts = fleet.system.use_cases.push_verdicts.verdicts
    verdicts.judge_push(fleet.images["web"], "team/web", 1)
    now = format_time(fleet.system.clock())
    fleet.system.store.images.add_push(PushedImage("team/web", "1", fleet.images["web"], now))
    fleet.verdict_renewal.renew()
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    fleet.system.services.delivery.documents.apply(ENDING, "test", Caller(LOCAL))
    fleet.system.clock.ahead += timedelta(days=3)
    for _ in range(2):
        fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"api": "Approved", "job": "Approved"}
    (detail,) = fleet.list_details("watch.ended")
    assert (detail["repository"], detail["status"]) == ("team/web", "Rejected")
    view, _ = read_image_view(fleet.images["web"], Caller(LOCAL), fleet.system.store, fleet.system.services.images)
    assert view.summary == "not watched any more; the last verdict: Rejected, 1 CRITICAL finding"
    fleet.system.services.delivery.documents.apply(ENDING.replace("2d", "9d"), "test", Caller(LOCAL))
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["web"] == "Rejected"
    assert fleet.list_changes() == [("team/web", "Approved", "Rejected")]


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_is_wrong_for_a_while_ends_no_watch_and_announces_no_end_twice(fleet: Fleet, days: int) -> None:
    clock, image = fleet.system.clock, fleet.images["web"]
    fleet.system.services.delivery.documents.apply(ENDING, "test", Caller(LOCAL))
    pushed_image = PushedImage("team/web", "1", image, format_time(clock()))
    fleet.system.store.images.add_push(pushed_image)
    fleet.verdict_renewal.renew()
    for is_ended in (False, True):
        for clock.wrong_by in (timedelta(days=days), timedelta()):
            fleet.verdict_renewal.renew()
        assert ("web" not in fleet.list_verdicts()) is is_ended
        assert len(fleet.list_details("watch.ended")) == is_ended
        clock.ahead += timedelta(days=3)
        fleet.verdict_renewal.renew()
    fleet.system.store.images.add_push(replace(pushed_image, pushed_at=format_time(clock())))
    fleet.verdict_renewal.renew()
    clock.ahead += timedelta(days=3)
    fleet.verdict_renewal.renew()
    assert len(fleet.list_details("watch.ended")) == 2


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("restart", ["pull", "push", "approval", "run", "setting"])
def test_a_watch_that_begins_again_has_a_new_verdict_at_once_and_shows_no_old_one(fleet: Fleet, restart: str) -> None:
    system, store, image = fleet.system, fleet.system.store, fleet.images["web"]
    assignment = ENDING.replace("after push", "after pull").replace("[team/web]", "[team/*]")
    system.services.delivery.documents.apply(assignment, "test", Caller(LOCAL))
    for name in NAMES:
        store.images.add_push(PushedImage(f"team/{name}", "1", fleet.images[name], format_time(system.clock())))
        system.use_cases.push_verdicts.verdicts.judge_push(fleet.images[name], f"team/{name}", 1)
    fleet.verdict_renewal.renew()
    system.clock.ahead += timedelta(days=3)
    fleet.verdict_renewal.renew()
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {}
    now = format_time(system.clock())
    if restart == "pull":
        store.image_uses.record_pull("team/web", image, now)
    elif restart == "push":
        store.images.add_push(PushedImage("team/web", "1", image, now))
    elif restart == "approval":
        store.approvals.add(replace(make_approval("a", image), repository="team/web", created_at=now))
    elif restart == "run":
        definition = TaskDefinition("shop", 1, "web", ImageReference("registry.example/team/web", image))
        store.services.put(Service("shop", "local", 1, 1), definition)
    else:
        system.services.delivery.documents.apply(assignment.replace("2d", "9d"), "test", Caller(LOCAL))
    images = system.services.images.search.list_images(ImageQuery()).images
    shown_images = {entry.repository: (entry.status, entry.summary) for entry in images}
    assert shown_images["team/web"] == ("Undetermined", "it has no current verdict yet")
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["web"] == "Rejected"
    store.image_uses.record_pull("team/api", fleet.images["api"], format_time(system.clock()))
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["api"] == "Approved"
