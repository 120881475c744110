"""Waivers and VEX documents renew what they touch: no image less than judging all of them, and few more."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from tests.scenarios.planned_images import make_advisory, make_package
from tests.services.changing_fleet import World, check_random_changes
from tests.services.renewal_fleet import Fleet, open_fleet
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.registry_access import OPERATOR
from dockgate.gate.model import ExternalReport, VexSigner, VexStatement, VexStatus, Waiver
from dockgate.scanner.model import Inventory
from dockgate.services.fleet.contents import FleetContents
from dockgate.services.fleet.indexed_image_judge import IndexedImageJudge, JudgedImage
from dockgate.services.fleet.touched_images import WILDCARDS_LIMIT
from dockgate.services.policies.selection import LoadedPolicy
from dockgate.services.verdicts.waivers import ServerExemptions
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage, ReportScope, VexRecord
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity


@dataclass(frozen=True, slots=True)
class RecordingJudging(IndexedImageJudge):
    """Records which images (ids) are judged."""

    judged_images: list[int] = field(default_factory=list)

    def judge(
        self, loaded_policy: LoadedPolicy, parts: Iterable[FleetContents], exemptions: ServerExemptions
    ) -> Iterator[JudgedImage]:
        all_parts = list(parts)
        self.judged_images.extend(image.id for contents in all_parts for image in contents.images)
        return IndexedImageJudge.judge(self, loaded_policy, all_parts, exemptions)


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def test_verdicts_are_those_of_judging_all_images_whatever_changes(fleet: Fleet) -> None:
    # More seeds and steps: tests/slow/test_touched_images.py.
    seed, steps = (0, 8) if fleet.system.store.database.is_sqlite else (1, 4)
    check_random_changes(fleet, seed, steps)


def list_judged(world: World) -> set[str]:
    """The names of the images that are judged now."""
    numbers = {image.digest: image.id for image in world.fleet.system.store.fleet.iterate_images()}
    judging = world.renewal.image_judge
    values = {name: getattr(judging, name) for name in judging.__dataclass_fields__}
    recording = RecordingJudging(**{**values, "judged_images": []})
    world.renewal = replace(world.renewal, image_judge=recording)
    world.renewal.renew()
    return {name for name in world.names if numbers[world.digest(name)] in recording.judged_images}


def list_images_with(world: World, package: str) -> set[str]:
    """The names of the images that contain a package."""
    return {
        name
        for name in world.names
        for inventory in world.fleet.system.store.images.list_inventories(world.digest(name))
        if package in [package.name for package in inventory.packages]
    }


@limit_to_sqlite("fleet")
def test_a_waiver_renews_the_images_in_which_it_may_count(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    store, clock = fleet.system.store, fleet.system.clock
    holders = list_images_with(world, "a")
    team = {name for name in world.names if world.get_repository(name).startswith("team/")}
    world.renewal.renew()
    own_image = min(holders & team)
    waiver = Waiver("w", "ana", "Reviewed.", until=format_time(clock() + timedelta(hours=1)), created_at=world.now)
    vulnerability = make_advisory("a", Severity.LOW, "2").id
    waivers = {
        "of a vulnerability": (replace(waiver, vulnerability=vulnerability), holders),
        "of a package": (replace(waiver, package="pkg:deb/debian/a@*"), holders),
        "of another project's images": (replace(waiver, vulnerability=vulnerability, repository="else/**"), set[str]()),
        "of a repository": (replace(waiver, package="pkg:deb/*/a", repository=f"team/{own_image}"), {own_image}),
        "of an unknown vulnerability": (replace(waiver, vulnerability="CVE-2020-1"), set[str]()),
        "of an image": (replace(waiver, image=world.digest(own_image)), {own_image}),
        "of a platform": (replace(waiver, image=world.digest("image0 arm64")), {"image0"}),
        "of unread content": (replace(waiver, unread="opt/x", repository="team/**"), team),
    }
    for name, (changed_waiver, names) in waivers.items():
        store.waivers.add(replace(changed_waiver, id=name))
        assert list_judged(world) == names, name
        store.waivers.revoke(name, "ana", world.now)
        assert list_judged(world) == names, name
    store.waivers.add(replace(waiver, vulnerability=vulnerability))
    assert list_judged(world) == holders
    assert list_judged(world) == set()
    clock.ahead += timedelta(hours=1)
    assert list_judged(world) >= holders


@limit_to_sqlite("fleet")
def test_who_pushed_an_image_renews_its_verdict_for_the_waivers_of_its_repository(fleet: Fleet) -> None:
    store, images, waivers = fleet.system.store, fleet.system.store.images, fleet.system.store.waivers
    now = format_time(fleet.system.clock())
    fleet.publish("web")
    images.add_push(PushedImage("team/web", "1", fleet.images["web"], now, pushed_by="ben"))
    vulnerability = fleet.feeds.advisories[-1].id
    waiver = Waiver("w", "ana", "Reviewed.", vulnerability, repository="team/*", until="2099-01-01T00:00:00.000Z")
    waivers.add(waiver)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["web"] == "Approved"
    build = Action("Build", ActionType.BUILD, input="SourceOutput", configuration={"image": "team/web"})
    store.pipelines.put(Pipeline("web", (Stage("Build", (build,)),)), now)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["web"] == "Rejected"
    images.add_push(PushedImage("team/web", "2", fleet.images["web"], now, pushed_by=OPERATOR))
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["web"] == "Approved"
    assert fleet.is_consistent()


@limit_to_sqlite("fleet")
def test_only_reports_with_what_a_waiver_or_vex_document_names_renew_their_images(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    store, digest = fleet.system.store, world.digest
    package = replace(make_package("reported"), purl="pkg:npm/reported@1", ecosystem="npm")
    inventory = Inventory(digest("image1"), "linux/amd64", None, (), (package,), ())
    rating = Rating("advisory", Severity.LOW)
    finding = Finding("CVE-2031-1", ("GHSA-1",), package, Severity.LOW, rating, "2")
    report = ExternalReport("trivy", world.now, inventory, Matches((finding,), ()))
    store.reports.put(report, "ana", ReportScope(), world.now)
    platform = replace(inventory, image=digest("s390x"), platform="linux/s390x")
    store.reports.replace(digest("image2"), [replace(report, inventory=platform)], "ana", world.now)
    world.renewal.renew()
    both, until = {"image1", "image2"}, format_time(fleet.system.clock() + timedelta(hours=1))
    waiver = Waiver("w", "ana", "Reviewed.", until=until, created_at=world.now)
    waivers = {
        "of the vulnerability": (replace(waiver, vulnerability="CVE-2031-1"), both),
        "of its alias in the package": (replace(waiver, vulnerability="GHSA-1", package="pkg:npm/rep*"), both),
        "of the package": (replace(waiver, package="pkg:npm/reported"), both),
        "of another version": (replace(waiver, package="pkg:npm/reported@2"), set[str]()),
        "of another vulnerability": (replace(waiver, vulnerability="CVE-2031-2"), set[str]()),
        "of one repository": (replace(waiver, vulnerability="CVE-2031-1", repository="*/image1"), {"image1"}),
        "of the reported platform": (replace(waiver, image=digest("s390x")), {"image2"}),
    }
    for name, (changed_waiver, names) in waivers.items():
        store.waivers.add(replace(changed_waiver, id=name))
        assert list_judged(world) == names, name
    statement = VexStatement(
        compute_digest(b"1"), "openvex", "ana", None, ("GHSA-1",), VexStatus.NOT_AFFECTED, ("pkg:npm/reported@1",)
    )
    other_package = replace(statement, document=compute_digest(b"2"), products=("pkg:npm/else@1",))
    for uploaded_statement, names in ((statement, both), (other_package, set())):
        record = VexRecord(uploaded_statement.document, None, "openvex", "ana", VexSigner("principal:ana"), world.now)
        store.vex.add(record, uploaded_statement.document.encode(), [uploaded_statement])
        assert list_judged(world) == names, uploaded_statement


@limit_to_sqlite("fleet")
def test_many_waivers_of_packages_renew_what_they_touch(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    until = format_time(fleet.system.clock() + timedelta(hours=1))
    waiver = Waiver("w", "ana", "Reviewed.", until=until, created_at=world.now)
    world.renewal.renew()
    for number in range(WILDCARDS_LIMIT + 1):
        fleet.system.store.waivers.add(replace(waiver, id=f"w{number}", package=f"pkg:deb/debian/p{number}@*"))
    fleet.system.store.waivers.add(replace(waiver, package="pkg:deb/debian/a"))
    assert list_judged(world) == list_images_with(world, "a")
    for number in range(WILDCARDS_LIMIT + 1):
        fleet.system.store.waivers.add(replace(waiver, id=f"*{number}", package=f"pkg:deb/debian/p{number}*"))
    assert list_judged(world) == set(world.names)


@limit_to_sqlite("fleet")
def test_a_vex_document_renews_the_images_in_which_it_may_count(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    vex = fleet.system.store.vex
    images = list_images_with(world, "a")
    world.renewal.renew()
    named_image = min(images)
    vulnerability = make_advisory("a", Severity.LOW, "2").id
    statement = VexStatement(
        compute_digest(b"1"), "openvex", "ana", None, (vulnerability,), VexStatus.NOT_AFFECTED, ("pkg:deb/debian/a",)
    )
    statements = {
        "about a package": (statement, "", images),
        "about an image": (replace(statement, products=(world.digest(named_image),)), "", {named_image}),
        "about another package": (replace(statement, products=("pkg:deb/debian/else",)), "", set[str]()),
        "about an unknown vulnerability": (replace(statement, vulnerabilities=("CVE-2020-1",)), "", set[str]()),
        "attached to an image": (statement, world.digest(named_image), {named_image}),
    }
    for name, (changed_statement, image, names) in statements.items():
        document = compute_digest(name.encode())
        record = VexRecord(document, image, "openvex", "ana", VexSigner("principal:ana"), world.now)
        vex.add(record, name.encode(), [replace(changed_statement, document=document)])
        assert list_judged(world) == names, name
        if not image:
            vex.remove(document, "ana", world.now)
            assert list_judged(world) == names, name
    assert list_judged(world) == set()
