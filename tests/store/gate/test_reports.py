"""Contract of the store: reports of other scanners. Each changing call is made twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.samples import make_inventory, make_package
from tests.store.factories import FACTORIES, IMAGE, LATER, NOW, open_store_of_kind

from dockgate.gate.model import ExternalReport
from dockgate.identity.model import ALL_REPOSITORIES, RepositoryLimits
from dockgate.shared import canonical
from dockgate.shared.errors import ConflictError
from dockgate.store import Store
from dockgate.store.gate.reports import REPORTS_LIMIT
from dockgate.store.records import ReportScope
from dockgate.vulnerabilities.model import Matches

OTHER_IMAGE = "sha256:" + "b" * 64
REPORTED = ExternalReport("trivy", NOW, replace(make_inventory(make_package("a")), image=IMAGE), Matches((), ()))

VOUCHED = ReportScope(ALL_REPOSITORIES, ALL_REPOSITORIES)


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_a_report_is_kept_with_its_body(store: Store) -> None:
    for _ in range(2):
        record = store.reports.put(REPORTED, "ana", VOUCHED, now=NOW)
    assert (record.image, record.source, record.platform, record.by) == (IMAGE, "trivy", "linux/amd64", "ana")
    assert (record.made_at, record.is_vouched, record.added_at) == (NOW, True, NOW)
    assert store.verdicts.get_document(record.digest) == canonical.encode(REPORTED)
    assert list(store.reports.list_for_image(IMAGE)) == [record]
    assert list(store.reports.list_external_reports(IMAGE, "app")) == [REPORTED]
    assert list(store.reports.list_for_image(OTHER_IMAGE)) == []
    assert list(store.reports.list_external_reports(OTHER_IMAGE, "app")) == []


def test_the_newest_report_of_each_submitter_counts(store: Store) -> None:
    older, newer = replace(REPORTED, at="2026-11-01T00:00:00.000Z"), replace(REPORTED, at=LATER)
    store.reports.put(REPORTED, "ana", VOUCHED, now=NOW)
    store.reports.put(older, "ana", VOUCHED, now=LATER)
    assert list(store.reports.list_external_reports(IMAGE, "app")) == [REPORTED]
    store.reports.put(newer, "bob", ReportScope(), now=LATER)
    assert [(record.by, record.made_at) for record in store.reports.list_for_image(IMAGE)] == [
        ("ana", NOW),
        ("bob", LATER),
    ]
    store.reports.put(newer, "ana", VOUCHED, now=LATER)
    assert list(store.reports.list_external_reports(IMAGE, "app")) == [newer, newer]


def test_a_report_of_the_future_hides_no_later_one(store: Store) -> None:
    future, newer = replace(REPORTED, at="2999-01-01T00:00:00.000Z"), replace(REPORTED, at=LATER)
    assert store.reports.put(future, "ana", VOUCHED, now=NOW).made_at == NOW
    store.reports.put(newer, "ana", VOUCHED, now=LATER)
    assert list(store.reports.list_external_reports(IMAGE, "app")) == [newer]


def test_new_reports_of_a_source_replace_all_earlier_ones(store: Store) -> None:
    """Of an index too, whose images have digests of their own."""
    arm = replace(REPORTED, inventory=replace(REPORTED.inventory, platform="linux/arm64", image=OTHER_IMAGE))
    other_report = store.reports.put(REPORTED, "ana", ReportScope(), now=NOW)
    for _ in range(2):
        first, second = store.reports.replace(IMAGE, [REPORTED, arm], "inspector", NOW)
        assert (first.platform, second.platform, first.is_vouched) == ("linux/amd64", "linux/arm64", True)
        assert {record.image for record in (first, second)} == {IMAGE}
    assert list(store.reports.list_external_reports(IMAGE, "app")) == [REPORTED, REPORTED, arm]
    older = replace(REPORTED, at="2026-11-01T00:00:00.000Z")
    (record,) = store.reports.replace(IMAGE, [older], "inspector", LATER)
    assert list(store.reports.list_for_image(IMAGE)) == [other_report, record]
    assert (record.made_at, record.added_at) == (older.at, LATER)
    assert not store.reports.replace(IMAGE, [], "inspector", LATER)
    assert list(store.reports.list_for_image(IMAGE)) == [other_report]


def test_each_scanner_and_platform_has_its_own_report(store: Store) -> None:
    other_platform = replace(REPORTED, inventory=replace(REPORTED.inventory, platform="linux/arm64"))
    for report in (REPORTED, other_platform, replace(REPORTED, source="grype")):
        store.reports.put(report, "ana", ReportScope(), now=NOW)
    assert [(record.source, record.platform) for record in store.reports.list_for_image(IMAGE)] == [
        ("grype", "linux/amd64"),
        ("trivy", "linux/amd64"),
        ("trivy", "linux/arm64"),
    ]


def test_a_report_on_an_unknown_platform_is_one_of_its_own(store: Store) -> None:
    """None is a value of the key: a second report replaces the first, and none on a known platform."""
    unknown = replace(REPORTED, inventory=replace(REPORTED.inventory, platform=None))
    newer = replace(unknown, at=LATER)
    for report in (REPORTED, unknown, newer, newer):
        record = store.reports.put(report, "ana", VOUCHED, now=LATER)
    assert (record.platform, record.made_at) == (None, LATER)
    assert [entry.platform for entry in store.reports.list_for_image(IMAGE)] == [None, "linux/amd64"]
    assert list(store.reports.list_external_reports(IMAGE, "app")) == [newer, REPORTED]
    (replacement,) = store.reports.replace(IMAGE, [unknown], "ana", LATER)
    assert replacement.platform is None


def test_a_report_counts_in_the_repositories_of_its_author(store: Store) -> None:
    """Those of its roles and its token, whatever the image is in later."""
    writes, accepts = RepositoryLimits(("alpha/*", "bravo/*")), RepositoryLimits(("alpha/*",), ("*/x",))
    store.reports.put(REPORTED, "eve", ReportScope(writes, accepts), now=NOW)
    report_counts = {
        name: len(store.reports.list_external_reports(IMAGE, name)) for name in ("alpha/x", "bravo/x", "carol/x", "")
    }
    assert report_counts == {"alpha/x": 1, "bravo/x": 1, "carol/x": 0, "": 0}
    vouched_repositories = {
        name: store.reports.is_vouched(IMAGE, name) for name in ("alpha/x", "alpha/y", "bravo/x", "")
    }
    assert vouched_repositories == {"alpha/x": True, "alpha/y": False, "bravo/x": False, "": False}
    assert not store.reports.is_vouched(OTHER_IMAGE, "alpha/x")


def test_the_same_report_counts_where_its_author_may_act_now(store: Store) -> None:
    store.reports.put(REPORTED, "eve", ReportScope(RepositoryLimits(("alpha/*",))), now=NOW)
    assert not store.reports.put(REPORTED, "eve", ReportScope(), now=NOW).is_vouched
    assert len(store.reports.list_external_reports(IMAGE, "bravo/x")) == 1
    assert store.reports.put(REPORTED, "eve", VOUCHED, now=LATER).is_vouched
    assert store.reports.is_vouched(IMAGE, "bravo/x")


def test_one_submitter_reports_few_scanners_and_platforms_of_an_image(store: Store) -> None:
    """Each verdict on the image reads every report, and a document may name any scanner and platform."""
    for number in range(REPORTS_LIMIT):
        store.reports.put(replace(REPORTED, source=f"scanner-{number}"), "eve", VOUCHED, now=NOW)
    with pytest.raises(ConflictError, match="has reported 100 scanners and platforms"):
        store.reports.put(replace(REPORTED, source="one more"), "eve", VOUCHED, now=NOW)
    store.reports.put(replace(REPORTED, source="scanner-1", at=LATER), "eve", VOUCHED, now=LATER)
    store.reports.put(REPORTED, "ana", VOUCHED, now=NOW)
