"""Continuous verdicts: what a change touches is judged again, from the index, and nothing else is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scanned_platforms import platforms_of
from tests.scenarios.planned_images import AdvisoryDatabase, advisory, package
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate import evaluate
from dockgate.gate.model import Waiver
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Distribution, Inventory
from dockgate.services.effects import Effects
from dockgate.services.fleet.verdict_renewal import VerdictRenewal
from dockgate.services.judging.cases import Cases, DeploymentContext
from dockgate.shared.digest import digest_of
from dockgate.shared.errors import DatabaseError
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.fleet_records import FleetVerdict
from dockgate.store.records import PushedImage
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Coverage, Severity

NAMES = ("web", "api", "job")
STRICT = "kind: Policy\nname: strict\nrules:\n  max_findings: {LOW: 0}\n"


class CrashError(Exception):
    """The process died."""


failing_images: set[str] = set()


class FailingCases(Cases):
    """Fails for `failing_images` with an internal error."""

    def do_waivers_apply(self, repository: str, image: str) -> bool:
        if image in failing_images:
            raise KeyError(image)
        return super().do_waivers_apply(repository, image)


@dataclass
class Feeds(AdvisoryDatabase):
    """An advisory database that can be missing, and whose feeds can be old."""

    checked_at: str = ""
    is_missing: bool = False

    def coverage(self) -> Sequence[Coverage]:
        return tuple(replace(entry, checked_at=self.checked_at or entry.checked_at) for entry in super().coverage())

    def __call__(self) -> "Feeds":
        if self.is_missing:
            raise DatabaseError("There is no advisory database.", "Run `dockgate db update`.")
        return replace(self, advisories=list(self.advisories))


@dataclass
class Fleet:
    """A server whose background is not started, with three scanned images that share a package."""

    system: ServerSystem
    feeds: Feeds
    images: dict[str, str] = field(default_factory=dict)
    changed: AdvisoryChanges | None = None

    def __post_init__(self) -> None:
        self.verdict_renewal = self.process()
        for name in NAMES:
            self.scan(name)

    def process(self, observe: "list[str] | None" = None, crash_at: int = -1) -> VerdictRenewal:
        """A process that renews; it dies at the moment `crash_at`, or lists its moments."""
        moments = observe if observe is not None else []

        def note(moment: str) -> None:
            moments.append(moment)
            if len(moments) == crash_at + 1:
                raise CrashError(moment)

        renewal = self.system.use_cases.verdict_renewal
        index = replace(renewal.index, advisories=self.feeds)
        judging = replace(renewal.fleet_judging, cases=replace(renewal.fleet_judging.cases, advisories=self.feeds))
        return replace(
            renewal,
            index=index,
            fleet_judging=judging,
            advisories=self.feeds,
            compare=lambda before, after, cves: self.changed,
            effects=Effects(note),
        )

    def scan(self, name: str) -> str:
        image = digest_of(name.encode())
        self.images[name] = image
        now = format_time(self.system.clock())
        scan = self.system.store.images.request_scan(image, f"team/{name}", now)
        packages = tuple(sorted((package(name), package("shared")), key=lambda entry: entry.purl))
        inventory = Inventory(image, "linux/amd64", Distribution("debian", "13"), (), packages, ())
        self.system.store.images.finish_scan(image, scan.number, platforms_of(inventory), None, now)
        return image

    def publish(self, name: str, severity: Severity = Severity.CRITICAL) -> None:
        self.feeds.advisories = [*self.feeds.advisories, advisory(name, severity, "2")]

    def verdicts(self, policy: str = "default") -> dict[str, str]:
        store = self.system.store
        names = {image.id: image.repository.removeprefix("team/") for image in store.fleet.images()}
        return {names[number]: row.status.value for number, row in store.fleet_verdicts.of_policy(policy).items()}

    def blind(self) -> set[str | None]:
        return {row.cannot_judge_since for row in self.system.store.fleet_verdicts.of_policy("default").values()}

    def events(self) -> list[tuple[str, str, str]]:
        events = [event.body["detail"] for event in self.system.store.event_log.read(limit=1000)]
        return [(entry["repository"], entry["previous"], entry["status"]) for entry in events if "previous" in entry]

    def rows(self) -> tuple[list[FleetVerdict], list[tuple[str, str, str]]]:
        """Everything that a renewal writes, without the times at which it did."""
        verdicts = self.system.store.fleet_verdicts.of_policy("default").values()
        return [row._replace(since="", next_at=None) for row in verdicts], self.events()

    def agree(self, policy: str = "default") -> bool:
        """Whether the gate says the same of every image."""
        judging, present = self.verdict_renewal.fleet_judging, self.verdicts(policy)
        under = self.verdict_renewal.selection.read(policy).policy
        for name, image in self.images.items():
            case = judging.cases.build(image, under, DeploymentContext())
            assert case is not None
            verdict = evaluate.judge(case, judging.ecosystems, judging.rules, should_remediate=False)
            if present[name] != verdict.status:
                return False
        return True


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    system = ServerSystem(tmp_path, database=request.param)
    try:
        yield Fleet(system, Feeds(system.clock))
    finally:
        system.client.close()
        system.store.close()


def test_every_scanned_image_gets_a_verdict_that_the_gate_agrees_with(fleet: Fleet) -> None:
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    assert fleet.verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    assert fleet.agree()
    assert fleet.events() == []  # nothing has changed: these are the first verdicts


def test_a_verdict_renewed_before_the_first_of_the_fleet_hides_no_change(fleet: Fleet) -> None:
    """What runs is judged by a task of its own, which may come first."""
    verdicts = fleet.system.use_cases.push_verdicts.verdicts
    verdicts = replace(verdicts, cases=replace(verdicts.cases, advisories=fleet.feeds))
    verdicts.for_push(fleet.images["web"], "team/web", 1)
    fleet.publish("web")
    renewed = verdicts.for_approved(fleet.images["web"], "team/web", "default")
    assert renewed is not None
    assert renewed[0].status == "Rejected"
    fleet.verdict_renewal.renew()
    assert fleet.events() == [("team/web", "Approved", "Rejected")]


def test_an_advisory_between_the_verdict_on_a_push_and_the_first_of_the_fleet_changes_the_verdict(fleet: Fleet) -> None:
    verdicts = fleet.system.use_cases.push_verdicts.verdicts
    verdicts = replace(verdicts, cases=replace(verdicts.cases, advisories=fleet.feeds))
    for name in ("web", "api"):
        verdicts.for_push(fleet.images[name], f"team/{name}", 1)
    fleet.publish("web")
    fleet.publish("job")
    for _ in range(2):
        fleet.verdict_renewal.renew()
    assert fleet.verdicts() == {"web": "Rejected", "api": "Approved", "job": "Rejected"}
    assert fleet.events() == [("team/web", "Approved", "Rejected")]  # of job this is the first verdict


@pytest.mark.parametrize("is_known", [True, False], ids=["what changed is known", "it is not known"])
def test_an_advisory_renews_what_it_touches_with_one_event_each(fleet: Fleet, is_known: bool) -> None:
    fleet.verdict_renewal.renew()
    fleet.publish("web")
    fleet.changed = AdvisoryChanges(keys=frozenset({("Debian:13", "web")})) if is_known else None
    for _ in range(3):
        fleet.verdict_renewal.renew()
    assert fleet.verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    assert fleet.events() == [("team/web", "Approved", "Rejected")]
    assert fleet.agree()


def test_an_image_without_a_tag_is_notified_only_while_it_runs(fleet: Fleet) -> None:
    store, now = fleet.system.store, format_time(fleet.system.clock())
    for name in ("web", "api"):
        store.images.add_push(PushedImage(f"team/{name}", "1", fleet.images[name], now))
        store.images.add_push(PushedImage(f"team/{name}", "1", digest_of(b"next"), now))  # the tag moves on
    store.images.add_push(PushedImage("team/job", "1", fleet.images["job"], now))
    store.images.add_push(PushedImage("team/job", "", fleet.images["job"], now))
    reference = ImageReference("registry.example/team/web", fleet.images["web"])
    store.services.put(Service("web", "local", 1, 1), TaskDefinition("web", 1, "web", reference))
    fleet.verdict_renewal.renew()
    fleet.publish("shared")
    fleet.verdict_renewal.renew()
    assert fleet.verdicts() == dict.fromkeys(("web", "api", "job"), "Rejected")
    assert sorted(fleet.events()) == [("team/job", "Approved", "Rejected"), ("team/web", "Approved", "Rejected")]


def test_nothing_is_judged_while_nothing_changes(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    moments: list[str] = []
    process = fleet.process(moments)
    process.renew()
    moments.clear()
    process.renew()
    assert moments == ["before rematch", "after rematch"]


def test_a_waiver_turns_a_verdict_until_it_ends(fleet: Fleet) -> None:
    fleet.publish("shared")
    fleet.verdict_renewal.renew()
    until = format_time(fleet.system.clock() + timedelta(days=1))
    identity = fleet.feeds.advisories[0].id
    waiver = Waiver("w1", "ana", "It is never called.", vulnerability=identity, repository="team/web", until=until)
    fleet.system.server.exceptions.add_waiver(waiver)
    fleet.verdict_renewal.renew()
    assert fleet.verdicts() == {"web": "Approved", "api": "Rejected", "job": "Rejected"}
    assert sorted(verdict.waived for verdict in fleet.rows()[0]) == [0, 0, 1]
    assert fleet.agree()
    fleet.system.clock.ahead += timedelta(days=1, minutes=1)
    fleet.verdict_renewal.renew()
    assert set(fleet.verdicts().values()) == {"Rejected"}
    assert {verdict.waived for verdict in fleet.rows()[0]} == {0}
    assert fleet.events() == [("team/web", "Rejected", "Approved"), ("team/web", "Approved", "Rejected")]


def test_an_image_that_cannot_be_judged_is_undetermined_and_stops_no_other(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    for name, repository in (("w1", "team/*"), ("w2", "other/*")):
        fleet.system.server.exceptions.add_waiver(
            Waiver(
                name,
                "ana",
                "It is never called.",
                vulnerability="CVE-2026-1",
                repository=repository,
                until="2099-01-01",
            )
        )
    judging = fleet.verdict_renewal.fleet_judging
    cases = {name: getattr(judging.cases, name) for name in judging.cases.__dataclass_fields__}
    failing = FailingCases(**cases)
    failing_images.add(fleet.images["web"])
    try:
        replace(fleet.verdict_renewal, fleet_judging=replace(judging, cases=failing)).renew()
        assert fleet.verdicts() == {"web": "Undetermined", "api": "Approved", "job": "Approved"}
    finally:
        failing_images.clear()
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.verdict_renewal.renew()
    assert fleet.verdicts() == dict.fromkeys(NAMES, "Approved")


def test_two_assignments_that_match_equally_well_leave_only_their_repository_unjudged(fleet: Fleet) -> None:
    fleet.system.server.policies.put("strict", STRICT, "ana")
    for name, policy in (("a", "default"), ("b", "strict")):
        assignment = PolicyAssignment(name, ("team/web",), policy)
        fleet.system.store.policy_assignments.put(assignment, "ana", format_time(fleet.system.clock()))
    for _ in range(2):
        fleet.verdict_renewal.renew()
    assert fleet.verdicts() == {"api": "Approved", "job": "Approved"}
    fleet.system.store.policy_assignments.remove("b", "ana", format_time(fleet.system.clock()))
    fleet.verdict_renewal.renew()
    assert fleet.verdicts() == dict.fromkeys(NAMES, "Approved")


def test_another_policy_and_its_assignment_judge_anew(fleet: Fleet) -> None:
    fleet.publish("shared", Severity.LOW)
    fleet.verdict_renewal.renew()
    assert set(fleet.verdicts().values()) == {"Approved"}
    now = format_time(fleet.system.clock())
    fleet.system.server.policies.put("strict", STRICT, "ana")
    fleet.system.store.policy_assignments.put(PolicyAssignment("web", ("team/web",), "strict"), "ana", now)
    fleet.verdict_renewal.renew()
    assert fleet.verdicts("strict") == {"web": "Rejected"}
    assert fleet.verdicts().keys() == {"api", "job"}


def test_another_policy_of_a_repository_is_an_event_where_it_changes_the_status(fleet: Fleet) -> None:
    fleet.publish("shared", Severity.LOW)
    fleet.verdict_renewal.renew()
    store, now = fleet.system.store, format_time(fleet.system.clock())
    # The names of the policies are sorted before and after that of the policy before.
    for policy in ("a-strict", "z-strict"):
        fleet.system.server.policies.put(policy, STRICT.replace("strict", policy), "ana")
    fleet.system.server.policies.put("z-lax", STRICT.replace("strict", "z-lax").replace("0", "9"), "ana")
    for name, policy in (("web", "a-strict"), ("api", "z-strict"), ("job", "z-lax")):
        store.policy_assignments.put(PolicyAssignment(name, (f"team/{name}",), policy), "ana", now)
    with pytest.raises(CrashError):  # when the first policy's verdicts are written
        fleet.process(crash_at=2).renew()
    for _ in range(2):
        fleet.process().renew()
    assert sorted(fleet.events()) == [("team/api", "Approved", "Rejected"), ("team/web", "Approved", "Rejected")]
    details = [event.body["detail"] for event in store.event_log.read(limit=1000)]
    assert {each["former_policy"] for each in details if "previous" in each} == {"default"}
    store.policy_assignments.put(PolicyAssignment("web", ("team/web",), "z-lax"), "ana", now)
    fleet.process().renew()
    assert fleet.events()[-1] == ("team/web", "Rejected", "Approved")
    assert (fleet.verdicts(), fleet.verdicts("a-strict")) == ({}, {})


def test_an_image_that_is_scanned_again_is_judged_again(fleet: Fleet) -> None:
    fleet.publish("new")
    fleet.verdict_renewal.renew()
    now = format_time(fleet.system.clock() + timedelta(seconds=1))
    image = fleet.images["web"]
    store = fleet.system.store
    scan = store.images.request_new_scan(image, "team/web", 1, now)
    inventory = Inventory(image, "linux/amd64", Distribution("debian", "13"), (), (package("new"),), ())
    store.images.finish_scan(image, scan.number, platforms_of(inventory), None, now)
    fleet.system.clock.ahead += timedelta(minutes=1)
    fleet.verdict_renewal.renew()
    assert fleet.verdicts()["web"] == "Rejected"


def test_stale_feeds_keep_the_last_status_beside_since_when(fleet: Fleet) -> None:
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    fleet.feeds.checked_at = format_time(fleet.system.clock())
    fleet.system.clock.ahead += timedelta(days=8)
    before = format_time(fleet.system.clock())
    fleet.verdict_renewal.renew()
    assert fleet.verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    since = max(filter(None, fleet.blind()))
    assert since >= before
    fleet.publish("api")  # what is continuous with old feeds still rejects
    fleet.verdict_renewal.renew()
    assert fleet.verdicts()["api"] == "Rejected"
    fleet.feeds.checked_at = ""
    fleet.verdict_renewal.renew()
    assert fleet.blind() == {None}
    assert fleet.events() == [("team/api", "Approved", "Rejected")]


def test_without_an_advisory_database_nothing_is_rejected(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    fleet.feeds.is_missing = True
    fleet.verdict_renewal.renew()
    (since,) = fleet.blind()
    assert since is not None
    fleet.system.clock.ahead += timedelta(hours=2)
    fleet.verdict_renewal.renew()
    assert fleet.blind() == {since}
    assert set(fleet.verdicts().values()) == {"Approved"}
    fleet.feeds.is_missing = False
    fleet.verdict_renewal.renew()
    assert fleet.blind() == {None}
    assert fleet.events() == []


def test_images_that_came_before_the_first_advisories_are_undetermined_and_then_change(fleet: Fleet) -> None:
    fleet.feeds.is_missing = True
    for _ in range(2):
        fleet.verdict_renewal.renew()
        assert set(fleet.verdicts().values()) == {"Undetermined"}
    assert fleet.events() == []
    fleet.feeds.is_missing = False
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    assert sorted(fleet.events()) == [
        ("team/api", "Undetermined", "Approved"),
        ("team/job", "Undetermined", "Approved"),
        ("team/web", "Undetermined", "Rejected"),
    ]


def test_a_process_that_dies_anywhere_leaves_the_same_rows_and_events(tmp_path: Path) -> None:
    def play(folder: Path, crash_at: int) -> tuple[object, list[str]]:
        folder.mkdir()
        system = ServerSystem(folder)
        fleet = Fleet(system, Feeds(system.clock))
        fleet.verdict_renewal.renew()
        fleet.publish("web")
        fleet.publish("shared", Severity.LOW)
        moments: list[str] = []
        try:
            fleet.process(moments, crash_at).renew()
        except CrashError:
            fleet.process().renew()
        result = fleet.rows()
        system.client.close()
        system.store.close()
        return result, moments

    expected, moments = play(tmp_path / "whole", -1)
    assert {"before rematch", "after rematch", "before renew", "after renew"} <= set(moments)
    for number in range(len(moments)):
        assert play(tmp_path / str(number), number)[0] == expected, moments[number]
