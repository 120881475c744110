"""What was not touched is not judged again in further repositories, and what was touched always is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_package
from tests.services.changing_fleet import World
from tests.services.further_repositories import FurtherRepositories, check_random_changes
from tests.services.renewal_fleet import Feeds, Fleet, open_fleet
from tests.store.factories import DECISION_KINDS

from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.fleet.advisory_revisions import LAG_LIMIT
from dockgate.services.fleet.index import FleetIndex
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time
from dockgate.store.records import ReportScope
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import AdvisorySnapshot, Coverage, Finding, Matches, Rating, Severity

NAMES = [f"image{number}" for number in range(4)]
# The first image has none of the packages with advisories, the second has d, the third could not be read as a whole,
# and the fourth has a.
SEED = 23907


@pytest.fixture(params=DECISION_KINDS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def test_verdicts_in_further_repositories_are_those_of_judging_again_whatever_changes(fleet: Fleet) -> None:
    # More seeds and steps, on each database: tests/slow/test_touched_images.py.
    check_random_changes(fleet, seed=3, steps=4)


def find_locations_with(further: FurtherRepositories, package: str) -> set[tuple[str, str]]:
    """The locations whose image contains a package: some, but not all."""
    images = further.world.fleet.system.store.images
    locations = {
        (repository, image)
        for repository, image in further.locations
        if any(entry.name == package for item in images.list_inventories(image) for entry in item.packages)
    }
    assert locations
    assert locations != set(further.locations)
    return locations


def publish_another(world: World, package: str = "a") -> None:
    """Publish another advisory about a package."""
    world.fleet.publish(package, variant="second")
    world.fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", package)}))


@pytest.fixture
def further(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FurtherRepositories]:
    with open_fleet(tmp_path, "sqlite") as fleet:
        world = World(fleet, Random(SEED), NAMES)  # noqa: S311 - the same images each time
        world.renewal.renew()
        further = FurtherRepositories(world, getattr(request, "param", ("strict", "timed")))
        further.review()
        yield further


def test_an_advisory_has_only_those_judged_again_that_contain_its_package(further: FurtherRepositories) -> None:
    world = further.world
    publish_another(world)
    world.renewal.renew()
    assert sorted(further.review()) == sorted(find_locations_with(further, "a"))  # each once
    assert further.find_differences() == []


def test_time_has_only_those_judged_again_whose_verdict_it_may_change(further: FurtherRepositories) -> None:
    world = further.world
    world.list_as_exploited("a")
    further.review()
    expected = {location for location in find_locations_with(further, "a") if location[0] == "x/timed"}
    for days, due in ((2, expected), (1, set())):
        world.fleet.system.clock.ahead += timedelta(days=days)
        world.renewal.renew()
        assert set(further.review()) == due
        assert further.find_differences() == []


def test_a_clock_that_was_ahead_has_verdicts_made_again(further: FurtherRepositories) -> None:
    clock = further.world.fleet.system.clock
    clock.ahead += timedelta(days=2)
    publish_another(further.world)
    further.world.renewal.renew()
    judged_locations = set(further.review())
    assert judged_locations
    clock.ahead -= timedelta(days=2)
    assert judged_locations <= set(further.review())


def test_an_update_waits_for_the_index_but_not_for_ever(further: FurtherRepositories) -> None:
    world = further.world
    publish_another(world)
    assert further.review() == []
    world.fleet.system.clock.ahead += LAG_LIMIT + timedelta(seconds=1)
    assert set(further.review()) == set(further.locations)
    assert further.find_differences() == []
    world.renewal.renew()
    further.review()
    assert further.find_differences() == []


class DefectiveFeeds(Feeds):
    """Advisories that cannot be read for the package d."""

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        if any(package.name == "d" for inventory in inventories for package in inventory.packages):
            raise KeyError("d")
        return super().read_snapshot(inventories)


def test_a_defect_of_the_index_has_only_the_images_judged_at_every_update_that_have_it(
    further: FurtherRepositories, caplog: pytest.LogCaptureFixture
) -> None:
    world, feeds = further.world, further.world.fleet.feeds
    publish_another(world, "d")
    world.renewal.renew()
    further.review()
    repository_verdicts = further.repository_verdicts
    repository_verdicts.advisory_revisions = replace(
        repository_verdicts.advisory_revisions,
        advisories=lambda: DefectiveFeeds(**{entry.name: getattr(feeds, entry.name) for entry in fields(feeds)}),
    )
    further.review()
    defective = find_locations_with(further, "d")
    for package, locations in (("a", find_locations_with(further, "a")), ("unrelated", set())):
        publish_another(world, package)
        world.renewal.renew()
        assert set(further.review()) == defective | locations
        assert further.find_differences() == []
    defects = [record for record in caplog.records if "does not say which advisories" in record.getMessage()]
    assert len(defects) == len({image for _, image in defective})


def test_without_an_advisory_database_every_verdict_is_undetermined(further: FurtherRepositories) -> None:
    further.world.fleet.feeds.is_missing = True
    assert set(further.review()) == set(further.locations)
    assert further.find_differences() == []


def test_packages_that_are_not_matched_yet_are_not_taken_for_harmless(further: FurtherRepositories) -> None:
    world = further.world
    digest, now = world.digest(world.names[0]), world.now
    world.fleet.publish("new")
    world.fleet.advisory_changes = AdvisoryChanges()
    world.renewal.renew()
    world.fleet.feeds.is_missing = True
    images, repository = world.fleet.system.store.images, world.get_repository(world.names[0])
    scan = images.request_new_scan(digest, repository, 1, now)
    inventory = Inventory(digest, "linux/amd64", Distribution("debian", "13"), (), (make_package("new"),), ())
    images.finish_scan(digest, scan.number, list_platforms(inventory), None, now)
    world.renewal.renew()  # indexes the image, and matches nothing
    world.fleet.feeds.is_missing = False
    further.review()
    world.renewal.renew()  # matches it
    further.review()
    assert further.find_differences() == []
    world.fleet.feeds.advisories.pop()
    world.fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", "new")}))
    world.renewal.renew()
    further.review()
    assert further.find_differences() == []


def test_reports_of_other_scanners_are_judged_with_every_update(further: FurtherRepositories) -> None:
    world, image = further.world, further.locations[0][1]
    package = make_package("reported")
    finding = Finding("CVE-2026-1", (), package, Severity.CRITICAL, Rating("advisory", Severity.CRITICAL), "2")
    inventory = Inventory(image, "linux/amd64", None, (), (package,), ())
    report = ExternalReport("trivy", world.now, inventory, Matches((finding,), ()))
    world.fleet.system.store.reports.put(report, "ana", ReportScope(), world.now)
    world.renewal.renew()
    further.review()
    publish_another(world)
    world.renewal.renew()
    reported_locations = {location for location in further.locations if location[1] == image}
    assert set(further.review()) == reported_locations | find_locations_with(further, "a")
    assert further.find_differences() == []


@pytest.mark.parametrize("further", [("lax",)], indirect=True)
def test_a_policy_that_compares_images_judges_all_of_them_with_every_update(further: FurtherRepositories) -> None:
    publish_another(further.world)
    further.world.renewal.renew()
    assert set(further.review()) == set(further.locations)


EPSS = "kind: Policy\nname: timed\nrules:\n  epss: {score: 0.5, unscored: ignore}\n"


def test_epss_values_count_for_policies_that_read_them(further: FurtherRepositories) -> None:
    world = further.world
    world.fleet.system.services.policies.policies.put("timed", EPSS, "ana")
    further.review()
    for epss in (0.1, 0.9):
        world.change_epss("a", epss)
        expected = {location for location in find_locations_with(further, "a") if location[0] == "x/timed"}
        assert set(further.review()) == expected


def test_a_lag_that_a_clock_ahead_has_seen_ends_all_the_same(further: FurtherRepositories) -> None:
    world, clock = further.world, further.world.fleet.system.clock
    clock.ahead += timedelta(days=30)
    world.renewal.renew()
    further.review()
    publish_another(world)
    further.review()
    clock.ahead -= timedelta(days=30)
    further.review()
    clock.ahead += LAG_LIMIT + timedelta(seconds=1)
    further.review()
    assert further.find_differences() == []


def test_another_report_of_a_reported_image_counts_at_once(further: FurtherRepositories) -> None:
    world, image, package = further.world, further.locations[0][1], make_package("reported")
    finding = Finding("CVE-2026-1", (), package, Severity.LOW, Rating("advisory", Severity.LOW), "2")
    inventory = Inventory(image, "linux/amd64", None, (), (package,), ())
    for findings in ((), (finding,)):
        report = ExternalReport("trivy", world.now, inventory, Matches(findings, ()))
        world.fleet.system.store.reports.put(report, "ana", ReportScope(), world.now)
        further.review()
        assert further.find_differences() == []


@dataclass(frozen=True, slots=True)
class InterruptedIndex(FleetIndex):
    """An index that changes once (`changes`), after its state was read."""

    changes: list[Callable[[], object]] = field(default_factory=list)

    def find_unmatched_images(self) -> set[int]:
        if self.changes:
            self.changes.pop()()
        return FleetIndex.find_unmatched_images(self)


def test_an_update_between_two_questions_is_not_taken_for_the_state_before(further: FurtherRepositories) -> None:
    """An older database may come back, for instance by an import. Then what was read counts again."""
    world, revisions = further.world, further.repository_verdicts.advisory_revisions
    index = InterruptedIndex(**{name: getattr(revisions.index, name) for name in FleetIndex.__dataclass_fields__})
    further.repository_verdicts = replace(
        further.repository_verdicts, advisory_revisions=replace(revisions, index=index)
    )
    further.review()
    digest, now = world.digest(world.names[0]), world.now
    images, repository = world.fleet.system.store.images, world.get_repository(world.names[0])
    scan = images.request_new_scan(digest, repository, 1, now)
    inventory = Inventory(digest, "linux/amd64", Distribution("debian", "13"), (), (make_package("new"),), ())
    images.finish_scan(digest, scan.number, list_platforms(inventory), None, now)
    world.renewal.renew()

    def publish() -> None:
        world.fleet.publish("new")
        world.fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", "new")}))
        world.renewal.renew()

    index.changes.append(publish)
    further.repository_verdicts.review()
    assert index.changes == []
    world.fleet.feeds.advisories.pop()
    world.renewal.renew()
    further.review()
    publish()
    further.review()
    assert further.find_differences() == []


@dataclass
class TwoFeeds(Feeds):
    """Feeds of two ecosystems, of which one is stale."""

    stale_feed: str = "npm"

    @property
    def digest(self) -> str:
        return compute_digest(f"{super().digest} {self.stale_feed}".encode())

    def list_coverage(self) -> Sequence[Coverage]:
        stale_time = format_time(self.clock() - timedelta(days=8))
        debian, kev = super().list_coverage()
        return tuple(
            replace(entry, checked_at=stale_time) if entry.ecosystem == self.stale_feed else entry
            for entry in (debian, kev, replace(debian, ecosystem="npm"))
        )


STALE = "kind: Policy\nname: timed\nrules:\n  evidence: {stale: reject, unread: allow}\n"


@pytest.mark.parametrize(("before", "after"), [("npm", "Debian:13"), ("Debian:13", "npm")])
def test_a_feed_that_becomes_stale_counts_when_another_is_fresh_again(tmp_path: Path, before: str, after: str) -> None:
    with open_fleet(tmp_path, "sqlite") as fleet:
        fleet.feeds = TwoFeeds(fleet.system.clock, stale_feed=before)
        world = World(fleet, Random(SEED), NAMES)  # noqa: S311 - the same images each time
        world.renewal.renew()
        further = FurtherRepositories(world, ("timed",))
        fleet.system.services.policies.policies.put("timed", STALE, "ana")
        further.review()
        fleet.feeds.stale_feed = after
        world.renewal.renew()
        further.review()
        assert further.list_wrong_statuses() == []  # messages have ages, which are not renewed
