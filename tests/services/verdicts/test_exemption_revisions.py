"""What may count for an image has another revision whenever judging it again gives something else, and seldom else."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.scenarios.planned_images import make_advisory
from tests.services.changing_fleet import PACKAGES, World
from tests.services.renewal_fleet import Fleet, open_fleet
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate import evaluate
from dockgate.gate.model import ExternalReport
from dockgate.scanner.model import Inventory
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.services.verdicts.exemption_revisions import ExemptionRevisions
from dockgate.store.records import ImageLocation, ReportScope
from dockgate.vulnerabilities.model import Matches, Severity

Decision = list[tuple[object, ...]]


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def judge(world: World, location: ImageLocation) -> Decision:
    """What the gate says of an image in a repository, without what it is made from."""
    judging, (repository, image) = world.renewal.image_judge, location
    policy = world.renewal.selection.read("strict").policy
    case = judging.case_builder.build(image, policy, DeploymentContext(repository))
    assert case is not None
    verdicts = evaluate.judge_platforms(case, judging.ecosystems, judging.rules, should_remediate=False)
    return [(verdict.status, verdict.counts, verdict.violations, verdict.waived) for verdict in verdicts]


def check_revisions(fleet: Fleet, seed: int, steps: int) -> None:
    """Assert after each of some random changes that an image with its former revision is judged as before."""
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    fleet.feeds.advisories = [make_advisory(name, Severity.CRITICAL, "2") for name in PACKAGES]
    world.report()
    world.report()
    world.renewal.renew()
    exemptions = ExemptionRevisions(fleet.system.store)
    locations = [ImageLocation(world.get_repository(name), world.digest(name)) for name in world.names]
    changes = [world.add_waiver, world.revoke, world.put_vex, world.put_vex, world.remove_vex]
    decisions: dict[ImageLocation, tuple[str, Decision]] = {}
    same_count = changed_count = 0
    for _ in range(steps):
        world.random.choice(changes)()
        for location, revision in exemptions.compute(locations, world.now).items():
            decision, (former_revision, former_decision) = judge(world, location), decisions.get(location, ("", []))
            if revision == former_revision:
                assert decision == former_decision
                same_count += 1
            else:
                changed_count += 1
            decisions[location] = revision, decision
    assert same_count > changed_count


@limit_to_sqlite("fleet")
def test_an_image_whose_revision_stays_is_judged_as_before(fleet: Fleet) -> None:
    # More seeds and steps, on each database: tests/slow/test_touched_images.py.
    check_revisions(fleet, seed=0, steps=20)


@limit_to_sqlite("fleet")
def test_other_contents_of_an_image_change_its_revision(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    exemptions = ExemptionRevisions(fleet.system.store)
    location = ImageLocation("team/image1", world.digest("image1"))
    before, images = exemptions.compute([location], world.now), fleet.system.store.fleet.list_images([location.image])
    while [fleet.system.store.fleet.list_images([location.image])[0].inventories] == [images[0].inventories]:
        assert exemptions.compute([location], world.now) == before
        world.scan("image1")
    assert exemptions.compute([location], world.now) != before


@limit_to_sqlite("fleet")
def test_every_document_changes_the_revision_of_an_image_that_is_not_indexed_or_has_a_report(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    store, digest = fleet.system.store, world.digest("image1")
    exemptions = ExemptionRevisions(store)
    report = ExternalReport("trivy", world.now, Inventory(digest, "linux/amd64", None, (), (), ()), Matches((), ()))
    store.reports.put(report, "ana", ReportScope(), world.now)
    locations = [ImageLocation("team/image1", name) for name in (digest, world.digest("unknown"))]
    before = exemptions.compute(locations, world.now)
    world.put_vex()
    after = exemptions.compute(locations, world.now)
    assert all(after[location] != before[location] for location in locations)
