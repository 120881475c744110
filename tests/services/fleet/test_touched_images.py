"""Waivers and VEX documents renew what they touch: no image less than judging all of them, and few more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random

import pytest
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.services.renewal_fleet import CrashError, Fleet, open_fleet
from tests.store.factories import FACTORIES

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.registry_access import OPERATOR
from dockgate.gate.model import ExternalReport, VexStatement, VexStatus, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Distribution, Inventory, Unread
from dockgate.services.fleet.contents import FleetContents, FleetFacts
from dockgate.services.fleet.judging import FleetJudging, JudgedImage
from dockgate.services.policies.selection import UsablePolicy
from dockgate.services.verdicts.waivers import ServerExceptions
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage, ReportScope, VexRecord
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity

PACKAGES = ("shared", "a", "b", "c", "d", "e")
IMAGES = 12
# Rounds of random changes.
STEPS = 12
STRICT = "kind: Policy\nname: strict\nrules:\n  max_findings: {LOW: 0}\n  vex: {authors: [{name: ana}]}\n"
LAX = "kind: Policy\nname: lax\nrules:\n  max_findings: {CRITICAL: 0, baseline: approved}\n  runs_as_root: {}\n"


@dataclass(frozen=True, slots=True)
class RecordingJudging(FleetJudging):
    """Records which images (ids) are judged."""

    judged_images: list[int] = field(default_factory=list)

    def judge(
        self, usable: UsablePolicy, contents: FleetContents, exceptions: ServerExceptions
    ) -> Iterator[JudgedImage]:
        self.judged_images.extend(image.id for image in contents.images)
        return FleetJudging.judge(self, usable, contents, exceptions)


@dataclass
class World:
    """A fleet of many images under two policies, and random changes of it."""

    fleet: Fleet
    random: Random
    names: list[str] = field(default_factory=lambda: [f"image{number}" for number in range(IMAGES)])
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        fleet, now = self.fleet, self.now
        for name, text in (("strict", STRICT), ("lax", LAX)):
            fleet.system.server.policies.put(name, text, "ana")
        for name, pattern in (("strict", "team/*"), ("lax", "other/*")):
            fleet.system.store.policy_assignments.put(PolicyAssignment(name, (pattern,), name), "ana", now)
        fleet.feeds.advisories = [make_advisory(name, Severity.CRITICAL, "2") for name in PACKAGES[1:4]]
        fleet.changed = AdvisoryChanges()
        for name in self.names:
            self.scan(name)
        self.renewal = fleet.process()

    @property
    def now(self) -> str:
        return format_time(self.fleet.system.clock())

    @property
    def vulnerability(self) -> str:
        return make_advisory(self.random.choice(PACKAGES), Severity.LOW, "2").id

    @property
    def purl(self) -> str:
        return f"pkg:deb/debian/{self.random.choice((*PACKAGES, '*'))}"

    def digest(self, name: str) -> str:
        return compute_digest(name.encode())

    def repository(self, name: str) -> str:
        return f"{'team' if self.names.index(name) % 3 else 'other'}/{name}"

    def inventories(self, name: str) -> Sequence[Inventory]:
        """One platform, or two for every fourth image."""
        digest, random = self.digest(name), self.random
        parts = [digest] if self.names.index(name) % 4 else [self.digest(f"{name} amd64"), self.digest(f"{name} arm64")]
        return [
            Inventory(
                part,
                f"linux/{architecture}",
                Distribution("debian", "13"),
                (),
                tuple(make_package(each) for each in sorted(random.sample(PACKAGES, random.randint(0, 2)))),
                (Unread("opt/x", "It is odd."),) if random.random() < 0.2 else (),
                user=random.choice(("root", "app")),
            )
            for part, architecture in zip(parts, ("amd64", "arm64"), strict=False)
        ]

    def scan(self, name: str) -> None:
        images, digest = self.fleet.system.store.images, self.digest(name)
        scan = images.request_scan(digest, self.repository(name), self.now)
        if scan.finished_at is not None:
            scan = images.request_new_scan(digest, self.repository(name), scan.number, self.now)
        images.finish_scan(digest, scan.number, list_platforms(*self.inventories(name)), None, self.now)
        self.fleet.verdict_renewal.index.add(digest)

    def image(self) -> str:
        name = self.random.choice(self.names)
        return self.random.choice((self.digest(name), self.digest(f"{name} amd64")))

    def add_waiver(self) -> None:
        random = self.random
        until = format_time(self.fleet.system.clock() + timedelta(minutes=random.randint(1, 90)))
        waiver = Waiver(f"w{next(self.numbers)}", "ana", "Reviewed.", until=until)
        kind = random.choice(("finding", "finding", "finding", "image", "unread", "rule"))
        repository = random.choice((None, "team/*", "**", "other/image3"))
        if kind == "finding":
            chosen = random.choice(((self.vulnerability, None), (self.vulnerability, self.purl), (None, self.purl)))
            waiver = replace(waiver, vulnerability=chosen[0], package=chosen[1], repository=repository)
        elif kind == "image":
            waiver = replace(waiver, image=self.image())
        elif kind == "unread":
            waiver = replace(waiver, unread="opt/x", repository=repository or "other/*")
        else:
            waiver = replace(waiver, rule="runs_as_root", image=self.image())
        self.fleet.system.store.waivers.add(replace(waiver, created_at=self.now))

    def revoke(self) -> None:
        if records := self.fleet.system.store.waivers.list_active(self.now):
            self.fleet.system.store.waivers.revoke(self.random.choice(records).waiver.id, "ana", self.now)

    def put_vex(self) -> None:
        """A document that was uploaded or is attached to an image, perhaps one of before."""
        random, number = self.random, self.random.randint(1, 30)
        attached_to = self.image() if number % 2 else ""
        products = random.choice(((self.purl,), (self.image(),), (self.purl, self.image())))
        statement = VexStatement(
            compute_digest(str(number).encode()),
            "openvex",
            "ana",
            None,
            (self.vulnerability, self.vulnerability),
            random.choice((VexStatus.NOT_AFFECTED, VexStatus.NOT_AFFECTED, VexStatus.AFFECTED)),
            () if attached_to and random.random() < 0.5 else products,
            random.choice(((), (), (self.purl,))),
            at=random.choice((None, format_time(self.fleet.system.clock() + timedelta(minutes=20)))),
        )
        record = VexRecord(statement.document, attached_to, "openvex", "ana", "principal:ana", self.now)
        self.fleet.system.store.vex.add(record, str(number).encode(), [statement])

    def remove_vex(self) -> None:
        if records := [each for each in self.fleet.system.store.vex.list() if not each.image and not each.removed_at]:
            self.fleet.system.store.vex.remove(self.random.choice(records).document, "ana", self.now)

    def report(self) -> None:
        each, name = make_package(self.random.choice(PACKAGES)), self.random.choice(self.names)
        inventory = Inventory(self.digest(name), "linux/amd64", None, (), (each,), ())
        finding = Finding(self.vulnerability, (), each, Severity.CRITICAL, Rating("advisory", Severity.CRITICAL), "2")
        report = ExternalReport("trivy", self.now, inventory, Matches((finding,), ()))
        self.fleet.system.store.reports.put(report, "ana", ReportScope(), self.now)

    def move_clock(self) -> None:
        self.fleet.system.clock.ahead += timedelta(minutes=self.random.choice((1, 5, 20, 40, -30)))

    def publish(self) -> None:
        name = self.random.choice(PACKAGES)
        others = [entry for entry in self.fleet.feeds.advisories if entry.name != name]
        severity = self.random.choice((Severity.LOW, Severity.CRITICAL))
        self.fleet.feeds.advisories = [*others, make_advisory(name, severity, "2")]
        self.fleet.changed = AdvisoryChanges(keys=frozenset({("Debian:13", name)}))

    def change(self) -> None:
        changes = [self.add_waiver] * 4 + [self.revoke, self.put_vex, self.put_vex, self.put_vex]
        changes += [self.remove_vex, self.remove_vex, self.move_clock]
        changes += [self.report, self.publish, lambda: self.scan(self.random.choice(self.names))]
        self.random.choice(changes)()

    def renew(self) -> None:
        """Renew by the process of before, perhaps after another one that meets changes or dies."""
        kind = self.random.choice(("", "", "meanwhile", "crash"))
        if kind == "meanwhile":
            self.fleet.process(meanwhile=self.change).renew()
        elif kind == "crash":
            try:
                self.fleet.process(crash_at=self.random.randint(0, 4)).renew()
            except CrashError:
                self.renewal = self.fleet.process()
        self.renewal.renew()

    def judge_all(self, policy: str) -> dict[int, tuple[object, ...]]:
        """What judging every image by a policy gives now."""
        store, renewal = self.fleet.system.store, self.renewal
        images = [
            image for image in store.fleet.iterate_images() if image.id in store.fleet_verdicts.list_images(policy)
        ]
        contents = FleetContents(FleetFacts(store, self.fleet.feeds.list_coverage()), images, True)
        exceptions = renewal.fleet_judging.waivers.read_exceptions(store.waivers.list_active(self.now))
        judged_images = renewal.fleet_judging.judge(renewal.selection.read(policy), contents, exceptions)
        return {each.image: (each.status, each.counts, each.reason, each.waived_count) for each in judged_images}

    def list_stored(self, policy: str) -> dict[int, tuple[object, ...]]:
        verdicts = self.fleet.system.store.fleet_verdicts.list_of_policy(policy)
        return {image: (each.status, each.counts, each.reason, each.waived) for image, each in verdicts.items()}


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_are_those_of_judging_all_images_whatever_changes(fleet: Fleet, seed: int) -> None:
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    for step in range(STEPS):
        for _ in range(world.random.randint(1, 3)):
            world.change()
        world.renew()
        for policy in ("strict", "lax"):
            assert world.list_stored(policy) == world.judge_all(policy), f"step {step}"


def list_judged(world: World) -> set[str]:
    """The names of the images that are judged now."""
    numbers = {image.digest: image.id for image in world.fleet.system.store.fleet.iterate_images()}
    judging = world.renewal.fleet_judging
    values = {name: getattr(judging, name) for name in judging.__dataclass_fields__}
    recording = RecordingJudging(**{**values, "judged_images": []})
    world.renewal = replace(world.renewal, fleet_judging=recording)
    world.renewal.renew()
    return {name for name in world.names if numbers[world.digest(name)] in recording.judged_images}


def list_images_with(world: World, package: str) -> set[str]:
    """The names of the images that contain a package."""
    return {
        name
        for name in world.names
        for inventory in world.fleet.system.store.images.list_inventories(world.digest(name))
        if package in [each.name for each in inventory.packages]
    }


def test_a_waiver_renews_the_images_in_which_it_may_count(fleet: Fleet) -> None:
    world = World(fleet, Random(1))  # noqa: S311 - any fleet
    store, clock = fleet.system.store, fleet.system.clock
    holders = list_images_with(world, "a")
    team = {name for name in world.names if world.repository(name).startswith("team/")}
    world.renewal.renew()
    mine = min(holders & team)
    waiver = Waiver("w", "ana", "Reviewed.", until=format_time(clock() + timedelta(hours=1)), created_at=world.now)
    vulnerability = make_advisory("a", Severity.LOW, "2").id
    waivers = {
        "of a vulnerability": (replace(waiver, vulnerability=vulnerability), holders),
        "of a package": (replace(waiver, package="pkg:deb/debian/a@*"), holders),
        "of another project's images": (replace(waiver, vulnerability=vulnerability, repository="else/**"), set[str]()),
        "of a repository": (replace(waiver, package="pkg:deb/*/a", repository=f"team/{mine}"), {mine}),
        "of an unknown vulnerability": (replace(waiver, vulnerability="CVE-2020-1"), set[str]()),
        "of an image": (replace(waiver, image=world.digest(mine)), {mine}),
        "of a platform": (replace(waiver, image=world.digest("image0 arm64")), {"image0"}),
        "of unread content": (replace(waiver, unread="opt/x", repository="team/**"), team),
    }
    for name, (each, names) in waivers.items():
        store.waivers.add(replace(each, id=name))
        assert list_judged(world) == names, name
        store.waivers.revoke(name, "ana", world.now)
        assert list_judged(world) == names, name
    store.waivers.add(replace(waiver, vulnerability=vulnerability))
    assert list_judged(world) == holders
    assert list_judged(world) == set()
    clock.ahead += timedelta(hours=1)
    assert list_judged(world) >= holders


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
    for name, (each, image, names) in statements.items():
        document = compute_digest(name.encode())
        record = VexRecord(document, image, "openvex", "ana", "principal:ana", world.now)
        vex.add(record, name.encode(), [replace(each, document=document)])
        assert list_judged(world) == names, name
        if not image:
            vex.remove(document, "ana", world.now)
            assert list_judged(world) == names, name
    assert list_judged(world) == set()
