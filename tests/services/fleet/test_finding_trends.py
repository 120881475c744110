"""Trends: open vulnerabilities by day, fixes, a tag's findings over time, and findings by layer."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import FLASK, IDNA, AdvisoryDatabase, digest, make_advisory, make_package
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.scanner.model import Package
from dockgate.services.clock import ServerClock
from dockgate.services.fleet.finding_trends import (
    FRESH_FACTOR,
    FRESH_SECONDS,
    Fixes,
    SeverityTrend,
    TrendReader,
    compute_trends,
    count_open,
)
from dockgate.services.images.findings import find_layer_findings, find_repository_findings, find_tag_findings
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import list_last_days
from dockgate.store.fleet.findings import MATCHED_SINCE
from dockgate.store.fleet.trends import ALWAYS
from dockgate.store.records import PushedImage
from dockgate.store.schema.fleet import fleet_state
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]), today=10)


def compute_trend(fleet: Fleet, severity: Severity = Severity.HIGH) -> SeverityTrend:
    trends = compute_trends(fleet.store, fleet.make_clock()())
    return next(entry for entry in trends.severities if entry.severity is severity)


@limit_to_sqlite("fleet")
def test_a_vulnerability_is_open_until_no_tag_names_an_image_with_it(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.today = 12
    fleet.push("b", "team/api", "1", make_package("idna", "3.6"), make_package("six", "1"))
    fleet.today = 14
    fleet.push("c", "team/web", "1", make_package("idna", "3.7"))
    fleet.today = 16
    assert compute_trend(fleet).open[-7:] == [1, 1, 1, 1, 1, 1, 1]  # team/api has it still
    assert compute_trend(fleet).open[:-7] == [None] * 83  # nothing was matched yet
    fleet.push("d", "team/api", "1", make_package("idna", "3.7"))
    fleet.today = 18
    assert compute_trend(fleet).open[-9:] == [1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert compute_trend(fleet).fixes == {30: Fixes(1, 6.0), 90: Fixes(1, 6.0)}


@limit_to_sqlite("fleet")
def test_a_withdrawn_advisory_closes_a_vulnerability_and_is_no_fix(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.today = 12
    fleet.database.advisories = [FLASK]
    fleet.index.rematch_all(fleet.database)
    fleet.today = 13
    assert compute_trend(fleet).open[-4:] == [1, 1, 0, 0]
    assert compute_trend(fleet).fixes[90] == Fixes(0, None)


@limit_to_sqlite("fleet")
def test_a_vulnerability_in_two_packages_counts_once(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"), make_package("idna", "3.5"))
    assert compute_trend(fleet).open[-1] == 1


@limit_to_sqlite("fleet")
def test_without_images_nothing_is_open_and_no_day_is_known(fleet: Fleet) -> None:
    trends = compute_trends(fleet.store, fleet.make_clock()())
    assert trends.begins_on is None
    assert all(entry.open == [None] * 90 for entry in trends.severities)


@limit_to_sqlite("fleet")
def test_trends_are_computed_again_after_a_while(fleet: Fleet) -> None:
    start, seconds, took = fleet.make_clock()(), 0.0, itertools.count(step=20.0)
    reader = TrendReader(fleet.store, ServerClock(lambda: start + timedelta(seconds=seconds)), lambda: next(took))
    assert reader.read()[0].begins_on is None
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    assert reader.read()[0].begins_on is None
    seconds = FRESH_SECONDS + 1
    assert reader.read()[0].begins_on == format_day(10)[:10]


@limit_to_sqlite("fleet")
def test_trends_that_are_quickly_computed_are_computed_again_soon(fleet: Fleet) -> None:
    start, seconds, took = fleet.make_clock()(), 0.0, itertools.count(step=0.01)
    reader = TrendReader(fleet.store, ServerClock(lambda: start + timedelta(seconds=seconds)), lambda: next(took))
    assert reader.read()[0].begins_on is None
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    seconds = 2 * FRESH_FACTOR * 0.01
    assert reader.read()[0].begins_on == format_day(10)[:10]


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        ([("2026-11-02T00:00:00.000Z", ALWAYS)], [0, 1, 1]),
        ([("2026-11-02T00:00:00.000Z", "2026-11-03T00:00:00.000Z")], [0, 1, 0]),
        ([("2026-11-02T01:00:00.000Z", "2026-11-02T02:00:00.000Z")], [0, 0, 0]),
        ([("2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z")], [0, 0, 0]),
        ([("2026-01-01T00:00:00.000Z", "2026-11-01T09:00:00.000Z")], [0, 0, 0]),
        ([("2026-01-01T00:00:00.000Z", ALWAYS), ("2026-11-03T00:00:00.000Z", ALWAYS)], [1, 1, 2]),
        ([("2026-12-01T00:00:00.000Z", ALWAYS)], [0, 0, 0]),
    ],
)
def test_times_count_on_the_days_at_whose_end_they_last(times: list[tuple[str, str]], counts: list[int]) -> None:
    assert count_open(times, ["2026-11-01", "2026-11-02", "2026-11-03"]) == counts


@limit_to_sqlite("fleet")
def test_the_trend_of_a_tag_counts_the_image_that_it_named_each_day(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.today = 12
    fleet.push("b", "team/web", "1", make_package("idna", "3.7"))
    fleet.today = 13
    findings = find_tag_findings(fleet.store, "team/web", "1", fleet.make_clock()(), 5)
    assert (
        findings.days == list_last_days(fleet.make_clock()(), 5) == [format_day(number)[:10] for number in range(9, 14)]
    )
    assert findings.severities[Severity.HIGH] == [None, 1, 1, 0, 0]
    assert [entry.counts for entry in findings.digests] == [[], [(1, Severity.HIGH)]]
    assert findings.digests[0].until is None


@limit_to_sqlite("fleet")
def test_a_repository_shows_its_newest_images_each_once(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "web-1", make_package("idna", "3.6"))
    fleet.push("other", "team/api", "1", make_package("idna", "3.6"))
    fleet.today = 12
    fleet.push("b", "team/web", "web-2", make_package("idna", "3.7"))
    fleet.today = 13
    fleet.store.images.add_push(PushedImage("team/web", "latest", digest("b"), format_day(13)))
    fleet.store.images.add_push(PushedImage("team/web", "new", digest("c"), format_day(13)))
    findings = find_repository_findings(fleet.store, "team/web")
    assert [(image.tag, image.counts) for image in findings.images] == [
        ("new", None),
        ("latest", []),
        ("web-1", [(1, Severity.HIGH)]),
    ]
    assert findings.severities[Severity.HIGH] == [1, 0, None]
    assert fleet.store.tag_history.summarize_repositories(["team/web", "none"]) == {"team/web": (4, format_day(13))}


@limit_to_sqlite("fleet")
@pytest.mark.parametrize(
    ("later_packages", "expected"),
    [
        ([make_package("idna", "3.7")], {"package upgraded": 1}),
        ([make_package("six", "1")], {"package removed": 1}),
        ([make_package("idna", "3.5")], {"tag moved on": 1}),
    ],
)
def test_a_tag_says_how_findings_of_its_earlier_image_ended(
    fleet: Fleet, later_packages: list[Package], expected: dict[str, int]
) -> None:
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.today = 12
    fleet.push("b", "team/web", "1", *later_packages)
    findings = find_tag_findings(fleet.store, "team/web", "1", fleet.make_clock()(), 5)
    assert [entry.ended for entry in findings.digests] == [{}, expected]


@limit_to_sqlite("fleet")
def test_a_tag_of_an_image_that_was_not_scanned_has_unknown_findings(fleet: Fleet) -> None:
    from dockgate.store.records import PushedImage

    fleet.store.images.add_push(PushedImage("team/web", "1", compute_digest(b"x"), format_day(10)))
    findings = find_tag_findings(fleet.store, "team/web", "1", fleet.make_clock()(), 2)
    assert findings.severities[Severity.HIGH] == [None, None]
    assert [entry.counts for entry in findings.digests] == [None]


@limit_to_sqlite("fleet")
def test_layers_have_the_packages_and_findings_that_they_brought(fleet: Fleet) -> None:
    fleet.database.advisories.append(make_advisory("CVE-2026-9", "six", "2"))
    image = fleet.push("a", "team/web", "1", make_package("idna", "3.6", "sha256:base"), make_package("six", "1"))
    layers = find_layer_findings(fleet.store, image)
    assert {
        layer: (entry.package_count, [count for count, _ in entry.counts]) for (_, layer), entry in layers.items()
    } == {
        "sha256:base": (1, [1]),
        "sha256:own": (1, [1]),
    }
    assert find_layer_findings(fleet.store, compute_digest(b"x")) == {}


def test_days_before_packages_were_matched_are_unknown_and_not_zero(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", make_package("six", "1"))
    of_first_match = fleet_state.c.name == MATCHED_SINCE
    with fleet.store.database.write() as connection:
        connection.execute(update(fleet_state).where(of_first_match).values(value=format_day(12)))
    fleet.today = 14
    now = fleet.make_clock()()
    assert compute_trend(fleet).open[-5:] == [None, None, 0, 0, 0]
    assert find_tag_findings(fleet.store, "team/web", "1", now, 5).severities[Severity.HIGH] == [None, None, 0, 0, 0]
    assert find_repository_findings(fleet.store, "team/web").severities[Severity.HIGH] == [0]
    with fleet.store.database.write() as connection:
        connection.execute(delete(fleet_state).where(of_first_match))
    assert compute_trend(fleet).open[-5:] == [None] * 5
    assert find_tag_findings(fleet.store, "team/web", "1", now, 5).severities[Severity.HIGH] == [None] * 5
    assert find_repository_findings(fleet.store, "team/web").severities[Severity.HIGH] == [None]
