"""Lists of vulnerabilities and packages, and what is known of a package, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update
from tests.services.exposure_fleet import Fleet
from tests.services.fleet.test_index import FLASK, IDNA, AdvisoryDatabase, digest, make_advisory, make_package
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.services.exposure.package import find_package
from dockgate.store.exposure.records import ExposureScope
from dockgate.store.exposure.vulnerability_lists import (
    POSITIONS,
    OpenVulnerability,
    VulnerabilityFilter,
    VulnerabilityLists,
    VulnerabilitySort,
    make_position,
)
from dockgate.store.schema.fleet import fleet_components
from dockgate.vulnerabilities.model import Cve, Severity

NOW_TAGGED = ExposureScope()
SIX = make_advisory("CVE-2026-9", "six", "2", severity="LOW")
SEVEN = make_advisory("CVE-2026-9", "seven", "9", severity="CRITICAL")


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_store_of_kind(request.param, tmp_path) as store:
        cves = {"CVE-2026-9": Cve("CVE-2026-9", None, "2026-11-01", "2026-11-22", 0.6, 0.9)}
        package_fleet = Fleet(store, AdvisoryDatabase([IDNA, FLASK, SIX, SEVEN], cves), today=10)
        package_fleet.push(
            "a", "team/web", "1", make_package("idna", "3.6"), make_package("flask", "2"), make_package("six", "1")
        )
        package_fleet.push("b", "team/api", "1", make_package("idna", "3.6"), make_package("Idna_x", "1"))
        yield package_fleet


def make_lists(fleet: Fleet) -> VulnerabilityLists:
    """Lists that remember nothing."""
    return VulnerabilityLists(fleet.store.database, fresh_factor=0)


def list_names(fleet: Fleet, **fields: object) -> list[str]:
    vulnerability_filter = VulnerabilityFilter(**fields)  # type: ignore[arg-type]
    entries = make_lists(fleet).list_open_vulnerabilities(vulnerability_filter, 10, scope=NOW_TAGGED)
    return [entry.name for entry in entries]


def test_exploited_vulnerabilities_come_first_then_the_worst(fleet: Fleet) -> None:
    assert list_names(fleet) == ["CVE-2026-9", "CVE-2026-1", "CVE-2026-2"]
    assert list_names(fleet, severity=Severity.HIGH) == ["CVE-2026-1", "CVE-2026-2"]
    assert list_names(fleet, is_exploited=True) == ["CVE-2026-9"]
    assert list_names(fleet, is_fixable=True) == ["CVE-2026-9", "CVE-2026-1"]
    assert list_names(fleet, start="cve-2026-2") == ["CVE-2026-2"]
    assert list_names(fleet, start="%") == list_names(fleet, start="CVE_2026") == []
    second = make_lists(fleet).list_open_vulnerabilities(VulnerabilityFilter(), 2, scope=NOW_TAGGED)[1]
    assert (second.name, second.severity, second.is_fixed) == ("CVE-2026-1", Severity.HIGH, True)


@pytest.mark.parametrize("sort", VulnerabilitySort)
def test_a_page_of_vulnerabilities_begins_after_the_last_one_of_the_page_before(
    fleet: Fleet, sort: VulnerabilitySort
) -> None:
    fleet.push("c", "team/web", "1", make_package("idna", "3.6"))  # two of them are in no image then
    lists, vulnerability_filter = make_lists(fleet), VulnerabilityFilter(sort=sort)
    everything = lists.list_open_vulnerabilities(vulnerability_filter, 10, scope=NOW_TAGGED)
    one_by_one: list[OpenVulnerability] = []
    position = None
    while page := lists.list_open_vulnerabilities(vulnerability_filter, 1, position, scope=NOW_TAGGED):
        one_by_one += page
        position = make_position(page[0], sort)
        assert [type(value) for value in position] == list(POSITIONS[sort])
    assert one_by_one == everything
    assert len(everything) == 3
    last = make_position(everything[-1], sort)
    backward = lists.list_open_vulnerabilities(vulnerability_filter, 10, last, scope=NOW_TAGGED, is_backward=True)
    assert backward == everything[-2::-1]


def test_vulnerabilities_that_no_image_has_come_last(fleet: Fleet) -> None:
    fleet.push("c", "team/web", "1", make_package("idna", "3.6"))  # the image before has no tag any more
    for sort in (VulnerabilitySort.URGENCY, VulnerabilitySort.EPSS):
        assert list_names(fleet, sort=sort) == ["CVE-2026-1", "CVE-2026-9", "CVE-2026-2"]
    assert list_names(fleet, sort=VulnerabilitySort.NAME) == ["CVE-2026-1", "CVE-2026-2", "CVE-2026-9"]
    lists, scope = make_lists(fleet), ExposureScope(running_images=[digest("a")])
    first = lists.list_open_vulnerabilities(VulnerabilityFilter(), 1, scope=scope)[0]
    assert (first.name, first.has_image) == ("CVE-2026-9", True)


def test_pages_agree_for_a_while_on_which_vulnerabilities_no_image_has(fleet: Fleet) -> None:
    lists = VulnerabilityLists(fleet.store.database, fresh_factor=1e9)
    page = lists.list_open_vulnerabilities(VulnerabilityFilter(), 1, scope=NOW_TAGGED)
    fleet.push("c", "team/web", "1", make_package("idna", "3.6"))
    position = make_position(page[0], VulnerabilitySort.URGENCY)
    following_entries = lists.list_open_vulnerabilities(VulnerabilityFilter(), 10, position, scope=NOW_TAGGED)
    assert [entry.name for entry in (*page, *following_entries)] == ["CVE-2026-9", "CVE-2026-1", "CVE-2026-2"]


def test_vulnerabilities_are_counted_as_they_are_listed(fleet: Fleet) -> None:
    count = partial(fleet.store.vulnerability_lists.count_open_vulnerabilities, scope=NOW_TAGGED)
    assert (count(VulnerabilityFilter(), 10), count(VulnerabilityFilter(), 2)) == (3, 2)
    assert count(VulnerabilityFilter(severity=Severity.HIGH), 10) == 2
    assert count(VulnerabilityFilter(is_fixable=True, start="CVE-2026-1"), 10) == 1


@limit_to_sqlite("fleet")
def test_each_vulnerability_names_its_packages_with_the_versions_that_fix_it(fleet: Fleet) -> None:
    entries = make_lists(fleet).list_open_vulnerabilities(VulnerabilityFilter(), 10, scope=NOW_TAGGED)
    packages = fleet.store.vulnerability_lists.list_packages([entry.id for entry in entries], scope=NOW_TAGGED)
    assert [packages[entry.id] for entry in entries] == [[("six", ["2"])], [("idna", ["3.7"])], [("flask", [])]]


def test_the_images_of_each_vulnerability_are_counted_as_its_page_lists_them(fleet: Fleet) -> None:
    lists = make_lists(fleet)

    def count_images(*running_images: str) -> dict[str, int]:
        entries = lists.list_open_vulnerabilities(VulnerabilityFilter(), 10, scope=NOW_TAGGED)
        counts = lists.count_images([entry.id for entry in entries], ExposureScope(running_images=running_images))
        return {entry.name: counts.get(entry.id, 0) for entry in entries}

    assert count_images() == {"CVE-2026-9": 1, "CVE-2026-1": 2, "CVE-2026-2": 1}
    fleet.push("c", "team/web", "1", make_package("idna", "3.6"))
    assert count_images() == {"CVE-2026-9": 0, "CVE-2026-1": 2, "CVE-2026-2": 0}
    assert count_images() == {name: fleet.find_exposure(name).total for name in count_images()}
    assert count_images(digest("a")) == {"CVE-2026-9": 1, "CVE-2026-1": 3, "CVE-2026-2": 1}


def test_a_scope_of_some_repositories_has_what_their_images_have_alone(fleet: Fleet) -> None:
    """Names, severities, fixed versions, packages and numbers are those of these images."""
    fleet.push("s", "secret/app", "1", make_package("seven", "1"), make_package("flask", "2"))
    lists = make_lists(fleet)

    def describe(*repositories: str, **fields: object) -> list[tuple[str, Severity, bool, list[str], int]]:
        scope = ExposureScope(repositories=repositories or None)
        filters = VulnerabilityFilter(**fields)  # type: ignore[arg-type]
        entries = lists.list_open_vulnerabilities(filters, 10, scope=scope)
        assert lists.count_open_vulnerabilities(filters, 10, scope=scope) == len(entries)
        numbers = [entry.id for entry in entries]
        packages, counts = lists.list_packages(numbers, scope=scope), lists.count_images(numbers, scope)
        return [
            (entry.name, entry.severity, entry.is_fixed, [name for name, _ in packages[entry.id]], counts[entry.id])
            for entry in entries
        ]

    nine, idna = ("CVE-2026-9", Severity.LOW, True, ["six"], 1), ("CVE-2026-1", Severity.HIGH, True, ["idna"], 1)
    flask = ("CVE-2026-2", Severity.HIGH, False, ["flask"], 1)
    assert describe("team/web") == [nine, idna, flask]
    assert describe("team/api") == [idna]
    assert describe("team/none") == []
    assert describe("team/web", severity=Severity.LOW) == [nine]
    assert describe("team/web", severity=Severity.CRITICAL) == []
    assert describe("team/api", start="CVE-2026-2") == describe("team/api", is_exploited=True) == []
    assert describe()[0] == ("CVE-2026-9", Severity.CRITICAL, True, ["seven", "six"], 2)
    only_nine = lists.list_packages(
        [lists.list_open_vulnerabilities(VulnerabilityFilter(), 1, scope=NOW_TAGGED)[0].id],
        scope=ExposureScope(repositories=["team/web"]),
    )
    assert list(only_nine.values()) == [[("six", ["2"])]]


def test_scopes_are_remembered_apart(fleet: Fleet) -> None:
    lists = VulnerabilityLists(fleet.store.database, fresh_factor=1e9)

    def list_names_in(*repositories: str, running: tuple[str, ...] = ()) -> list[str]:
        scope = ExposureScope(repositories=repositories, running_images=running)
        return [entry.name for entry in lists.list_open_vulnerabilities(VulnerabilityFilter(), 10, scope=scope)]

    assert list_names_in("team/web") == ["CVE-2026-9", "CVE-2026-1", "CVE-2026-2"]
    assert list_names_in("team/api") == ["CVE-2026-1"]
    assert list_names_in() == []
    assert list_names_in(running=(digest("b"),)) == ["CVE-2026-1"]


def test_names_are_found_by_their_beginning_in_any_case_of_letters(fleet: Fleet) -> None:
    list_names = fleet.store.vulnerability_lists.list_names_starting_with
    assert list_names("idna", 10, scope=NOW_TAGGED) == ([], ["Idna_x", "idna"])
    assert list_names("ghsa-2026-1", 10, scope=NOW_TAGGED)[0] == ["GHSA-2026-1"]
    assert list_names("_", 10, scope=NOW_TAGGED) == ([], [])


def test_a_scope_of_some_repositories_finds_the_names_of_its_images_alone(fleet: Fleet) -> None:
    list_names, scope = make_lists(fleet).list_names_starting_with, ExposureScope(repositories=["team/api"])
    assert list_names("i", 10, scope=scope) == ([], ["Idna_x", "idna"])
    assert list_names("six", 10, scope=scope) == list_names("cve-2026-9", 10, scope=scope) == ([], [])
    assert list_names("cve-2026-", 10, scope=scope)[0] == ["CVE-2026-1"]
    assert list_names("six", 10, scope=NOW_TAGGED)[1] == ["six"]


def test_images_are_counted_by_component_and_location(fleet: Fleet) -> None:
    exposures = fleet.store.exposures
    (idna,) = fleet.store.component_search.find_components_named(["idna"])
    everywhere = exposures.list_images([idna], ExposureScope(), is_owned=True)
    assert exposures.count_images_by_component([idna], everywhere) == {idna: 2}
    of_web = exposures.list_images([idna], ExposureScope(repositories=["team/web"]), is_owned=True)
    assert exposures.count_images_by_component([idna], of_web) == {idna: 1}
    assert exposures.count_images_by_component([], everywhere) == {}


@limit_to_sqlite("fleet")
def test_a_version_that_was_not_matched_with_all_advisories_says_why(fleet: Fleet) -> None:
    search, of_debian = fleet.make_search(), replace(make_package("bash", "5"), ecosystem="Debian:13")
    fleet.push("c", "team/shell", "1", of_debian, make_package("idna", "not a version"))
    fleet.index.match_new()

    def list_reasons(name: str) -> dict[str, str | None]:
        return {entry.version: entry.undetermined for entry in find_package(search, name, None).versions}

    assert list_reasons("idna") == {"3.6": None, "not a version": "its version cannot be compared"}
    assert list_reasons("bash") == {"5": "the advisory database does not cover it"}
    fleet.database.fails = True
    fleet.push("d", "team/new", "1", make_package("click", "8"))
    assert list_reasons("idna")["3.6"] == "the advisories cannot be read"
    fleet.database.fails = False
    assert list_reasons("click") == {"8": "it is not matched with the advisories yet"}


def test_the_state_of_a_scope_says_nothing_of_components_outside_of_it(fleet: Fleet) -> None:
    fleet.push("c", "team/api", "2", make_package("idna", "not a version"))
    npm = replace(make_package("left-pad", "1"), purl="pkg:npm/left-pad@1", ecosystem="npm")
    fleet.push("d", "team/jobs", "1", npm)
    with fleet.store.database.write() as connection:
        connection.execute(
            update(fleet_components).where(fleet_components.c.name == "left-pad").values(is_matched=False)
        )
    read_state = fleet.store.component_search.read_index_state

    def read_reach(*repositories: str) -> tuple[list[str], int, int]:
        state = read_state(scope=ExposureScope(repositories=repositories or None))
        return [*state.ecosystems], len(state.uncomparable_components), len(state.unmatched_components)

    assert read_reach() == (["PyPI", "npm"], 1, 1)
    assert read_reach("team/web") == (["PyPI"], 0, 0)
    assert read_reach("team/api") == (["PyPI"], 1, 0)
    assert read_reach("team/jobs") == (["npm"], 0, 1)
    assert read_reach("team/jobs", "team/api") == (["PyPI", "npm"], 1, 1)
    assert read_reach("other/web") == ([], 0, 0)
