"""When an image had a vulnerability: what opens and closes the life of a finding."""

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
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.gate.model import VexSigner, VexStatement, VexStatus, Waiver
from dockgate.gate.policy import list_vex_authors, make_policy
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.scanner.model import Package
from dockgate.store.records import PushedImage, VexRecord


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield Fleet(store, AdvisoryDatabase([IDNA, FLASK]))


def list_life(fleet: Fleet, as_of: int | None = None) -> list[tuple[int, bool, str]]:
    """The life of CVE-2026-1 in the oldest image that has or had it: the day of each step, whether it is open, why."""
    package = fleet.find_exposure("CVE-2026-1", as_of, should_include_moved=True).images[-1].packages[0]
    return [(int(step.at[8:10]), step.is_open, str(step.why)) for step in package.life]


@limit_to_sqlite("fleet")
@pytest.mark.parametrize(
    ("later_packages", "expected"),
    [
        ([make_package("idna", "3.7")], "package upgraded"),
        ([make_package("flask", "2")], "package removed"),
        ([make_package("idna", "3.5")], "tag moved on"),  # it has the vulnerability, too
        ([make_package("idna", "3.7"), make_package("idna", "3.6", "sha256:base")], "tag moved on"),
        (None, "tag moved on"),  # it is not scanned
    ],
)
def test_a_life_ends_when_the_tag_moves_to_an_image_without_it(
    fleet: Fleet, later_packages: list[Package] | None, expected: str
) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.today = 12
    if later_packages is None:
        fleet.store.images.add_push(PushedImage("team/web", "1", digest("b"), format_day(12)))
    else:
        fleet.push("b", "team/web", "1", *later_packages)
    assert list_life(fleet) == [(10, True, "first seen"), (12, False, expected)]
    entry = fleet.find_exposure("CVE-2026-1", should_include_moved=True).images[-1].packages[0]
    assert (entry.until, entry.ended_by) == (format_day(12), expected)


def test_a_life_is_closed_while_the_tag_names_another_image(fleet: Fleet) -> None:
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7"), (15, "a", "3.6")):
        fleet.push(name, "team/web", "1", make_package("idna", version))
    steps = [(10, True, "first seen"), (12, False, "package upgraded"), (15, True, "tag moved back")]
    assert list_life(fleet) == steps
    assert list_life(fleet, 13) == steps[:2]
    # Also in an answer that is about present tags alone: that one is about the exposure of today.
    (entry,) = fleet.find_exposure("CVE-2026-1").images[-1].packages
    assert [(int(step.at[8:10]), step.is_open, step.why) for step in entry.life] == steps
    assert (entry.since, entry.until) == (format_day(15), None)


@limit_to_sqlite("fleet")
def test_an_image_that_was_always_in_a_repository_is_exposed_since_its_first_tag(fleet: Fleet) -> None:
    for fleet.today, name, tag in ((10, "a", "latest"), (12, "a", "1"), (15, "b", "latest")):
        fleet.push(name, "team/web", tag, make_package("idna", "3.6" if name == "a" else "3.7"))
    for should_include_moved in (False, True):
        entry = fleet.find_exposure("CVE-2026-1", should_include_moved=should_include_moved).images[-1].packages[0]
        assert (entry.since, entry.until) == (format_day(10), None)
        assert [step.why for step in entry.life] == ["first seen"]


@limit_to_sqlite("fleet")
def test_an_exposure_that_ended_before_its_advisory_came_back_has_its_own_times(fleet: Fleet) -> None:
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7")):
        fleet.push(name, "team/web", "1", make_package("idna", version))
    for fleet.today, advisories in ((14, [FLASK]), (16, [IDNA])):
        fleet.database.advisories = advisories
        fleet.index.rematch_all(fleet.database)
    (entry,) = fleet.find_exposure("CVE-2026-1", should_include_moved=True).images[-1].packages
    assert (entry.since, entry.until, entry.ended_by) == (format_day(10), format_day(12), "package upgraded")


@limit_to_sqlite("fleet")
def test_a_finding_that_became_known_after_its_tag_had_moved_is_closed(fleet: Fleet) -> None:
    fleet.database.advisories = [FLASK]
    for fleet.today, name, version in ((10, "a", "3.6"), (12, "b", "3.7")):
        fleet.push(name, "team/web", "1", make_package("idna", version))
    fleet.today, fleet.database.advisories = 14, [IDNA]
    fleet.index.rematch_all(fleet.database)
    entry = fleet.find_exposure("CVE-2026-1", should_include_moved=True).images[-1].packages[0]
    assert [step.is_open for step in entry.life][-1:] == [False]
    assert (entry.since, entry.until, entry.ended_by) == (format_day(12), format_day(12), "package upgraded")


@limit_to_sqlite("fleet")
def test_a_life_has_the_changes_of_advisories(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    for fleet.today, advisories in ((12, [FLASK]), (14, [IDNA])):
        fleet.database.advisories = advisories
        fleet.index.rematch_all(fleet.database)
    steps = [(10, True, "first seen"), (12, False, "advisory changed"), (14, True, "advisory changed")]
    assert list_life(fleet) == steps
    assert (list_life(fleet, 11), list_life(fleet, 15)) == (steps[:1], steps)


@limit_to_sqlite("fleet")
def test_a_life_closes_while_a_waiver_counts_and_opens_again_when_it_ends(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    waivers = fleet.store.waivers
    waivers.add(Waiver("w1", "ana", "No.", "CVE-2026-1", until=format_day(14), created_at=format_day(12)))
    waivers.add(Waiver("w2", "ana", "No.", "CVE-2026-1", until=format_day(28), created_at=format_day(16)))
    waivers.add(
        Waiver("w3", "ana", "No.", "CVE-2026-1", repository="none/*", until=format_day(28), created_at=format_day(11))
    )
    fleet.today = 17
    steps = [(10, True, "first seen"), (12, False, "waived"), (14, True, "waiver ended"), (16, False, "waived")]
    assert list_life(fleet) == steps
    assert list_life(fleet, 13) == steps[:2]
    waivers.revoke("w2", "ana", format_day(18))
    fleet.today = 19
    assert list_life(fleet) == [*steps, (18, True, "waiver ended")]
    (entry,) = fleet.find_exposure("CVE-2026-1").images[0].packages
    assert [step.by for step in entry.life] == [None, "w1", "w1", "w2", "w2"]
    assert (entry.until, entry.ended_by) == (None, None)  # the image has it all the time


@limit_to_sqlite("fleet")
@pytest.mark.parametrize(
    ("until", "is_accepted"), [(13, False), (15, False), (28, True)], ids=["before", "while it is closed", "later"]
)
def test_an_advisory_that_comes_back_opens_a_life_again_whatever_ended_before(
    fleet: Fleet, until: int, is_accepted: bool
) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.store.waivers.add(
        Waiver("w1", "ana", "No.", "CVE-2026-1", until=format_day(until), created_at=format_day(12))
    )
    for fleet.today, advisories in ((14, [FLASK]), (16, [IDNA])):
        fleet.database.advisories = advisories
        fleet.index.rematch_all(fleet.database)
    steps = list_life(fleet)
    assert steps[:2] == [(10, True, "first seen"), (12, False, "waived")]
    assert steps[-1] == ((16, False, "waived") if is_accepted else (16, True, "advisory changed"))


@limit_to_sqlite("fleet")
def test_a_waiver_of_one_repository_does_not_close_a_life_in_another(fleet: Fleet) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.push("a", "other/web", "1", make_package("idna", "3.6"))
    fleet.store.waivers.add(
        Waiver("w1", "ana", "No.", "CVE-2026-1", repository="team/*", until=format_day(28), created_at=format_day(12))
    )
    fleet.today = 14
    assert list_life(fleet) == [(10, True, "first seen")]


@limit_to_sqlite("fleet")
def test_a_waiver_until_a_fix_closes_a_life_until_there_is_one(fleet: Fleet) -> None:
    fleet.database.advisories = [replace(IDNA, published=format_day(15), modified=format_day(15))]
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.store.waivers.add(Waiver("w1", "ana", "No.", "CVE-2026-1", until_fixed=True, created_at=format_day(12)))
    fleet.today = 17
    assert list_life(fleet) == [(10, True, "first seen"), (12, False, "waived"), (15, True, "waiver ended")]


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("image", [None, digest("a")])
def test_a_life_closes_while_a_vex_statement_counts(fleet: Fleet, image: str | None) -> None:
    fleet.today = 10
    fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    fleet.policy = make_policy("default", {"vex": [{"authors": [{"name": "Vendor"}]}]})
    record = VexRecord("sha256:1", image, "openvex", "Vendor", VexSigner("principal:ana"), format_day(12))
    products = () if image else (digest("a"),)
    statement = VexStatement("sha256:1", "openvex", "Vendor", None, ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [replace(statement, products=products)])
    fleet.today = 20
    assert list_life(fleet) == [(10, True, "first seen"), (12, False, "VEX")]
    if not image:
        fleet.store.vex.remove("sha256:1", "ana", format_day(14))
        closed_life = [(10, True, "first seen"), (12, False, "VEX"), (14, True, "VEX statement withdrawn")]
        assert list_life(fleet) == closed_life
        assert list_life(fleet, 13) == closed_life[:2]


@limit_to_sqlite("fleet")
def test_the_findings_of_a_deleted_image_end_because_it_is_gone(fleet: Fleet) -> None:
    fleet.today = 10
    image = fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    assert fleet.store.image_removals.remove("team/web", image, "2026-11-12T10:00:00.000Z")
    assert {at: fleet.find_exposure("CVE-2026-1", at).total for at in (9, 11, 13)} == {9: None, 11: 1, 13: 0}
    assert (
        fleet.find_exposure("CVE-2026-1").total
        == fleet.find_exposure("CVE-2026-1", should_include_moved=True).total
        == 0
    )
    (entry,) = fleet.find_exposure("CVE-2026-1", 11).images[0].packages
    assert (entry.since, entry.until, entry.ended_by) == (format_day(10), format_day(12), "image gone")


TRUSTING = make_policy("house", {"vex": [{"authors": [{"name": "Vendor"}]}]})


@limit_to_sqlite("fleet")
def test_policies_of_the_past_are_those_that_were_assigned_in_their_versions_of_that_time(fleet: Fleet) -> None:
    selection = fleet.use_stored_policies()
    fleet.store.policies.put(TRUSTING, "1", "ana", format_day(10))
    fleet.store.policies.put(make_policy("house", {}), "2", "ana", format_day(14))
    assignments = fleet.store.policy_assignments
    assignments.put(PolicyAssignment("team", ("team/*",), "house"), "ana", format_day(12))
    assignments.put(PolicyAssignment("one", ("team/one",), "default"), "ana", format_day(13))
    assignments.remove("one", "ana", format_day(15))
    assignments.put(PolicyAssignment("same", ("team/*",), "default"), "ana", format_day(16))  # which of both is for it?

    def list_authors(repository: str) -> dict[int, list[str]]:
        timeline = selection.read_timeline()
        policies = {at: timeline.find_policy(repository, format_day(at)) for at in range(9, 18)}
        return {at: [author.name for author in list_vex_authors(policy)] for at, policy in policies.items()}

    assert list_authors("other/a") == {at: [] for at in range(9, 18)}
    assert [at for at, names in list_authors("team/a").items() if names] == [12, 13]
    assert [at for at, names in list_authors("team/one").items() if names] == [12]
    times = {name: selection.read_timeline().list_author_changes(name) for name in ("other/a", "team/a", "team/one")}
    assert times == {
        "other/a": [],
        "team/a": [format_day(12), format_day(14)],
        "team/one": [format_day(12), format_day(13)],
    }
    assert not list_vex_authors(selection.read_timeline().find_policy("team/a", None))


@limit_to_sqlite("fleet")
def test_a_life_counts_a_vex_statement_while_the_policy_of_that_time_trusted_its_author(fleet: Fleet) -> None:
    fleet.use_stored_policies()
    fleet.today = 10
    image = fleet.push("a", "team/web", "1", make_package("idna", "3.6"))
    record = VexRecord("sha256:1", image, "openvex", "Vendor", VexSigner("principal:ana"), format_day(10))
    statement = VexStatement(record.document, "openvex", "Vendor", None, ("CVE-2026-1",), VexStatus.NOT_AFFECTED)
    fleet.store.vex.add(record, b"{}", [statement])
    fleet.store.policies.put(TRUSTING, "1", "ana", format_day(11))
    fleet.store.policy_assignments.put(PolicyAssignment("team", ("team/*",), "house"), "ana", format_day(12))
    fleet.store.policies.put(make_policy("house", {}), "2", "ana", format_day(14))
    fleet.store.policies.put(TRUSTING, "1", "ana", format_day(16))
    fleet.store.policy_assignments.remove("team", "ana", format_day(18))
    fleet.today = 20
    steps = [(10, True), (12, False), (14, True), (16, False), (18, True)]
    assert [(at, is_open) for at, is_open, _ in list_life(fleet)] == steps
    for at in range(10, 20):
        waived_count = fleet.find_exposure("CVE-2026-1", at).waived
        assert waived_count == (0 if [is_open for since, is_open in steps if since <= at][-1] else 1), at
        assert [step[:2] for step in list_life(fleet, at)] == [step for step in steps if step[0] <= at]
