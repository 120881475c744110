"""Findings that have ended are removed after a while: their number is bounded, and questions about that time say so."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import FLASK, IDNA, AdvisoryDatabase, make_package
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.retention import Retention
from dockgate.services.durable_effects import Effects
from dockgate.services.exposure.conclusion import ExposureState
from dockgate.services.fleet.finding_trends import compute_trends
from dockgate.services.retention.row_retention import RowRetention
from dockgate.store.retention import fleet as fleet_retention
from dockgate.store.schema.fleet import fleet_past_findings


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]), today=1)


def collect(fleet: Fleet, keep_days: float, *, should_remove: bool = True) -> dict[str, int]:
    retention = RowRetention(fleet.store, fleet.make_clock(), Effects(), Retention(keep_days))
    return {entry.kind: entry.count for entry in retention.collect(should_remove)}


def publish_and_withdraw(fleet: Fleet, days: range) -> None:
    """Have the advisory of idna withdrawn at the beginning of every second day, and published again after it."""
    for fleet.today in days:
        fleet.database.advisories = [FLASK] if fleet.today % 2 else [IDNA, FLASK]
        fleet.index.rematch_all(fleet.database)


def count_past_findings(fleet: Fleet) -> int:
    with fleet.store.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(fleet_past_findings)) or 0


@limit_to_sqlite("fleet")
def test_a_finding_that_comes_and_goes_has_no_more_rows_than_the_retention_has_days(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    for begin in (2, 12):
        publish_and_withdraw(fleet, range(begin, begin + 10))
        assert collect(fleet, 4, should_remove=False)["ended findings"] == count_past_findings(fleet) - 3
        assert collect(fleet, 4)["ended findings"] >= 2
        assert count_past_findings(fleet) == 3
        assert collect(fleet, 4)["ended findings"] == 0


@limit_to_sqlite("fleet")
def test_within_the_retention_the_past_is_as_before(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"), make_package("flask", "3.0.0"))
    publish_and_withdraw(fleet, range(2, 22))
    before = {day: fleet.find_exposure("CVE-2026-1", day).state for day in range(1, 22)}
    assert set(before.values()) == {ExposureState.PRESENT, ExposureState.ABSENT}
    collect(fleet, 4)
    after = {day: fleet.find_exposure("CVE-2026-1", day) for day in range(1, 22)}
    assert {day: after[day].state for day in range(17, 22)} == {day: before[day] for day in range(17, 22)}
    for day in range(1, 17):
        assert after[day].state is not ExposureState.ABSENT
        assert f"before {format_day(17)} was removed by a garbage collection" in (after[day].unknown.reason or "")
    assert fleet.find_exposure("CVE-2026-2").state is ExposureState.PRESENT
    assert compute_trends(fleet.store, fleet.make_clock()()).begins_on == format_day(17)[:10]


@limit_to_sqlite("fleet")
def test_questions_about_the_time_of_a_deleted_image_are_not_answered_without_it(fleet: Fleet) -> None:
    fleet.push("old", "team/api", "1", make_package("flask", "3.0.0"))
    gone_image = fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.today = 3
    fleet.store.image_removals.remove("team/web", gone_image, format_day(3))
    fleet.today = 20
    assert fleet.find_exposure("idna", 2).state is ExposureState.PRESENT
    assert collect(fleet, 4)["gone images"] == 1
    assert fleet.find_exposure("idna", 2).state is ExposureState.NOT_RECORDED
    assert fleet.find_exposure("idna", 16).state is ExposureState.ABSENT


def test_many_ended_findings_are_removed_in_small_transactions(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    publish_and_withdraw(fleet, range(2, 10))
    before, count = format_day(10), count_past_findings(fleet)
    assert fleet.store.fleet_retention.delete_past_findings(before) == count < fleet_retention.FINDINGS_BATCH
    assert fleet.store.fleet_retention.delete_past_findings(before) == 0
