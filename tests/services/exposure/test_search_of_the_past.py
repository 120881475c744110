"""Where a vulnerability or a package was at a time in the past."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import (
    FLASK,
    IDNA,
    AdvisoryDatabase,
    digest,
    make_package,
)
from tests.store.factories import FACTORIES, limit_to_sqlite, make_approval, open_store_of_kind

from dockgate.services.exposure.conclusion import ExposureState
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.model import Cve


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]))


@limit_to_sqlite("fleet")
def test_the_past_follows_from_tags_and_findings(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.database.advisories = [FLASK]
    fleet.today = 12
    fleet.index.rematch_all(fleet.database)
    fleet.database.advisories = [IDNA]
    fleet.today = 14
    fleet.index.rematch_all(fleet.database)
    fleet.today = 16
    fleet.push("b", "team/web", "1", make_package("idna", "3.7"))
    states = {at: fleet.find_exposure("CVE-2026-1", at).total for at in (9, 11, 13, 15, 17)}
    assert states == {9: None, 11: 1, 13: 0, 15: 1, 17: 0}
    assert fleet.find_exposure("CVE-2026-1").total == 0
    (entry,) = fleet.find_exposure("CVE-2026-1", 11).images[0].packages
    assert (entry.since, entry.until, entry.ended_by) == (format_day(10), format_day(12), "advisory changed")
    (entry,) = fleet.find_exposure("CVE-2026-1", should_include_moved=True).images[0].packages
    assert (entry.since, entry.until, entry.ended_by) == (format_day(14), format_day(16), "package upgraded")


def test_a_time_before_the_history_is_unknown_and_not_no_image(fleet: Fleet) -> None:
    empty = fleet.find_exposure("CVE-2026-1", 9)
    assert empty.unknown.reason == "Nothing is recorded: the history begins with the first scan of an image."
    fleet.today = 10
    fleet.database.fails = True
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.database.fails = False
    fleet.today = 14
    fleet.index.match_new()
    for question in ("CVE-2026-1", "idna"):
        early = fleet.find_exposure(question, 9)
        assert early.state is ExposureState.NOT_RECORDED
        assert f"Nothing was recorded before {format_day(10)}" in (early.unknown.reason or "")
    unmatched_exposure = fleet.find_exposure("CVE-2026-1", 12)
    assert unmatched_exposure.state is ExposureState.NOT_RECORDED
    assert f"No package was matched with advisories before {format_day(14)}" in (
        unmatched_exposure.unknown.reason or ""
    )
    assert fleet.find_exposure("idna", 12).state is ExposureState.PRESENT
    recorded_exposure = fleet.find_exposure("CVE-2026-1", 15)
    assert (recorded_exposure.state, recorded_exposure.unknown.reason) == (ExposureState.PRESENT, None)
    assert (fleet.find_exposure("CVE-2026-2", 15).state, recorded_exposure.unknown.reason) == (
        ExposureState.ABSENT,
        None,
    )


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("include_moved", [False, True])
def test_an_image_that_was_scanned_later_is_unknown_at_its_push(fleet: Fleet, include_moved: bool) -> None:
    fleet.today = 8
    fleet.push("first", "team/first", "1", make_package("flask", "1"))
    fleet.store.images.add_push(PushedImage("team/web", "1", digest("a"), format_day(10)))
    fleet.today = 14
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    answers = {at: fleet.find_exposure("CVE-2026-1", at, should_include_moved=include_moved) for at in (9, 12, 15)}
    assert [answer.total for answer in answers.values()] == [0, 0, 1]
    unknown = {
        at: [(entry.repository, entry.reason) for entry in answer.unknown.images] for at, answer in answers.items()
    }
    assert unknown == {9: [], 12: [("team/web", "it was not scanned yet at that time")], 15: []}


@limit_to_sqlite("fleet")
def test_an_answer_about_the_past_names_what_had_happened_by_then(fleet: Fleet) -> None:
    fleet.database.known_cves = {"CVE-2026-1": Cve("CVE-2026-1", exploited=format_day(24)[:10], epss=0.5)}
    fleet.push("a", "team/a", "1", make_package("idna", "3.6"))
    approval = replace(
        make_approval("web-1/Gate/Approve/1", digest("a")), repository="team/a", created_at=format_day(22)
    )
    fleet.store.approvals.add(approval)
    fleet.today = 25

    def describe_exposure(as_of: int | None) -> tuple[list[str], str | None, float | None]:
        exposure = fleet.find_exposure("CVE-2026-1", as_of=as_of)
        assert [image.pipelines for image in exposure.images] == [
            [pipeline.pipeline for pipeline in exposure.pipelines]
        ]
        return [pipeline.pipeline for pipeline in exposure.pipelines], exposure.exploited, exposure.epss

    assert describe_exposure(21) == ([], None, None)
    assert describe_exposure(23) == (["web"], None, None)
    assert describe_exposure(24) == (["web"], format_day(24)[:10], None)
    assert describe_exposure(None) == (["web"], format_day(24)[:10], 0.5)
