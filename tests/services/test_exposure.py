"""Where a vulnerability or a package is: images, places, times, waivers, and what is unknown."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.scanned_platforms import platforms_of
from tests.services.test_fleet import (
    FLASK,
    IDNA,
    KINDS,
    AdvisoryDatabase,
    advisory,
    digest,
    index_of,
    inventory,
    package,
)
from tests.store.factories import FACTORIES, opened

from dockgate.delivery.definitions.approval_request import read_requested_policy
from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.gate.model import Policy, Status, VexStatement, VexStatus, Waiver
from dockgate.gate.policy import make_policy, vex_authors
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.gate.rules import load as load_rules
from dockgate.identity.model import Caller, Principal, Role, Token
from dockgate.scanner.model import Package, Unread
from dockgate.services.clock import ServerClock
from dockgate.services.effects import Effects
from dockgate.services.exposure import ExposureSearch
from dockgate.services.exposure_answer import (
    Exposure,
    ExposureFilter,
    ExposureRequest,
    ExposureState,
    UnaffectedImages,
)
from dockgate.services.exposure_waived import ALONE
from dockgate.services.fleet import FleetIndex
from dockgate.services.fleet_packages import FleetPackages
from dockgate.services.packages import Purls
from dockgate.services.policies import Policies
from dockgate.services.policy_selection import PolicySelection
from dockgate.services.policy_timeline import PolicyTimeline
from dockgate.services.risk_acceptances import RiskAcceptances
from dockgate.shared.errors import UsageError
from dockgate.shared.references import ImageReference
from dockgate.store import Store
from dockgate.store.fleet_records import FleetVerdict
from dockgate.store.records import PushedImage, VexRecord
from dockgate.vulnerabilities.model import Severity


def day(number: int) -> str:
    return f"2026-11-{number:02}T10:00:00.000Z"


@dataclass(frozen=True)
class FixedPolicy:
    """One policy that always judged everything."""

    policy: Policy

    def policies_of(self, repositories: Collection[str]) -> dict[str, Policy]:
        return dict.fromkeys(repositories, self.policy)

    def timeline(self) -> PolicyTimeline:
        return PolicyTimeline(list, lambda name: [("", self.policy)])


@dataclass
class Fleet:
    """A fleet whose clock a test sets by the day."""

    store: Store
    database: AdvisoryDatabase
    today: int = 20
    policy: Policy = field(default_factory=lambda: make_policy("default", {}))
    alone: int = ALONE
    selection: PolicySelection | None = None

    def use_stored_policies(self) -> PolicySelection:
        """Take the policies from the store."""
        policies = Policies(self.store, load_rules(), self.clock(), Effects())
        read_file = partial(read_requested_policy, rules=())
        self.selection = PolicySelection(self.store, policies, read_file, policies.versions)
        return self.selection

    def clock(self) -> ServerClock:
        return ServerClock(lambda: datetime(2026, 11, self.today, 10, tzinfo=UTC))

    @property
    def index(self) -> FleetIndex:
        return replace(index_of(self.store, self.database), clock=self.clock())

    def push(self, image: str, repository: str, tag: str, *packages: Package, unread: tuple[Unread, ...] = ()) -> str:
        self.store.images.add_push(PushedImage(repository, tag, digest(image), day(self.today)))
        scan = self.store.images.request_scan(digest(image), repository, day(self.today))
        content = replace(inventory(digest(image), *packages), unread=unread)
        self.store.images.finish_scan(digest(image), scan.number, platforms_of(content), "", day(self.today))
        self.index.add(digest(image))
        return digest(image)

    def where(self, question: str, as_of: int | None = None, **more: object) -> Exposure:
        clock, effects = self.clock(), Effects()
        exceptions = RiskAcceptances(
            self.store,
            lambda repository, digest: [],
            KINDS,
            clock,
            effects,
            7,
        )
        search = ExposureSearch(
            self.store,
            self.database,
            exceptions,
            FleetPackages(self.store, Purls(KINDS)),
            self.selection or FixedPolicy(self.policy),
            clock,
            "registry.example",
            self.alone,
        )
        time = None if as_of is None else f"2026-11-{as_of:02}T12:00:00.000Z"
        return search.find(ExposureRequest(question, as_of=time, **more))  # type: ignore[arg-type]


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with opened(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]))


def places(exposure: Exposure) -> list[str]:
    return [f"{place.repository}:{place.tag}" for image in exposure.images for place in image.places]


@pytest.mark.parametrize("question", ["CVE-2026-1", "GHSA-2026-1", "cve-2026-1", " CVE-2026-1 "])
def test_a_vulnerability_is_found_by_any_of_its_names(fleet: Fleet, question: str) -> None:
    fleet.push("a", "team/web", "1", package("idna", "3.6", "sha256:base"))
    fleet.push("b", "team/api", "1", package("idna", "3.7"))
    exposure = fleet.where(question)
    assert (exposure.state, exposure.total, exposure.names) == (ExposureState.PRESENT, 1, ["CVE-2026-1", "GHSA-2026-1"])
    (image,) = exposure.images
    assert places(exposure) == ["team/web:1"]
    (entry,) = image.packages
    assert (entry.name, entry.version, entry.fixed, entry.severity, entry.origin) == (
        "idna",
        "3.6",
        "3.7",
        "HIGH",
        "base",
    )
    assert (entry.since, entry.until, entry.waived) == (day(20), None, [])
    assert exposure.unknown.total == 0


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("idna", ["team/api:1", "team/web:1"]),
        ("IDNA", ["team/api:1", "team/web:1"]),
        ("idna@3.6", ["team/web:1"]),
        ("idna@9", []),
        ("pkg:pypi/idna", ["team/api:1", "team/web:1"]),
        ("pkg:pypi/idna@3.7", ["team/api:1"]),
        ("pkg:npm/idna", []),
        ("pkg:npm/%40scope/idna", []),
    ],
)
def test_a_package_is_found_by_name_version_and_purl(fleet: Fleet, question: str, expected: list[str]) -> None:
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.push("b", "team/api", "1", package("idna", "3.7"))
    exposure = fleet.where(question)
    assert places(exposure) == expected
    assert exposure.kind == "package"
    assert all(entry.vulnerability is None for image in exposure.images for entry in image.packages)


def test_an_unknown_name_is_another_answer_than_no_image(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", package("idna", "3.7"))
    assert fleet.where("CVE-2026-1").state is ExposureState.ABSENT
    assert fleet.where("CVE-2026-999").state is ExposureState.UNKNOWN_NAME
    assert fleet.where("no-such-package").state is ExposureState.ABSENT


@pytest.mark.parametrize("question", ["", "  ", "x" * 1001, "pkg:", "pkg:nothing"])
def test_a_wrong_question_is_refused(fleet: Fleet, question: str) -> None:
    with pytest.raises(UsageError):
        fleet.where(question)


def test_the_past_follows_from_tags_and_findings(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.database.advisories = [FLASK]
    fleet.today = 12
    fleet.index.rematch_all(fleet.database)
    fleet.database.advisories = [IDNA]
    fleet.today = 14
    fleet.index.rematch_all(fleet.database)
    fleet.today = 16
    fleet.push("b", "team/web", "1", package("idna", "3.7"))
    states = {at: fleet.where("CVE-2026-1", at).total for at in (9, 11, 13, 15, 17)}
    assert states == {9: 0, 11: 1, 13: 0, 15: 1, 17: 0}
    assert fleet.where("CVE-2026-1").total == 0
    (entry,) = fleet.where("CVE-2026-1", 11).images[0].packages
    assert (entry.since, entry.until, entry.ended_by) == (day(10), day(12), "advisory changed")
    (entry,) = fleet.where("CVE-2026-1", include_moved=True).images[0].packages
    assert (entry.since, entry.until, entry.ended_by) == (day(14), day(16), "package upgraded")


def test_a_time_before_the_history_is_unknown_and_not_no_image(fleet: Fleet) -> None:
    empty = fleet.where("CVE-2026-1", 9)
    assert empty.unknown.reason == "Nothing is recorded: the history begins with the first scan of an image."
    fleet.today = 10
    fleet.database.fails = True
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.database.fails = False
    fleet.today = 14
    fleet.index.match_new()
    for question in ("CVE-2026-1", "idna"):
        early = fleet.where(question, 9)
        assert early.state is ExposureState.NOT_RECORDED
        assert f"Nothing was recorded before {day(10)}" in (early.unknown.reason or "")
    unmatched = fleet.where("CVE-2026-1", 12)
    assert unmatched.state is ExposureState.NOT_RECORDED
    assert f"No package was matched with advisories before {day(14)}" in (unmatched.unknown.reason or "")
    assert fleet.where("idna", 12).state is ExposureState.PRESENT
    recorded = fleet.where("CVE-2026-1", 15)
    assert (recorded.state, recorded.unknown.reason) == (ExposureState.PRESENT, None)
    assert (fleet.where("CVE-2026-2", 15).state, recorded.unknown.reason) == (ExposureState.ABSENT, None)


@pytest.mark.parametrize("include_moved", [False, True])
def test_an_image_that_was_scanned_later_is_unknown_at_its_push(fleet: Fleet, include_moved: bool) -> None:
    fleet.today = 8
    fleet.push("first", "team/first", "1", package("flask", "1"))
    fleet.store.images.add_push(PushedImage("team/web", "1", digest("a"), day(10)))
    fleet.today = 14
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    answers = {at: fleet.where("CVE-2026-1", at, include_moved=include_moved) for at in (9, 12, 15)}
    assert [answer.total for answer in answers.values()] == [0, 0, 1]
    unknown = {
        at: [(entry.repository, entry.reason) for entry in answer.unknown.images] for at, answer in answers.items()
    }
    assert unknown == {9: [], 12: [("team/web", "it was not scanned yet at that time")], 15: []}


def life(fleet: Fleet, as_of: int | None = None) -> list[tuple[int, bool, str]]:
    """The life of CVE-2026-1 in the oldest image that has or had it: the day of each step, whether it is open, why."""
    package = fleet.where("CVE-2026-1", as_of, include_moved=True).images[-1].packages[0]
    return [(int(step.at[8:10]), step.is_open, str(step.why)) for step in package.life]


@pytest.mark.parametrize(
    ("following", "expected"),
    [
        ([package("idna", "3.7")], "package upgraded"),
        ([package("flask", "2")], "package removed"),
        ([package("idna", "3.5")], "tag moved on"),  # it has the vulnerability, too
        ([package("idna", "3.7"), package("idna", "3.6", "sha256:base")], "tag moved on"),
        (None, "tag moved on"),  # it is not scanned
    ],
)
def test_a_life_ends_when_the_tag_moves_to_an_image_without_it(
    fleet: Fleet, following: list[Package] | None, expected: str
) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.today = 12
    if following is None:
        fleet.store.images.add_push(PushedImage("team/web", "1", digest("b"), day(12)))
    else:
        fleet.push("b", "team/web", "1", *following)
    assert life(fleet) == [(10, True, "first seen"), (12, False, expected)]
    entry = fleet.where("CVE-2026-1", include_moved=True).images[-1].packages[0]
    assert (entry.until, entry.ended_by) == (day(12), expected)


def test_a_life_is_closed_while_the_tag_names_another_image(fleet: Fleet) -> None:
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7"), (15, "a", "3.6")):
        fleet.push(name, "team/web", "1", package("idna", version))
    steps = [(10, True, "first seen"), (12, False, "package upgraded"), (15, True, "tag moved back")]
    assert life(fleet) == steps
    assert life(fleet, 13) == steps[:2]


def test_an_exposure_that_ended_before_its_advisory_came_back_has_its_own_times(fleet: Fleet) -> None:
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7")):
        fleet.push(name, "team/web", "1", package("idna", version))
    for fleet.today, advisories in ((14, [FLASK]), (16, [IDNA])):
        fleet.database.advisories = advisories
        fleet.index.rematch_all(fleet.database)
    (entry,) = fleet.where("CVE-2026-1", include_moved=True).images[-1].packages
    assert (entry.since, entry.until, entry.ended_by) == (day(10), day(12), "package upgraded")


def test_a_finding_that_became_known_after_its_tag_had_moved_is_closed(fleet: Fleet) -> None:
    fleet.database.advisories = [FLASK]
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7")):
        fleet.push(name, "team/web", "1", package("idna", version))
    fleet.today, fleet.database.advisories = 14, [IDNA]
    fleet.index.rematch_all(fleet.database)
    entry = fleet.where("CVE-2026-1", include_moved=True).images[-1].packages[0]
    assert [step.is_open for step in entry.life][-1:] == [False]
    assert (entry.since, entry.until, entry.ended_by) == (day(12), day(12), "package upgraded")


def test_a_life_has_the_changes_of_advisories(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    for fleet.today, advisories in ((12, [FLASK]), (14, [IDNA])):
        fleet.database.advisories = advisories
        fleet.index.rematch_all(fleet.database)
    steps = [(10, True, "first seen"), (12, False, "advisory changed"), (14, True, "advisory changed")]
    assert life(fleet) == steps
    assert (life(fleet, 11), life(fleet, 15)) == (steps[:1], steps)


def test_a_life_closes_while_a_waiver_counts_and_opens_again_when_it_ends(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    waivers = fleet.store.waivers
    waivers.add(Waiver("w1", "ana", "No.", "CVE-2026-1", until=day(14), created_at=day(12)))
    waivers.add(Waiver("w2", "ana", "No.", "CVE-2026-1", until=day(28), created_at=day(16)))
    waivers.add(Waiver("w3", "ana", "No.", "CVE-2026-1", repository="none/*", until=day(28), created_at=day(11)))
    fleet.today = 17
    steps = [(10, True, "first seen"), (12, False, "waived"), (14, True, "waiver ended"), (16, False, "waived")]
    assert life(fleet) == steps
    assert life(fleet, 13) == steps[:2]
    waivers.revoke("w2", "ana", day(18))
    fleet.today = 19
    assert life(fleet) == [*steps, (18, True, "waiver ended")]
    (entry,) = fleet.where("CVE-2026-1").images[0].packages
    assert [step.by for step in entry.life] == [None, "w1", "w1", "w2", "w2"]
    assert (entry.until, entry.ended_by) == (None, None)  # the image has it all the time


@pytest.mark.parametrize(
    ("until", "is_accepted"), [(13, False), (15, False), (28, True)], ids=["before", "while it is closed", "later"]
)
def test_an_advisory_that_comes_back_opens_a_life_again_whatever_ended_before(
    fleet: Fleet, until: int, is_accepted: bool
) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.store.waivers.add(Waiver("w1", "ana", "No.", "CVE-2026-1", until=day(until), created_at=day(12)))
    for fleet.today, advisories in ((14, [FLASK]), (16, [IDNA])):
        fleet.database.advisories = advisories
        fleet.index.rematch_all(fleet.database)
    steps = life(fleet)
    assert steps[:2] == [(10, True, "first seen"), (12, False, "waived")]
    assert steps[-1] == ((16, False, "waived") if is_accepted else (16, True, "advisory changed"))


def test_a_waiver_of_one_repository_does_not_close_a_life_in_another(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.push("a", "other/web", "1", package("idna", "3.6"))
    fleet.store.waivers.add(
        Waiver("w1", "ana", "No.", "CVE-2026-1", repository="team/*", until=day(28), created_at=day(12))
    )
    fleet.today = 14
    assert life(fleet) == [(10, True, "first seen")]


def test_a_waiver_until_a_fix_closes_a_life_until_there_is_one(fleet: Fleet) -> None:
    fleet.database.advisories = [replace(IDNA, published=day(15), modified=day(15))]
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.store.waivers.add(Waiver("w1", "ana", "No.", "CVE-2026-1", until_fixed=True, created_at=day(12)))
    fleet.today = 17
    assert life(fleet) == [(10, True, "first seen"), (12, False, "waived"), (15, True, "waiver ended")]


@pytest.mark.parametrize("image", ["", digest("a")])
def test_a_life_closes_while_a_vex_statement_counts(fleet: Fleet, image: str) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    record = VexRecord("sha256:1", image, "openvex", "Vendor", "principal:ana", day(12))
    products = () if image else (digest("a"),)
    statement = VexStatement("sha256:1", "openvex", "Vendor", "", ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [replace(statement, products=products)])
    fleet.today = 20
    assert life(fleet) == [(10, True, "first seen"), (12, False, "VEX")]
    if not image:
        fleet.store.vex.remove("sha256:1", "ana", day(14))
        closed = [(10, True, "first seen"), (12, False, "VEX"), (14, True, "VEX statement withdrawn")]
        assert life(fleet) == closed
        assert life(fleet, 13) == closed[:2]


def test_the_findings_of_a_deleted_image_end_because_it_is_gone(fleet: Fleet) -> None:
    fleet.today = 10
    image = fleet.push("a", "team/web", "1", package("idna", "3.6"))
    assert fleet.store.image_removals.remove("team/web", image, "2026-11-12T10:00:00.000Z")
    assert {at: fleet.where("CVE-2026-1", at).total for at in (9, 11, 13)} == {9: 0, 11: 1, 13: 0}
    assert fleet.where("CVE-2026-1").total == fleet.where("CVE-2026-1", include_moved=True).total == 0
    (entry,) = fleet.where("CVE-2026-1", 11).images[0].packages
    assert (entry.since, entry.until, entry.ended_by) == (day(10), day(12), "image gone")


def test_what_cannot_be_judged_is_unknown_and_not_safe(fleet: Fleet) -> None:
    debian = Package("idna", "1", "pkg:deb/debian/idna@1?distro=debian-99", "Debian:99", "idna", "1", "status", "")
    zlib = replace(debian, name="zlib", source_name="zlib", purl="pkg:deb/debian/zlib@1?distro=debian-99")
    fleet.push("uncovered", "team/uncovered", "1", debian)
    fleet.push("other", "team/other", "1", zlib)
    fleet.push("unread", "team/unread", "1", package("flask", "2"), unread=(Unread("/x", "It is encrypted."),))
    fleet.store.images.add_push(PushedImage("team/new", "1", digest("new"), day(20)))
    failed = fleet.store.images.request_scan(digest("failed"), "team/failed", day(20))
    fleet.store.images.add_push(PushedImage("team/failed", "1", digest("failed"), day(20)))
    fleet.store.images.finish_scan(digest("failed"), failed.number, [], "It is broken.", day(20))
    unknown = {entry.repository: entry.reason for entry in fleet.where("CVE-2026-1").unknown.images}
    assert unknown == {
        "team/uncovered": "the advisory database does not cover packages of it",
        "team/unread": "1 file of it could not be read",
        "team/new": "it was never scanned",
        "team/failed": "its scan failed: It is broken.",
    }
    fleet.database.advisories = [advisory("CVE-2026-3", "zlib", "2", "Debian:13")]
    fleet.index.rematch_all(fleet.database)
    assert {"team/uncovered", "team/other"} < {entry.repository for entry in fleet.where("CVE-2026-3").unknown.images}


def test_a_version_that_cannot_be_compared_is_unknown(fleet: Fleet) -> None:
    fleet.push("odd", "team/odd", "1", package("idna", "not a version"))
    exposure = fleet.where("CVE-2026-1")
    assert [entry.reason for entry in exposure.unknown.images] == ["versions of it cannot be compared"]
    assert exposure.state is ExposureState.ABSENT


def test_without_an_advisory_database_nothing_is_known(fleet: Fleet) -> None:
    fleet.database.fails = True
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    exposure = fleet.where("CVE-2026-1")
    assert exposure.state is ExposureState.UNKNOWN_NAME
    assert "There is no advisory database." in (exposure.unknown.reason or "")
    assert fleet.where("idna").total == 1


def test_waivers_name_their_owner(fleet: Fleet) -> None:
    fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.push("b", "team/api", "1", package("idna", "3.6"))
    waiver = Waiver(
        "w1", "ana", "No such code.", "CVE-2026-1", repository="team/web", until=day(28), created_at=day(15)
    )
    fleet.store.waivers.add(waiver)
    waived = {
        image.places[0].repository: [(entry.owner, entry.by, entry.until) for entry in image.packages[0].waived]
        for image in fleet.where("CVE-2026-1").images
    }
    assert waived == {"team/web": [("ana", "w1", day(28))], "team/api": []}
    naming = fleet.where("GHSA-2026-1").waivers
    assert [(entry.id, entry.repository, entry.is_active) for entry in naming] == [("w1", "team/web", True)]
    of_api = Caller(
        Principal("ben", (Role.VIEWER,), day(1)), Token("t", "ben", "", day(1), day(30), repositories=("team/api",))
    )
    assert fleet.where("CVE-2026-1", who=of_api).waivers == []
    fleet.today = 29
    assert [image.packages[0].waived for image in fleet.where("CVE-2026-1").images] == [[], []]
    assert [entry.is_active for entry in fleet.where("CVE-2026-1").waivers] == [False]


def test_pages_have_every_image_once(fleet: Fleet) -> None:
    pushed = {fleet.push(f"image-{n}", f"team/{n}", "1", package("idna", "3.6")) for n in range(5)}
    unread = (Unread("/x", "It is encrypted."),)
    unknown = {fleet.push(f"unread-{n}", f"odd/{n}", "1", package("flask", "1"), unread=unread) for n in range(5)}
    seen, unknown_seen, after, unknown_after = [], [], None, 0
    for _ in range(3):
        page = fleet.where("CVE-2026-1", limit=2, after=after, unknown_after=unknown_after)
        assert (page.total, page.unknown.total) == (5, 5)
        seen += [image.digest for image in page.images]
        unknown_seen += [entry.digest for entry in page.unknown.images]
        after, unknown_after = int(page.next or 0), int(page.unknown.next or 99)
    assert (page.next, page.unknown.next) == (None, None)
    assert sorted(seen) == sorted(pushed)
    assert sorted(unknown_seen) == sorted(unknown)


def test_a_limited_token_sees_its_repositories_only(fleet: Fleet) -> None:
    image = fleet.push("a", "team/web", "1", package("idna", "3.6"))
    fleet.store.images.add_push(PushedImage("secret/web", "1", image, day(20)))
    fleet.push("b", "secret/api", "1", package("idna", "3.6"))
    fleet.store.images.add_push(PushedImage("secret/new", "1", digest("new"), day(20)))
    token = Token("t", "ana", "", day(1), day(30), repositories=("team/*",))
    who = Caller(Principal("ana", (Role.VIEWER,)), token)
    exposure = fleet.where("CVE-2026-1", who=who)
    assert (exposure.total, places(exposure), exposure.unknown.total) == (1, ["team/web:1"], 0)
    everyone = fleet.where("CVE-2026-1")
    assert (everyone.total, everyone.unknown.total) == (2, 1)


# --- which images are listed -------------------------------------------------------------------------------------


def numbers_of(fleet: Fleet, *names: str) -> list[int]:
    images = [fleet.store.fleet.image(digest(name)) for name in names]
    return [image.id for image in images if image is not None]


def judge(fleet: Fleet, policy: str, status: Status, *names: str) -> None:
    verdicts = [
        FleetVerdict(policy, number, status, (0,) * len(Severity), None, day(20))
        for number in numbers_of(fleet, *names)
    ]
    fleet.store.fleet_verdicts.record(policy, verdicts, lambda changes: ())


def listed(exposure: Exposure) -> list[str]:
    return [image.digest for image in exposure.images]


def test_images_are_filtered_by_what_runs_what_is_rejected_and_what_is_waived(fleet: Fleet) -> None:
    for name in ("a", "b", "c"):
        fleet.push(name, f"team/{name}", "1", package("idna", "3.6"))
    judge(fleet, "default", Status.REJECTED, "a", "b")
    judge(fleet, "default", Status.APPROVED, "c")
    waiver = Waiver("w1", "ana", "No such code.", "CVE-2026-1", repository="team/b", until=day(28), created_at=day(15))
    fleet.store.waivers.add(waiver)
    everything = fleet.where("CVE-2026-1")
    assert (everything.total, everything.rejected, everything.waived, everything.waived_of) == (3, 2, 1, 3)
    assert [image.status for image in everything.images] == [Status.APPROVED, Status.REJECTED, Status.REJECTED]
    rejected = fleet.where("CVE-2026-1", only=ExposureFilter.REJECTED)
    assert listed(rejected) == [digest("b"), digest("a")]
    first = fleet.where("CVE-2026-1", only=ExposureFilter.REJECTED, limit=1)
    assert listed(first) == [digest("b")]
    assert listed(fleet.where("CVE-2026-1", only=ExposureFilter.REJECTED, after=int(first.next or 0))) == [digest("a")]
    waived = fleet.where("CVE-2026-1", only=ExposureFilter.WAIVED)
    assert (listed(waived), waived.total) == ([digest("b")], 3)
    assert listed(fleet.where("CVE-2026-1", only=ExposureFilter.RUNNING)) == []


WAIVERS: dict[str, dict[str, Any]] = {
    "everywhere": {"vulnerability": "CVE-2026-1"},
    "by another name": {"vulnerability": "GHSA-2026-1"},
    "repository": {"vulnerability": "CVE-2026-1", "repository": "team/b"},
    "pattern": {"repository": "team/*", "package": "pkg:pypi/idna"},
    "version": {"package": "pkg:pypi/idna@3.5"},
    "image": {"image": digest("c")},
    "image elsewhere": {"image": digest("c"), "repository": "team/*"},
    "other vulnerability": {"vulnerability": "CVE-2026-2"},
    "other package": {"package": "pkg:pypi/flask"},
    "no date": {"vulnerability": "CVE-2026-1", "until": "", "until_fixed": True},
    "ended": {"vulnerability": "CVE-2026-1", "until": day(19)},
    "rule": {"vulnerability": "CVE-2026-1", "rule": "max_age"},
}
WAIVED = {
    "everywhere": "abcde",
    "by another name": "abcde",
    "repository": "be",
    "pattern": "abe",
    "version": "b",
    "image": "c",
}


@pytest.mark.parametrize("alone", [ALONE, 0])
@pytest.mark.parametrize("which", WAIVERS)
def test_a_waiver_is_found_in_every_image_in_which_it_counts_and_in_no_other(
    fleet: Fleet, which: str, alone: int
) -> None:
    fleet.alone = alone
    _push_five(fleet)
    fields = {"until": day(28), "created_at": day(15), **WAIVERS[which]}
    fleet.store.waivers.add(Waiver("w1", "ana", "No such code.", **fields))
    _assert_waived(fleet, WAIVED.get(which, ""))


def _push_five(fleet: Fleet) -> None:
    """Images a to e in team/a, team/b, other/c, other/d and both of other/e and team/b; b holds another version."""
    for name, repository, version in (("a", "team/a", "3.6"), ("b", "team/b", "3.5"), ("c", "other/c", "3.6"),
                                      ("d", "other/d", "3.6"), ("e", "other/e", "3.6")):  # fmt: skip
        fleet.push(name, repository, "1", package("idna", version), package("flask", "1"))
    fleet.store.images.add_push(PushedImage("team/b", "2", digest("e"), day(20)))


def _assert_waived(fleet: Fleet, names: str) -> None:
    """Those that are counted, those that are listed, and those whose packages are shown as waived are the same."""
    exposure = fleet.where("CVE-2026-1")
    shown = {image.digest for image in exposure.images if any(entry.waived for entry in image.packages)}
    listed_ones = listed(fleet.where("CVE-2026-1", only=ExposureFilter.WAIVED))
    expected = [digest(name) for name in reversed(names)]
    assert (exposure.waived, listed_ones, shown) == (len(names), expected, set(expected))
    assert exposure.waived_of == exposure.total == 5


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"products": (digest("b"),)}, "b"),
        ({"products": ("pkg:oci/app@" + digest("d").replace(":", "%3A"),)}, "d"),
        ({"products": ("pkg:pypi/idna@3.6",)}, "acde"),
        ({"products": ("pkg:pypi/flask",)}, ""),
        ({"vulnerabilities": ("CVE-2026-2",), "products": ("pkg:pypi/idna",)}, ""),
    ],
)
@pytest.mark.parametrize("alone", [ALONE, 0])
def test_a_vex_statement_of_an_uploaded_document_is_found_in_every_image_in_which_it_counts(
    fleet: Fleet, about: dict[str, object], expected: str, alone: int
) -> None:
    fleet.alone = alone
    _push_five(fleet)
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    record = VexRecord("sha256:1", "", "openvex", "Vendor", "principal:ana", day(20))
    statement = VexStatement("sha256:1", "openvex", "Vendor", "", ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [replace(statement, **about)])  # type: ignore[arg-type]
    _assert_waived(fleet, expected)


@pytest.mark.parametrize("alone", [ALONE, 0])
@pytest.mark.parametrize("image", ["", digest("a")])
def test_a_vex_statement_counts_in_the_past_only_while_it_was_there(fleet: Fleet, image: str, alone: int) -> None:
    fleet.alone = alone
    fleet.push("a", "team/a", "1", package("idna", "3.6"))
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    added, removed = fleet.today + 2, fleet.today + 4
    record = VexRecord("sha256:1", image, "openvex", "Vendor", "principal:ana", day(added))
    products = () if image else (digest("a"),)
    statement = VexStatement("sha256:1", "openvex", "Vendor", "", ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [replace(statement, products=products)])
    assert [fleet.where("CVE-2026-1", as_of=time).waived for time in (added - 1, added, added + 1)] == [0, 1, 1]
    if not image:
        fleet.store.vex.remove("sha256:1", "ana", day(removed))
        times = (added - 1, added, removed - 1, removed, removed + 1)
        assert [fleet.where("CVE-2026-1", as_of=time).waived for time in times] == [0, 1, 1, 0, 0]


def test_images_that_are_alike_are_looked_at_once(fleet: Fleet) -> None:
    fleet.alone = 10
    for number in range(60):
        fleet.push(f"image-{number}", f"team/{number % 5}", str(number), package("idna", "3.6"))
    waiver = Waiver("w1", "ana", "No.", "CVE-2026-1", repository="none/*", until=day(28), created_at=day(15))
    fleet.store.waivers.add(waiver)
    fleet.store.waivers.add(replace(waiver, id="w2", repository="team/3"))
    statements: list[str] = []
    event.listen(fleet.store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    exposure = fleet.where("CVE-2026-1", limit=1)
    assert len(statements) <= 12
    assert (exposure.waived, exposure.waived_of, len(exposure.images)) == (12, 60, 1)
    first = fleet.where("CVE-2026-1", only=ExposureFilter.WAIVED, limit=5)
    second = fleet.where("CVE-2026-1", only=ExposureFilter.WAIVED, limit=50, after=int(first.next or 0))
    assert [*listed(first), *listed(second)] == [digest(f"image-{number}") for number in range(58, 0, -5)]


@pytest.mark.parametrize("alone", [ALONE, 0])
def test_a_running_image_that_is_in_no_place_is_waived_by_the_repository_where_it_was_read(
    fleet: Fleet, alone: int
) -> None:
    fleet.alone = alone
    image = fleet.push("a", "team/a", "1", package("idna", "3.6"))
    fleet.push("b", "team/b", "1", package("idna", "3.6"))
    reference = ImageReference("registry.example/team/a", image)
    fleet.store.services.put(Service("shop", "local", 1, 1), TaskDefinition("shop", 1, "web", reference))
    fleet.push("a2", "team/a", "1", package("six", "1"))  # the tag moves on
    waiver = Waiver("w1", "ana", "No.", "CVE-2026-1", repository="team/a", until=day(28), created_at=day(15))
    fleet.store.waivers.add(waiver)
    exposure = fleet.where("CVE-2026-1", only=ExposureFilter.WAIVED)
    assert listed(exposure) == [digest("a")]


def test_a_verdict_in_another_repository_is_not_shown_to_a_limited_caller(fleet: Fleet) -> None:
    image = fleet.push("a", "secret/web", "1", package("idna", "3.6"))
    fleet.store.images.add_push(PushedImage("team/web", "1", image, day(20)))
    judge(fleet, "strict", Status.REJECTED, "a")
    token = Token("t", "ana", "", day(1), day(30), repositories=("team/*",))
    exposure = fleet.where("CVE-2026-1", who=Caller(Principal("ana", (Role.VIEWER,)), token))
    assert (exposure.total, exposure.rejected, [image.status for image in exposure.images]) == (1, 0, [None])
    assert fleet.where("CVE-2026-1").rejected == 1


def test_images_with_another_version_are_not_affected_unless_it_is_unknown(fleet: Fleet) -> None:
    fleet.push("a", "team/a", "1", package("idna", "3.6"))
    fleet.push("b", "team/b", "1", package("idna", "3.7"))
    fleet.push("c", "team/c", "1", package("flask", "1"))
    fleet.push("d", "team/d", "1", package("idna", "3.7"), unread=(Unread("/x", "It is encrypted."),))
    unaffected = fleet.where("CVE-2026-1").unaffected
    assert unaffected == UnaffectedImages(1, ["idna"])
    assert fleet.where("idna").unaffected is None
    assert fleet.where("CVE-2026-1", as_of=20).unaffected is None


def test_images_with_another_version_are_counted_up_to_a_limit(fleet: Fleet) -> None:
    fleet.push("affected", "team/affected", "1", package("idna", "3.6"))
    for number in range(3):
        fleet.push(f"image-{number}", f"team/{number}", "1", package("idna", "3.7"))
    assert fleet.where("CVE-2026-1").unaffected == UnaffectedImages(3, ["idna"])
    assert fleet.where("CVE-2026-1", most_unaffected=2).unaffected == UnaffectedImages(2, ["idna"])


def test_vex_statements_excuse_it_in_their_images_and_are_read_at_once(fleet: Fleet) -> None:
    for number in range(6):
        fleet.push(f"image-{number}", f"team/{number}", "1", package("idna", "3.6"))
    for number in (1, 4):
        record = VexRecord(f"sha256:{number}", digest(f"image-{number}"), "openvex", "Vendor", "principal:ana", day(20))
        statement = VexStatement(record.document, "openvex", "Vendor", "", ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
        fleet.store.vex.add(record, b"{}", [statement])
    assert fleet.where("CVE-2026-1").waived == 0  # the policy does not know the author
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    exposure = fleet.where("CVE-2026-1", only=ExposureFilter.WAIVED)
    assert listed(exposure) == [digest("image-4"), digest("image-1")]
    assert [entry.kind for image in exposure.images for entry in image.packages[0].waived] == ["vex", "vex"]
    statements: list[str] = []
    event.listen(fleet.store.database.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    fleet.where("CVE-2026-1")
    assert sum("vex_documents" in statement for statement in statements) == 2  # whether there is one, and all of them


TRUSTING = make_policy("house", {"vex": [{"authors": [{"name": "Vendor"}]}]})


def test_policies_of_the_past_are_those_that_were_assigned_in_their_versions_of_that_time(fleet: Fleet) -> None:
    selection = fleet.use_stored_policies()
    fleet.store.policies.put(TRUSTING, "1", "ana", day(10))
    fleet.store.policies.put(make_policy("house", {}), "2", "ana", day(14))
    assignments = fleet.store.policy_assignments
    assignments.put(PolicyAssignment("team", ("team/*",), "house"), "ana", day(12))
    assignments.put(PolicyAssignment("one", ("team/one",), "default"), "ana", day(13))
    assignments.remove("one", "ana", day(15))
    assignments.put(PolicyAssignment("same", ("team/*",), "default"), "ana", day(16))  # which of both is for it?

    def authors(repository: str) -> dict[int, list[str]]:
        timeline = selection.timeline()
        policies = {at: timeline.policy(repository, day(at)) for at in range(9, 18)}
        return {at: [author.name for author in vex_authors(policy)] for at, policy in policies.items()}

    assert authors("other/a") == {at: [] for at in range(9, 18)}
    assert [at for at, names in authors("team/a").items() if names] == [12, 13]
    assert [at for at, names in authors("team/one").items() if names] == [12]
    times = {name: selection.timeline().author_changes(name) for name in ("other/a", "team/a", "team/one")}
    assert times == {
        "other/a": [],
        "team/a": [day(12), day(14)],
        "team/one": [day(12), day(13)],
    }
    assert not vex_authors(selection.policies_of(["team/a"])["team/a"])


def test_a_life_counts_a_vex_statement_while_the_policy_of_that_time_trusted_its_author(fleet: Fleet) -> None:
    fleet.use_stored_policies()
    fleet.today = 10
    image = fleet.push("a", "team/web", "1", package("idna", "3.6"))
    record = VexRecord("sha256:1", image, "openvex", "Vendor", "principal:ana", day(10))
    statement = VexStatement(record.document, "openvex", "Vendor", "", ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [statement])
    fleet.store.policies.put(TRUSTING, "1", "ana", day(11))
    fleet.store.policy_assignments.put(PolicyAssignment("team", ("team/*",), "house"), "ana", day(12))
    fleet.store.policies.put(make_policy("house", {}), "2", "ana", day(14))
    fleet.store.policies.put(TRUSTING, "1", "ana", day(16))
    fleet.store.policy_assignments.remove("team", "ana", day(18))
    fleet.today = 20
    steps = [(10, True), (12, False), (14, True), (16, False), (18, True)]
    assert [(at, is_open) for at, is_open, _ in life(fleet)] == steps
    for at in range(10, 20):
        waived = fleet.where("CVE-2026-1", at).waived
        assert waived == (0 if [is_open for since, is_open in steps if since <= at][-1] else 1), at
        assert [step[:2] for step in life(fleet, at)] == [step for step in steps if step[0] <= at]
