"""A fleet of many images under two policies, which changes at random."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from random import Random
from typing import Protocol

from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.services.renewal_fleet import CrashError, Fleet

from dockgate.gate.model import ExternalReport, VexSigner, VexStatement, VexStatus, Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Distribution, Inventory, Unread
from dockgate.services.fleet.contents import FleetContents, FleetFacts
from dockgate.shared.digest import compute_digest
from dockgate.shared.timestamps import format_time
from dockgate.store.records import ReportScope, VexRecord
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Cve, Finding, Matches, Rating, Severity

PACKAGES = ("shared", "a", "b", "c", "d", "e")
IMAGES = 12
# Rounds of random changes.
STEPS = 12
STRICT = "kind: Policy\nname: strict\nrules:\n  max_findings: {LOW: 0}\n  vex: {authors: [{name: ana}]}\n"
LAX = "kind: Policy\nname: lax\nrules:\n  max_findings: {CRITICAL: 0, baseline: approved}\n  runs_as_root: {}\n"


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
            fleet.system.services.policies.policies.put(name, text, "ana")
        for name, pattern in (("strict", "team/*"), ("lax", "other/*")):
            fleet.system.store.policy_assignments.put(PolicyAssignment(name, (pattern,), name), "ana", now)
        fleet.feeds.advisories = [make_advisory(name, Severity.CRITICAL, "2") for name in PACKAGES[1:4]]
        fleet.advisory_changes = AdvisoryChanges()
        for name in self.names:
            self.scan(name)
        self.renewal = fleet.process()

    @property
    def now(self) -> str:
        return format_time(self.fleet.system.clock())

    def list_as_exploited(self, package: str) -> None:
        """Add the vulnerability of a package to KEV, due today."""
        vulnerability, today = self.find_vulnerability(package), self.now[:10]
        self.change_cve(Cve(vulnerability, exploited=today, due=today))

    def change_epss(self, package: str, epss: float) -> None:
        """Give the vulnerability of a package another EPSS value."""
        self.change_cve(Cve(self.find_vulnerability(package), epss=epss, percentile=epss))

    def change_cve(self, cve: Cve) -> None:
        """Put this CVE into the catalogue as its only one, and renew."""
        self.fleet.feeds.catalogue = {cve.id: cve}
        self.fleet.advisory_changes = AdvisoryChanges(cves=frozenset({cve.id}))
        self.renewal.renew()

    def find_vulnerability(self, package: str) -> str:
        return next(entry.id for entry in self.fleet.feeds.advisories if entry.name == package)

    @property
    def vulnerability(self) -> str:
        return make_advisory(self.random.choice(PACKAGES), Severity.LOW, "2").id

    @property
    def purl(self) -> str:
        return f"pkg:deb/debian/{self.random.choice((*PACKAGES, '*'))}"

    def digest(self, name: str) -> str:
        return compute_digest(name.encode())

    def get_repository(self, name: str) -> str:
        return f"{'team' if self.names.index(name) % 3 else 'other'}/{name}"

    def make_inventories(self, name: str) -> Sequence[Inventory]:
        """One platform, or two for every fourth image."""
        digest, random = self.digest(name), self.random
        parts = [digest] if self.names.index(name) % 4 else [self.digest(f"{name} amd64"), self.digest(f"{name} arm64")]
        return [
            Inventory(
                part,
                f"linux/{architecture}",
                Distribution("debian", "13"),
                (),
                tuple(make_package(entry) for entry in sorted(random.sample(PACKAGES, random.randint(0, 2)))),
                (Unread("opt/x", "It is odd."),) if random.random() < 0.2 else (),
                user=random.choice(("root", "app")),
            )
            for part, architecture in zip(parts, ("amd64", "arm64"), strict=False)
        ]

    def scan(self, name: str) -> None:
        images, digest = self.fleet.system.store.images, self.digest(name)
        scan = images.request_scan(digest, self.get_repository(name), self.now)
        if scan.finished_at is not None:
            scan = images.request_new_scan(digest, self.get_repository(name), scan.number, self.now)
        images.finish_scan(digest, scan.number, list_platforms(*self.make_inventories(name)), None, self.now)
        self.fleet.verdict_renewal.index.add(digest)

    def choose_image(self) -> str:
        name = self.random.choice(self.names)
        return self.random.choice([self.digest(entry) for entry in (name, f"{name} amd64", f"{name} s390x")])

    def add_waiver(self) -> None:
        random = self.random
        until = format_time(self.fleet.system.clock() + timedelta(minutes=random.randint(1, 90)))
        waiver = Waiver(f"w{next(self.numbers)}", "ana", "Reviewed.", until=until)
        kind = random.choice(("finding", "finding", "finding", "image", "unread", "rule"))
        repository = random.choice((None, "team/*", "**", "other/image3"))
        if kind == "finding":
            names = random.choice(((self.vulnerability, None), (self.vulnerability, self.purl), (None, self.purl)))
            waiver = replace(waiver, vulnerability=names[0], package=names[1], repository=repository)
        elif kind == "image":
            waiver = replace(waiver, image=self.choose_image())
        elif kind == "unread":
            waiver = replace(waiver, unread="opt/x", repository=repository or "other/*")
        else:
            waiver = replace(waiver, rule="runs_as_root", image=self.choose_image())
        self.fleet.system.store.waivers.add(replace(waiver, created_at=self.now))

    def revoke(self) -> None:
        if records := self.fleet.system.store.waivers.list_active(self.now):
            self.fleet.system.store.waivers.revoke(self.random.choice(records).waiver.id, "ana", self.now)

    def put_vex(self) -> None:
        """A document that was uploaded or is attached to an image, perhaps one of before."""
        random, number = self.random, self.random.randint(1, 30)
        attached_to = self.choose_image() if number % 2 else None
        products = random.choice(((self.purl,), (self.choose_image(),), (self.purl, self.choose_image())))
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
        record = VexRecord(statement.document, attached_to, "openvex", "ana", VexSigner("principal:ana"), self.now)
        self.fleet.system.store.vex.add(record, str(number).encode(), [statement])

    def remove_vex(self) -> None:
        if records := [
            entry for entry in self.fleet.system.store.vex.list() if not entry.image and not entry.removed_at
        ]:
            self.fleet.system.store.vex.remove(self.random.choice(records).document, "ana", self.now)

    def report(self) -> None:
        """Report other findings of an image, or of a platform that the scan of its index has or has not."""
        package, name = make_package(self.random.choice(PACKAGES)), self.random.choice(self.names)
        digest, store = self.digest(name), self.fleet.system.store
        platform_image = self.random.choice((digest, self.digest(f"{name} amd64"), self.digest(f"{name} s390x")))
        inventory = Inventory(platform_image, "linux/amd64", None, (), (package,), ())
        finding = Finding(
            self.vulnerability, (), package, Severity.CRITICAL, Rating("advisory", Severity.CRITICAL), "2"
        )
        report = ExternalReport("trivy", self.now, inventory, Matches((finding,), ()))
        if platform_image == digest:
            store.reports.put(report, "ana", ReportScope(), self.now)
        else:
            store.reports.replace(digest, [report], "ben", self.now)

    def move_clock(self) -> None:
        self.fleet.system.clock.ahead += timedelta(minutes=self.random.choice((1, 5, 20, 40, -30)))

    def publish(self) -> None:
        name = self.random.choice(PACKAGES)
        other_advisories = [entry for entry in self.fleet.feeds.advisories if entry.name != name]
        severity = self.random.choice((Severity.LOW, Severity.CRITICAL))
        self.fleet.feeds.advisories = [*other_advisories, make_advisory(name, severity, "2")]
        changes = self.fleet.advisory_changes or AdvisoryChanges()  # those since the last renewal
        self.fleet.advisory_changes = AdvisoryChanges(keys=changes.keys | {("Debian:13", name)})

    def change(self) -> None:
        changes = [self.add_waiver] * 4 + [self.revoke, self.put_vex, self.put_vex, self.put_vex]
        changes += [self.remove_vex, self.remove_vex, self.move_clock]
        changes += [self.report, self.publish, lambda: self.scan(self.random.choice(self.names))]
        self.random.choice(changes)()

    def renew_at_once(self) -> None:
        """Renew by the process of before."""
        self.renewal.renew()
        self.fleet.advisory_changes = AdvisoryChanges()

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
        self.renew_at_once()

    def judge_all(self, policy: str) -> dict[int, tuple[object, ...]]:
        """What judging every image by a policy gives now."""
        store, renewal = self.fleet.system.store, self.renewal
        images = [
            image for image in store.fleet.iterate_images() if image.id in store.fleet_verdicts.list_images(policy)
        ]
        contents = FleetContents(FleetFacts(store, self.fleet.feeds.list_coverage()), images, True)
        exemptions = renewal.image_judge.waivers.read_exemptions(store.waivers.list_active(self.now))
        judged_images = renewal.image_judge.judge(renewal.selection.read(policy), [contents], exemptions)
        return {image.image: (image.status, image.counts, image.reason, image.waived_count) for image in judged_images}

    def list_stored(self, policy: str) -> dict[int, tuple[object, ...]]:
        verdicts = self.fleet.system.store.fleet_verdicts.list_of_policy(policy)
        return {
            image: (verdict.status, verdict.counts, verdict.reason, verdict.waived_count)
            for image, verdict in verdicts.items()
        }


class JudgedRepositories(Protocol):
    """What judges the images of a world besides the renewal, and remembers what it has judged."""

    @property
    def world(self) -> World: ...

    def change(self) -> None:
        """Make a random change."""
        ...

    def review(self) -> Sequence[object]:
        """Judge what has changed, and return what was judged."""
        ...

    def find_differences(self) -> Sequence[object]:
        """Find stored verdicts that are not those of judging everything again."""
        ...


def check_reviews(repositories: JudgedRepositories, steps: int, reviews: int = 1) -> None:
    """Assert after each of some random changes that so many reviews leave nothing to judge and no verdict of before."""
    repositories.review()
    for step in range(steps):
        for _ in range(repositories.world.random.randint(1, 3)):
            repositories.change()
        repositories.world.renew_at_once()
        for _ in range(reviews):
            repositories.review()
        late_verdicts = repositories.review()
        differences = repositories.find_differences()
        assert not differences, f"step {step}: {differences[0]}"
        assert not late_verdicts, f"step {step}: {late_verdicts[0]}"


def check_random_changes(fleet: Fleet, seed: int, steps: int) -> None:
    """Assert after each of some renewals that the stored verdicts are those of judging all images."""
    world = World(fleet, Random(seed))  # noqa: S311 - the same changes each time
    for step in range(steps):
        for _ in range(world.random.randint(1, 3)):
            world.change()
        world.renew()
        for policy in ("strict", "lax"):
            assert world.list_stored(policy) == world.judge_all(policy), f"step {step}"
