"""Contract of the store: the fleet index. Each changing call is made twice."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.scanned_platforms import list_platforms
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind

from dockgate.gate.fleet.model import LayerOrigin
from dockgate.gate.model import Status
from dockgate.scanner.model import Inventory, Unread
from dockgate.store import Store
from dockgate.store.exposure.records import ExposureScope
from dockgate.store.exposure.vulnerability_lists import VulnerabilityFilter
from dockgate.store.fleet.changes import FINDINGS_LIMIT, VULNERABILITIES_LIMIT
from dockgate.store.fleet.due_images import DueChanges
from dockgate.store.fleet.findings import MatchResult, Source
from dockgate.store.fleet.index import NewBundle, NewImage, NewPlatform
from dockgate.store.fleet.judging_state import FleetJudgingInputs, Placement
from dockgate.store.fleet.records import Change, Component, FleetVerdict, ImageBundle, UndeterminedEntry, Vulnerability
from dockgate.store.records import VexVersion
from dockgate.vulnerabilities.model import Coverage, Finding, Rating, Severity, UndeterminedFact

FLASK = Component("PyPI", "Flask", "0.12", "pkg:pypi/flask@0.12", "flask", "0.12")
ZLIB = Component("Debian:13", "zlib1g", "1.3", "pkg:deb/debian/zlib1g@1.3?distro=debian-13", "zlib", "1.3")
OLD_ZLIB = ZLIB._replace(ecosystem="Debian:12")
BASE = NewBundle("sha256:1", True, {ZLIB: 1}, {FLASK: 1})
OWN = NewBundle("sha256:2", False, {FLASK: 2}, {})
FACTS = Inventory(IMAGE, "linux/amd64", None, ("sha256:1", "sha256:2"), (), (Unread("a/\udce4", "cut off"),), 1)
NEW = NewImage(IMAGE, "web", "sha256:i", "1", NOW, NOW, (NewPlatform(FACTS, 3, (BASE, OWN)),))
SECOND_FACTS = replace(FACTS, image="sha256:" + "b" * 64)
SOURCE, NEWER = Source("sha256:db", "1"), Source("sha256:newer", "1")
FINDING = Finding(
    "CVE-1",
    ("GHSA-1",),
    FLASK.to_package(),
    Severity.HIGH,
    Rating("advisory", Severity.HIGH, 7.5, "CVSS:3.1/AV:N"),
    "1.0",
    exploited="2026-01-01",
    epss=0.5,
)
YEAR_LATER = "2027-11-24T10:00:00.000Z"


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def number_components(store: Store) -> dict[Component, int]:
    return {component: number for number, component in store.fleet.iterate_components()}


def test_a_package_may_lie_at_any_number_of_paths(store: Store) -> None:
    bundle = NewBundle("sha256:2", False, {FLASK: 40_000}, {ZLIB: 2**31 - 1})
    store.fleet.add(NEW._replace(platforms=(NewPlatform(FACTS, 2, (bundle,)),)))
    numbers = number_components(store)
    assert list(store.fleet.iterate_bundle_uses([numbers[FLASK]])) == [(numbers[FLASK], 1, 40_000)]


def test_an_image_is_split_into_bundles(store: Store) -> None:
    new = store.fleet.add(NEW)
    assert sorted(new) == sorted(number_components(store).values())
    assert store.fleet.add(NEW) == []
    (image,) = store.fleet.iterate_images()
    assert (image.digest, image.repository, image.seen_at, image.gone_at) == (IMAGE, "web", NOW, None)
    assert store.fleet.find_image(IMAGE) == image
    assert store.fleet.find_image("sha256:none") is None
    (platform,) = store.fleet.iterate_platforms()
    assert platform == (image.id, 0, FACTS, 3)
    bundles = list(store.fleet.iterate_bundles_of_images())
    assert [(row.layer, row.is_in_base) for row in bundles] == [("sha256:1", True), ("sha256:2", False)]
    assert list(store.fleet.iterate_bundles_of_images([image.id])) == bundles
    numbers = number_components(store)
    contents = dict(store.fleet.iterate_bundles())
    assert contents[bundles[0].bundle] == ({numbers[ZLIB]: 1}, {numbers[FLASK]: 1})
    assert contents[bundles[1].bundle] == ({numbers[FLASK]: 2}, {})
    assert list(store.fleet.iterate_bundle_uses([numbers[FLASK]])) == [(numbers[FLASK], bundles[1].bundle, 2)]
    assert store.fleet.find_images_with([bundles[0].bundle]) == {image.id}


def test_changes_of_an_image_are_due_until_it_was_judged_after_them(store: Store) -> None:
    store.fleet.add(NEW)
    image = next(store.fleet.iterate_images()).id
    (first,) = store.due_images.list()[IMAGE]
    verdicts = [FleetVerdict("default", image, Status.APPROVED, (0,) * len(Severity), None, NOW)]
    for judged_images, postponed_images, count in (((), (), 1), ((first,), (IMAGE,), 1), ((first,), (), 1)):
        changes = DueChanges(frozenset(judged_images), frozenset(postponed_images))
        store.fleet_verdicts.record(
            "default", verdicts, NOW, lambda _: [], FleetJudgingInputs("inputs", "source"), changes
        )
        assert [len(numbers) for numbers in store.due_images.list().values()] == [count]
    (second,) = store.due_images.list()[IMAGE]
    assert second != first
    for _ in range(2):
        store.due_images.remove_unjudged([second])
        assert store.due_images.list() == {IMAGE: [second]}
    with store.database.write() as connection:
        store.fleet_verdicts.remove(connection, "default")
    for _ in range(2):
        store.due_images.remove_unjudged([first, second])
        assert store.due_images.list() == {}


def test_it_is_unknown_from_what_images_are_judged_while_only_some_verdicts_are_written(store: Store) -> None:
    store.fleet.add(NEW)
    image = next(store.fleet.iterate_images()).id
    verdict = FleetVerdict("default", image, Status.APPROVED, (0,) * len(Severity), None, NOW)
    judging_inputs = FleetJudgingInputs("inputs", "source", frozenset({"w1", "w2"}), frozenset({VexVersion.make(1, 1)}))
    for entry in (judging_inputs, None, judging_inputs):
        for _ in range(2):
            store.fleet_verdicts.record("default", [verdict], NOW, lambda _: [], entry)
            assert store.fleet_judging.find_judging_inputs("default") == entry
    assert store.fleet_judging.find_judging_inputs("other") is None


def test_a_scan_that_finds_the_same_is_indexed_once_and_changes_nothing_else(store: Store) -> None:
    scan = store.images.request_scan(IMAGE, "web", NOW)
    store.images.finish_scan(IMAGE, scan.number, list_platforms(FACTS), None, LATER)
    store.fleet.add(NEW)
    changes = store.due_images.list()
    assert store.images.list_unindexed(1) == [IMAGE]
    for _ in range(2):
        assert store.fleet.add(NEW._replace(scanned_at=LATER)) == []
        assert store.images.list_unindexed(1) == []
    assert store.due_images.list() == changes


def test_images_of_one_base_share_its_bundle(store: Store) -> None:
    store.fleet.add(NEW)
    new = NEW._replace(
        digest=SECOND_FACTS.image_digest, platforms=(NewPlatform(SECOND_FACTS, 1, (BASE._replace(layer="sha256:3"),)),)
    )
    assert store.fleet.add(new) == []
    first, second = store.fleet.iterate_images()
    bundles = list(store.fleet.iterate_bundles_of_images())
    assert bundles[2] == ImageBundle(second.id, 0, 0, bundles[0].bundle, "sha256:3", True)
    platform = Placement(
        second.id,
        0,
        tuple((row.bundle, LayerOrigin.BASE if row.is_in_base else LayerOrigin.OWN) for row in bundles[2:]),
    )
    assert list(store.fleet_judging.iterate_placements_between(second.id, second.id + 1)) == [platform]
    assert list(store.fleet_judging.iterate_placements([second.id])) == [platform]
    assert store.fleet.find_images_with([bundles[0].bundle]) == {first.id, second.id}


def test_a_newer_scan_replaces_what_an_image_holds(store: Store) -> None:
    store.fleet.add(NEW)
    newer_scan = NEW._replace(
        inventories="sha256:j", scanner="2", scanned_at=LATER, platforms=(NewPlatform(FACTS, 1, (OWN,)),)
    )
    assert store.fleet.add(newer_scan) == []
    (image,) = store.fleet.iterate_images()
    assert (image.scanner, image.seen_at, image.scanned_at) == ("2", NOW, LATER)
    assert [row.layer for row in store.fleet.iterate_bundles_of_images()] == ["sha256:2"]


def test_components_are_distinguished_by_every_field_that_matching_reads(store: Store) -> None:
    bundle = NewBundle(None, False, {ZLIB: 1, OLD_ZLIB: 1, ZLIB._replace(module="a:1"): 1}, {})
    assert len(store.fleet.add(NEW._replace(platforms=(NewPlatform(FACTS, 3, (bundle,)),)))) == 3
    assert store.fleet.list_ecosystems() == ["Debian:12", "Debian:13"]


def test_an_absent_module_and_vendor_are_stored_as_empty_texts(store: Store) -> None:
    """The key of a component is the digest of its texts: another one would add every component once more."""
    component = ZLIB._replace(module="nodejs:18")
    assert component.list_fields() == (*ZLIB[:6], "nodejs:18", "")
    assert Component.from_fields(component.list_fields()) == component
    assert ZLIB.key == hashlib.blake2b("\0".join((*ZLIB[:6], "", "")).encode(), digest_size=16).hexdigest()
    store.fleet.add(NEW)
    assert {component: component.module for _, component in store.fleet.iterate_components()} == {
        FLASK: None,
        ZLIB: None,
    }
    with store.database.read() as connection:
        assert connection.exec_driver_sql("SELECT DISTINCT module, vendor FROM fleet_components").all() == [("", "")]


def test_components_without_a_feed_are_uncovered(store: Store) -> None:
    store.fleet.add(NEW)
    numbers = number_components(store)
    assert store.fleet.list_uncovered_components([]) == sorted(numbers.values())
    assert store.fleet.list_uncovered_components([Coverage("PyPI", True, (), NOW)]) == [numbers[ZLIB]]
    partial = [Coverage("PyPI", False, ("flask",), NOW), Coverage("Debian:13", False, ("glibc",), NOW)]
    assert store.fleet.list_uncovered_components(partial) == [numbers[ZLIB]]


def match_result(store: Store, *findings: Finding, doubts: tuple[UndeterminedFact, ...] = ()) -> MatchResult:
    return MatchResult(number_components(store)[FLASK], findings, doubts)


def test_findings_of_new_components(store: Store) -> None:
    store.fleet.add(NEW)
    results = [match_result(store, FINDING, doubts=(UndeterminedFact("", "odd", "uncomparable", ("CVE-2",)),))]
    assert not store.fleet_findings.record_new(results, SOURCE, NOW)
    assert store.fleet_findings.begin(SOURCE, NOW)
    assert not store.fleet_findings.begin(SOURCE, NOW)
    assert {component for _, component in store.fleet_findings.list_unmatched_components(10)} == {FLASK, ZLIB}
    for _ in range(2):
        assert store.fleet_findings.record_new(results, SOURCE, NOW)
    assert [component for _, component in store.fleet_findings.list_unmatched_components(10)] == [ZLIB]
    (row,) = store.fleet_findings.iterate_findings()
    vulnerability = store.fleet_findings.list_vulnerabilities()[row.vulnerability]
    assert vulnerability == Vulnerability("CVE-1", ("GHSA-1",), "2026-01-01", None, 0.5, None)
    assert row.make_finding(FLASK.to_package(), vulnerability) == FINDING
    assert row.opened == NOW
    assert list(store.fleet_findings.list_undetermined()) == [
        (row.component, UndeterminedEntry("uncomparable", "odd", ("CVE-2",)))
    ]
    assert store.fleet_findings.find_components_named([("PyPI", "flask"), ("npm", "flask")]) == [row.component]
    assert store.fleet_findings.find_components_named([("Debian", "zlib")]) == [number_components(store)[ZLIB]]
    assert store.fleet_findings.find_components_named([("Alpine:v3", "zlib")]) == []


@pytest.mark.parametrize("text", ["CVE-1\0", "\ud800", '{"a,b}\\'])
def test_vulnerabilities_and_packages_are_looked_up_by_any_text(store: Store, text: str) -> None:
    for should_ignore_case in (False, True):
        assert store.component_search.find_vulnerabilities(text, should_ignore_case=should_ignore_case) == {}
    assert store.component_search.find_components_named([text]) == {}
    assert store.vulnerability_lists.list_names_starting_with(text, 10, scope=ExposureScope()) == ([], [])
    vulnerability_filter = VulnerabilityFilter(start=text)
    assert store.vulnerability_lists.count_open_vulnerabilities(vulnerability_filter, 10, scope=ExposureScope()) == 0


def test_findings_of_a_newer_database_replace_the_others(store: Store) -> None:
    store.fleet.add(NEW)
    store.fleet_findings.begin(SOURCE, NOW)
    store.fleet_findings.record_new([match_result(store, FINDING)], SOURCE, NOW)
    (first,) = store.fleet_findings.iterate_findings()
    record = store.fleet_findings.record_all
    assert record([match_result(store)], {}, NEWER, NEWER, LATER) is None
    fixed = replace(FINDING, fixed="2.0")
    assert record([match_result(store, fixed)], {}, NEWER, SOURCE, LATER) == (
        [Change(first.component, first.vulnerability, first, first._replace(fixed="2.0"))],
        set(),
    )
    assert record([match_result(store, fixed)], {}, SOURCE, NEWER, LATER) == ([], set())
    ended_finding = Change(first.component, first.vulnerability, first._replace(fixed="2.0"), None)
    assert record([match_result(store)], {}, NEWER, SOURCE, LATER) == ([ended_finding], set())
    assert list(store.fleet_findings.iterate_findings()) == []
    assert store.fleet_findings.find_source() == NEWER


def test_kev_and_epss_change_no_finding(store: Store) -> None:
    store.fleet.add(NEW)
    store.fleet_findings.begin(SOURCE, NOW)
    store.fleet_findings.record_new([match_result(store, FINDING)], SOURCE, NOW)
    ((number, vulnerability),) = store.fleet_findings.list_vulnerabilities().items()
    newer = vulnerability._replace(epss=0.75)
    assert store.fleet_findings.record_all([], {number: newer}, NEWER, SOURCE, LATER) == (
        [],
        {number_components(store)[FLASK]},
    )
    assert store.fleet_findings.record_all([], {number: newer}, SOURCE, NEWER, LATER) == ([], set())
    assert store.fleet_findings.list_vulnerabilities() == {number: newer}


def test_vulnerabilities_are_found_by_each_of_their_names(store: Store) -> None:
    store.fleet.add(NEW)
    store.fleet_findings.begin(SOURCE, NOW)
    renamed_finding = replace(FINDING, id="GHSA-2", aliases=("CVE-2", "PYSEC-2"))
    unnamed_finding = replace(FINDING, id="MAL-3", aliases=())
    store.fleet_findings.record_new([match_result(store, FINDING, renamed_finding, unnamed_finding)], SOURCE, NOW)
    numbers = {entry.name: number for number, entry in store.fleet_findings.list_vulnerabilities().items()}
    list_by_name = store.fleet_findings.list_vulnerabilities_named
    assert list_by_name(["CVE-2", "CVE-9"]) == list_by_name(["PYSEC-2", "GHSA-2"])
    assert list_by_name(["CVE-2"]).keys() == {numbers["GHSA-2"]}
    assert list_by_name(["MAL-3", "CVE-1"]).keys() == {numbers["MAL-3"], numbers["CVE-1"]}
    assert list_by_name([]) == list_by_name(["cve-1"]) == {}
    assert store.fleet_findings.list_cves() == {"CVE-1", "CVE-2"}


def test_only_changed_verdicts_are_written(store: Store) -> None:
    store.fleet.add(NEW)
    image = next(store.fleet.iterate_images()).id
    verdict = FleetVerdict("default", image, Status.APPROVED, (0, 0, 1, 0, 0, 0), None, NOW)

    def write(*verdicts: FleetVerdict) -> list[tuple[FleetVerdict | None, FleetVerdict]]:
        with store.database.write() as connection:
            changes = store.fleet_verdicts.write_changed(connection, verdicts)
            return [(change.previous, change.verdict) for change in changes]

    assert write(verdict) == [(None, verdict)]
    assert write(verdict._replace(since=LATER)) == []
    changed_verdict = verdict._replace(counts=(0, 0, 2, 0, 0, 0), next_at=LATER, since=LATER)
    assert write(changed_verdict) == [(verdict, changed_verdict._replace(since=NOW))]
    rejected_verdict = changed_verdict._replace(status=Status.REJECTED, reason='{"1,\\ \0}', next_at=None)
    assert write(rejected_verdict) == [(changed_verdict._replace(since=NOW), rejected_verdict)]
    stored_verdict = rejected_verdict._replace(reason='{"1,\\ \\x00}')
    assert store.fleet_verdicts.list_of_policy("default") == {image: stored_verdict}
    assert store.fleet_verdicts.list_of_policy("default", [image + 1]) == {}
    assert (store.fleet_verdicts.list_images("default"), store.fleet_verdicts.list_images("other")) == ({image}, set())
    assert write(changed_verdict) != []
    assert store.fleet_verdicts.list_due_images(NOW) == []
    assert store.fleet_verdicts.list_due_images(LATER) == [("default", image)]
    with store.database.write() as connection:
        store.fleet_verdicts.remove(connection, "default", [image])
    assert store.fleet_verdicts.list_of_policy("default") == {}


def list_recent_vulnerabilities(
    store: Store, images: Sequence[str], since: str, now: str
) -> Mapping[str, Sequence[Mapping[str, str]]]:
    recent_findings = store.fleet_changes.list_recent_findings(since, now)
    return store.fleet_changes.list_vulnerabilities_of(images, recent_findings)


def test_the_vulnerabilities_that_are_new_in_images_are_known_by_digest(store: Store) -> None:
    store.fleet.add(NEW)
    recent = partial(list_recent_vulnerabilities, store)
    assert recent([IMAGE], "", NOW) == {}
    store.fleet_findings.begin(SOURCE, NOW)
    store.fleet_findings.record_new([match_result(store, FINDING)], SOURCE, LATER)
    found_in = {IMAGE: [{"id": "CVE-1", "severity": "HIGH"}]}
    assert recent([IMAGE, "sha256:none"], LATER, LATER) == found_in
    assert recent([IMAGE], NOW, LATER) == found_in
    assert recent([IMAGE], "2999", "2999-01-02T00:00:00Z") == recent([], LATER, LATER) == {}
    assert recent([IMAGE], NOW, NOW) == {}  # of a clock that was ahead


def test_news_stay_until_their_events_are_written_and_then_for_a_day(store: Store) -> None:
    store.fleet.add(NEW)
    store.fleet_findings.begin(SOURCE, NOW)
    sources = [SOURCE, *(Source(f"sha256:{name}", "1") for name in "bcd")]
    first, second, third = (replace(FINDING, id=f"CVE-{number}", aliases=()) for number in (1, 2, 3))
    news = store.fleet_changes.list_unannounced_findings

    def publish(number: int, now: str, *findings: Finding) -> None:
        results = [match_result(store, *findings)]
        assert store.fleet_findings.record_all(results, {}, sources[number], sources[number - 1], now) is not None

    publish(1, NOW, first)
    announced_news = news()
    publish(2, YEAR_LATER, first, second)
    assert len(news()) == 2, "the events of the first are not written yet"
    store.fleet_changes.record_announced(announced_news, [])
    assert [entry.at for entry in news()] == [YEAR_LATER]
    store.fleet_changes.record_announced(news(), [])
    publish(3, LATER, first, second, third)
    recent = list_recent_vulnerabilities(store, [IMAGE], LATER, YEAR_LATER)
    assert [entry["id"] for entry in recent[IMAGE]] == ["CVE-3"]


def test_the_images_that_hold_a_component_are_found_with_its_layer(store: Store) -> None:
    store.fleet.add(NEW)
    store.fleet.add(NEW._replace(digest=SECOND_FACTS.image_digest, platforms=(NewPlatform(SECOND_FACTS, 3, (BASE,)),)))
    changes, numbers = store.fleet_changes, number_components(store)
    assert changes.find_images_with([numbers[FLASK]]) == [IMAGE]  # the base owns it in the other one
    assert sorted(changes.find_images_with(numbers.values())) == [IMAGE, SECOND_FACTS.image]
    occurrences = changes.list_occurrences(numbers.values(), [IMAGE])
    assert {(occurrence.digest, occurrence.component, occurrence.layer) for occurrence in occurrences} == {
        (IMAGE, numbers[ZLIB], "sha256:1"),
        (IMAGE, numbers[FLASK], "sha256:2"),
    }


def test_new_vulnerabilities_of_an_image_are_known_among_thousands_of_others(store: Store) -> None:
    second_platform = NewPlatform(SECOND_FACTS, 1, (NewBundle("sha256:3", False, {OLD_ZLIB: 1}, {}),))
    for image in (NEW, NEW._replace(digest=SECOND_FACTS.image_digest, platforms=(second_platform,))):
        store.fleet.add(image)
    store.fleet_findings.begin(SOURCE, NOW)
    other_findings = [replace(FINDING, id=f"CVE-9-{number}", aliases=()) for number in range(FINDINGS_LIMIT + 1)]
    match_result_of_many = MatchResult(number_components(store)[OLD_ZLIB], tuple(other_findings), ())
    store.fleet_findings.record_new([match_result(store, FINDING), match_result_of_many], SOURCE, LATER)
    recent = list_recent_vulnerabilities(store, [IMAGE, SECOND_FACTS.image_digest], LATER, LATER)
    assert recent[IMAGE] == [{"id": "CVE-1", "severity": "HIGH"}]
    assert len(recent[SECOND_FACTS.image_digest]) == VULNERABILITIES_LIMIT


def test_texts_that_the_database_cannot_hold_are_found_as_they_are_stored(store: Store) -> None:
    name = "shop\0\udce4"
    store.fleet.add(NEW._replace(digest=name))
    assert [image.digest for image in store.fleet.list_images([name])] == ["shop\\x00\\udce4"]
    assert not store.fleet_findings.list_vulnerabilities_named([name])
