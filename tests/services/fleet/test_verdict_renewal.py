"""Continuous verdicts: what a change touches is judged again, from the index, and nothing else is written."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.scanned_platforms import list_platforms
from tests.scenarios.planned_images import make_advisory, make_package
from tests.services.renewal_fleet import NAMES, Fleet, open_fleet, require_valid
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.gate.model import ExternalReport, Waiver
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import LOCAL, Caller
from dockgate.scanner.model import Distribution, Inventory
from dockgate.shared.timestamps import format_time
from dockgate.store.records import BuiltStatement, ReportScope
from dockgate.vulnerabilities.database.changes import AdvisoryChanges
from dockgate.vulnerabilities.model import Finding, Matches, Rating, Severity
from dockgate.web.api.images import read_image_view

STRICT = "kind: Policy\nname: strict\nrules:\n  max_findings: {LOW: 0}\n"
VEX = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://example.org/vex",
    "author": "ana",
    "timestamp": "2026-01-01T00:00:00Z",
    "version": 1,
    "statements": [
        {
            "vulnerability": {"name": "CVE-2026-1"},
            "products": [{"@id": "pkg:deb/debian/web"}],
            "status": "not_affected",
            "justification": "vulnerable_code_not_present",
        }
    ],
}


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


@limit_to_sqlite("fleet")
def test_every_scanned_image_gets_a_verdict_that_the_gate_agrees_with(fleet: Fleet) -> None:
    fleet.publish("web")
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    assert fleet.is_consistent()
    assert fleet.list_changes() == []  # nothing has changed: these are the first verdicts


@limit_to_sqlite("fleet")
def test_a_verdict_renewed_before_the_first_of_the_fleet_hides_no_change(fleet: Fleet) -> None:
    """What runs is judged by a task of its own, which may come first."""
    verdicts = fleet.system.use_cases.push_verdicts.verdicts
    verdicts = replace(verdicts, case_builder=replace(verdicts.case_builder, advisories=fleet.feeds))
    verdicts.judge_push(fleet.images["web"], "team/web", 1)
    fleet.publish("web")
    verdict = verdicts.judge_followed(fleet.images["web"], "team/web", PolicyReference("default"))
    assert verdict is not None
    assert verdict[0].status == "Rejected"
    fleet.verdict_renewal.renew()
    assert fleet.list_changes() == [("team/web", "Approved", "Rejected")]


@limit_to_sqlite("fleet")
def test_an_advisory_between_the_verdict_on_a_push_and_the_first_of_the_fleet_changes_the_verdict(fleet: Fleet) -> None:
    verdicts = fleet.system.use_cases.push_verdicts.verdicts
    verdicts = replace(verdicts, case_builder=replace(verdicts.case_builder, advisories=fleet.feeds))
    for name in ("web", "api"):
        verdicts.judge_push(fleet.images[name], f"team/{name}", 1)
    fleet.publish("web")
    fleet.publish("job")
    for _ in range(2):
        fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"web": "Rejected", "api": "Approved", "job": "Rejected"}
    assert fleet.list_changes() == [("team/web", "Approved", "Rejected")]  # of job this is the first verdict


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("is_known", [True, False], ids=["what changed is known", "it is not known"])
def test_an_advisory_renews_what_it_touches_with_one_event_each(fleet: Fleet, is_known: bool) -> None:
    fleet.verdict_renewal.renew()
    fleet.publish("web")
    fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", "web")})) if is_known else None
    for _ in range(3):
        fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    assert fleet.list_changes() == [("team/web", "Approved", "Rejected")]
    assert fleet.is_consistent()


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("is_known", [True, False], ids=["what changed is known", "it is not known"])
def test_an_advisory_that_names_no_version_renews_verdicts_when_it_comes_and_goes(fleet: Fleet, is_known: bool) -> None:
    fleet.verdict_renewal.renew()
    fleet.publish("web")
    unclear = replace(fleet.feeds.advisories.pop(), ranges=())
    fleet.advisory_changes = AdvisoryChanges(keys=frozenset({("Debian:13", "web")})) if is_known else None
    for advisories, status in (([unclear], "Undetermined"), ([], "Approved"), ([unclear], "Undetermined")):
        fleet.feeds.advisories = advisories
        fleet.verdict_renewal.renew()
        assert fleet.list_verdicts() == {"web": status, "api": "Approved", "job": "Approved"}
        assert fleet.is_consistent()


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("is_known", [True, False], ids=["what changed is known", "it is not known"])
@pytest.mark.parametrize("feed", ["Debian:13", "kev"])
def test_a_feed_that_ends_or_begins_renews_the_verdicts_that_need_it(fleet: Fleet, feed: str, is_known: bool) -> None:
    fleet.publish("shared", Severity.LOW)
    fleet.verdict_renewal.renew()
    fleet.advisory_changes = AdvisoryChanges(ecosystems=frozenset({feed})) if is_known else None
    for missing_feeds, status in (({feed}, "Undetermined"), ((), "Approved")):
        fleet.feeds.missing_feeds = frozenset(missing_feeds)
        fleet.verdict_renewal.renew()
        assert fleet.list_verdicts() == dict.fromkeys(NAMES, status)
        assert fleet.is_consistent()


@limit_to_sqlite("fleet")
def test_nothing_is_judged_while_nothing_changes(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    moments: list[str] = []
    process = fleet.process(moments)
    process.renew()
    moments.clear()
    process.renew()
    assert moments == ["before rematch", "after rematch"]


@limit_to_sqlite("fleet")
def test_a_change_of_a_policy_waiver_or_vex_document_has_an_event(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    fleet.publish("web")
    for _ in range(2):
        fleet.verdict_renewal.renew()
    services, by = fleet.system.services, Caller(LOCAL)
    for _ in range(2):
        services.delivery.documents.apply(STRICT, "test", by)
        services.policies.waivers.add_waiver(
            Waiver("w1", "ana", "No.", package="pkg:deb/debian/web", until="2999-01-01")
        )
    for _ in range(2):
        services.policies.waivers.revoke_waiver("w1", "bob")
    data = json.dumps(VEX).encode()
    for _ in range(2):
        document = services.policies.waivers.upload_vex(data, "vex.json", "ana").document
    services.policies.waivers.remove_vex(document, "bob")
    services.policies.waivers.upload_vex(data, "vex.json", "ana")
    events = fleet.system.store.event_log.read(limit=1000)
    kinds = Counter(event.detail_type for event in events)
    assert [kinds[name] for name in ("policy.changed", "waiver.added", "waiver.revoked")] == [1, 1, 1]
    assert [kinds[name] for name in ("vex.added", "vex.removed", "advisories.changed")] == [2, 1, 2]
    require_valid(events)


@limit_to_sqlite("fleet")
def test_an_advisory_database_that_comes_back_has_an_event_each_time(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    digests = [fleet.feeds().digest]
    for _ in range(2):
        for change in (lambda: fleet.publish("web"), lambda: fleet.feeds.advisories.pop()):
            change()
            fleet.system.clock.ahead += timedelta(minutes=5)
            fleet.verdict_renewal.renew()
            digests.append(fleet.feeds().digest)
    assert len(set(digests)) == 2
    details = fleet.list_details("advisories.changed")
    assert [entry["digest"] for entry in details] == digests
    assert [entry.get("previous") for entry in details] == [None, *digests[:-1]]


@limit_to_sqlite("fleet")
def test_an_advisory_database_that_was_only_checked_again_has_no_event(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    before = fleet.list_details("advisories.changed")
    fleet.feeds.checked_at = format_time(fleet.system.clock() + timedelta(minutes=1))
    fleet.advisory_changes = AdvisoryChanges()
    fleet.verdict_renewal.renew()
    assert fleet.system.store.fleet_findings.find_source().advisories == fleet.feeds().digest  # type: ignore[union-attr]
    assert fleet.list_details("advisories.changed") == before


@limit_to_sqlite("fleet")
def test_a_fix_that_ends_a_waiver_is_announced_once_and_is_the_reason_of_the_verdict(fleet: Fleet) -> None:
    unfixed_advisory, fixed = (make_advisory("shared", Severity.CRITICAL, version) for version in ("", "2"))
    fleet.feeds.advisories = [unfixed_advisory]
    for name, scope in (("w1", "team/web"), ("w2", "elsewhere/*")):
        waiver = Waiver(name, "ana", "No fix.", vulnerability=unfixed_advisory.id, repository=scope, until_fixed=True)
        fleet.system.services.policies.waivers.add_waiver(waiver)
    fleet.verdict_renewal.renew()
    assert fleet.list_details("waiver.fixed") == []
    for advisories in ([fixed], [unfixed_advisory], [fixed]):
        fleet.feeds.advisories = advisories
        fleet.verdict_renewal.renew()
    (detail,) = fleet.list_details("waiver.fixed")
    assert (detail["waiver"], detail["fixed"]) == ("w1", [{"package": "shared", "fixed": "2"}])
    reasons = {
        entry.get("reason") for entry in fleet.list_details("verdict.changed") if entry["repository"] == "team/web"
    }
    assert "a fix exists for what the waiver w1 accepted" in reasons


@limit_to_sqlite("fleet")
@pytest.mark.parametrize("scope", ["package", "image"])
def test_the_first_fix_for_what_a_waiver_without_a_vulnerability_accepts_is_announced_once(
    fleet: Fleet, scope: str
) -> None:
    early, unfixed_advisory, late, fixed = (
        make_advisory("shared", Severity.CRITICAL, version, variant)
        for version, variant in (("2", "early"), ("", "never"), ("", "late"), ("3", "late"))
    )
    fleet.feeds.advisories = [early, unfixed_advisory, late]
    fleet.verdict_renewal.renew()
    subjects = {
        "package": {"package": "pkg:deb/debian/shared", "repository": "team/web"},
        "image": {"image": fleet.images["web"]},
    }
    subject = subjects[scope]
    for name, values in (("w1", subject), ("w2", {**subject, "package": "pkg:deb/debian/other"})):
        waiver = replace(Waiver(name, "ana", "No fix.", until_fixed=True), **values)  # type: ignore[arg-type]
        fleet.system.services.policies.waivers.add_waiver(waiver)
    fleet.verdict_renewal.renew()
    assert fleet.list_details("waiver.fixed") == []
    for advisories in (
        [early, unfixed_advisory, fixed],
        [early, unfixed_advisory, late],
        [early, unfixed_advisory, fixed],
    ):
        fleet.system.clock.ahead += timedelta(minutes=1)
        fleet.feeds.advisories = advisories
        fleet.verdict_renewal.renew()
    (detail,) = fleet.list_details("waiver.fixed")
    assert (detail["waiver"], detail["fixed"]) == ("w1", [{"package": "shared", "fixed": "3"}])


def test_a_waiver_turns_a_verdict_until_it_ends(fleet: Fleet) -> None:
    fleet.publish("shared")
    fleet.verdict_renewal.renew()
    until = format_time(fleet.system.clock() + timedelta(days=1))
    identity = fleet.feeds.advisories[0].id
    waiver = Waiver("w1", "ana", "It is never called.", vulnerability=identity, repository="team/web", until=until)
    fleet.system.services.policies.waivers.add_waiver(waiver)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts() == {"web": "Approved", "api": "Rejected", "job": "Rejected"}
    assert sorted(verdict.waived_count for verdict in fleet.list_rows()[0]) == [0, 0, 1]
    assert fleet.is_consistent()
    fleet.system.clock.ahead += timedelta(days=1, minutes=1)
    fleet.verdict_renewal.renew()
    assert set(fleet.list_verdicts().values()) == {"Rejected"}
    assert {verdict.waived_count for verdict in fleet.list_rows()[0]} == {0}
    assert fleet.list_changes() == [("team/web", "Rejected", "Approved"), ("team/web", "Approved", "Rejected")]
    reasons = [entry.get("reason") for entry in fleet.list_details("verdict.changed")]
    assert reasons == [None, f"the waiver w1 ended at {until}"]


@limit_to_sqlite("fleet")
def test_an_image_that_could_not_be_read_again_is_undetermined_until_it_is(fleet: Fleet) -> None:
    images, image, now = fleet.system.store.images, fleet.images["web"], format_time(fleet.system.clock())
    platforms = list_platforms(*images.list_inventories(image))
    fleet.verdict_renewal.renew()
    for reason, status in (("the registry does not answer", "Undetermined"), (None, "Approved")):
        scan = images.find_newest_scan(image)
        assert scan is not None
        number = images.request_new_scan(image, "team/web", scan.number, now).number
        fleet.verdict_renewal.renew()
        images.finish_scan(image, number, [] if reason else platforms, reason, now)
        fleet.verdict_renewal.index.add(image)
        fleet.verdict_renewal.renew()
        assert fleet.list_verdicts() == {"web": status, "api": "Approved", "job": "Approved"}
        view, _ = read_image_view(image, Caller(LOCAL), fleet.system.store, fleet.system.services.images)
        assert reason is None or view.summary == reason
        fleet.system.use_cases.push_verdicts.judge(image)


def make_finding(name: str) -> Finding:
    """A critical finding in a package, as another scanner reports it."""
    return Finding("CVE-2026-9", (), make_package(name), Severity.CRITICAL, Rating("advisory", Severity.CRITICAL), "2")


def report(fleet: Fleet, name: str, *findings: Finding) -> None:
    """Store what another scanner reports of an image."""
    now = format_time(fleet.system.clock())
    inventory = Inventory(fleet.images[name], "linux/amd64", None, (), (make_package(name),), ())
    external_report = ExternalReport("trivy", now, inventory, Matches(findings, ()))
    fleet.system.store.reports.put(external_report, "ana", ReportScope(), now)


def scan_again(fleet: Fleet, name: str, *packages: str) -> None:
    """Store a newer scan of an image, which finds these packages."""
    store, image = fleet.system.store, fleet.images[name]
    now = format_time(fleet.system.clock() + timedelta(seconds=1))
    scan = store.images.request_new_scan(image, f"team/{name}", 1, now)
    inventory = Inventory(
        image, "linux/amd64", Distribution("debian", "13"), (), tuple(map(make_package, packages)), ()
    )
    store.images.finish_scan(image, scan.number, list_platforms(inventory), None, now)


@limit_to_sqlite("fleet")
def test_a_report_of_another_scanner_renews_the_verdict_on_its_image(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    for findings, status in (((make_finding("web"),), "Rejected"), ((), "Approved")):
        report(fleet, "web", *findings)
        fleet.verdict_renewal.renew()
        assert fleet.list_verdicts() == {"web": status, "api": "Approved", "job": "Approved"}
        assert fleet.is_consistent()


@pytest.mark.parametrize("is_first", [True, False], ids=["its first verdict", "a later one"])
@pytest.mark.parametrize("kind", ["report", "scan"])
def test_what_comes_while_its_image_is_judged_renews_the_verdict_again(fleet: Fleet, kind: str, is_first: bool) -> None:
    fleet.publish("new")
    if not is_first:
        fleet.verdict_renewal.renew()
        report(fleet, "web")
    image = fleet.images["web"]

    def change() -> None:
        if kind == "report":
            report(fleet, "web", make_finding("web"))
        else:
            scan_again(fleet, "web", "new")
            fleet.verdict_renewal.index.add(image)

    fleet.process(meanwhile=change).renew()
    assert fleet.list_verdicts() == dict.fromkeys(NAMES, "Approved")
    fleet.process().renew()
    assert fleet.list_verdicts() == {"web": "Rejected", "api": "Approved", "job": "Approved"}
    assert fleet.is_consistent()
    fleet.process(meanwhile=pytest.fail).renew()


@limit_to_sqlite("fleet")
def test_a_provenance_statement_renews_the_verdict_on_its_image(fleet: Fleet) -> None:
    fleet.verdict_renewal.renew()
    store, image, now = fleet.system.store, fleet.images["web"], format_time(fleet.system.clock())
    built_statement = BuiltStatement("build", image, "team/web", "{}", now)
    writes: list[Callable[[], None]] = [
        partial(store.provenance.add, built_statement),
        partial(store.provenance.replace_fetched, image, "team/web", ["{}"], now),
        partial(store.provenance.record_fetch_error, image, "team/web", "It did not answer.", now),
    ]
    for write in writes:
        assert store.due_images.list() == {}
        write()
        assert store.due_images.list().keys() == {image}
        fleet.verdict_renewal.renew()


@limit_to_sqlite("fleet")
def test_an_image_that_is_scanned_again_is_judged_again(fleet: Fleet) -> None:
    fleet.publish("new")
    fleet.verdict_renewal.renew()
    scan_again(fleet, "web", "new")
    fleet.system.clock.ahead += timedelta(minutes=1)
    fleet.verdict_renewal.renew()
    assert fleet.list_verdicts()["web"] == "Rejected"
