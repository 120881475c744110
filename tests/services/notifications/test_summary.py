"""The daily summary counts the current verdicts of images, of the whole server or of an owner's repositories."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.services.exposure_fleet import Fleet, format_day
from tests.services.fleet.test_index import AdvisoryDatabase, digest, make_package
from tests.services.image_fleet import judge, push, search
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.service_model import Service, TaskDefinition
from dockgate.delivery.service_risk import RiskTerms, RunningVerdict
from dockgate.events.model import Target, TargetType
from dockgate.gate.model import Status, Waiver
from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import PolicyAssignment, Watch, WatchStart
from dockgate.services.notifications.owners import Owners
from dockgate.services.notifications.summary import NotificationSummary
from dockgate.shared.references import ImageReference
from dockgate.shared.timestamps import format_time
from dockgate.store.records import PushedImage

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Two images of two teams; the one of `team` has two tags."""
    with open_store_of_kind(request.param, tmp_path) as store:
        fleet = Fleet(store, AdvisoryDatabase([], {}), today=10)
        push(fleet, "ours", "team/app", make_package("six", "1"))
        push(fleet, "ours", "team/app", make_package("six", "1"), tag="2")
        push(fleet, "theirs", "other/app", make_package("six", "2"))
        yield fleet


def render_summary(fleet: Fleet, target: str, now: datetime = NOW) -> tuple[str, str]:
    summaries = NotificationSummary(fleet.store, search(fleet).watched_images, fleet.database)
    described_target = Target(target, TargetType.LOG, "")
    owners = Owners.load(fleet.store, [described_target], "registry.example")
    title, text, _ = summaries.describe(described_target, owners, now)
    return title, text


def approve_all(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.APPROVED)
    judge(fleet, "theirs", Status.APPROVED)


@limit_to_sqlite("fleet")
def test_all_is_well_while_every_image_is_approved(fleet: Fleet) -> None:
    approve_all(fleet)
    assert render_summary(fleet, "all")[0] == "All is well: 0 services, none at risk; 2 images, all approved"


@limit_to_sqlite("fleet")
def test_rejected_images_are_counted_once_and_named(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.REJECTED, 1)
    judge(fleet, "theirs", Status.APPROVED)
    title, text = render_summary(fleet, "all")
    assert title == "1 of 2 images rejected"
    assert "Images: 2, rejected: 1, undetermined: 0, without a verdict: 0." in text
    assert text.count("- team/app:") == 1


@limit_to_sqlite("fleet")
def test_an_undetermined_image_is_not_well(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.UNDETERMINED)
    judge(fleet, "theirs", Status.APPROVED)
    title, _ = render_summary(fleet, "all")
    assert title == "1 image undetermined"


@limit_to_sqlite("fleet")
def test_an_image_whose_policy_is_not_clear_is_undetermined_as_in_lists(fleet: Fleet) -> None:
    approve_all(fleet)
    for name in ("a", "b"):
        fleet.store.policy_assignments.put(PolicyAssignment(name, ("team/*",), name), "ann", format_day(1))
    title, text = render_summary(fleet, "all")
    assert title == "1 image undetermined"
    assert "the policy assignments a, b match the repository team/app equally well" in text


def test_owners_get_the_summary_of_their_own_images(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.APPROVED)
    judge(fleet, "theirs", Status.REJECTED, 3)
    assignment = PolicyAssignment("ours", ("team/*",), "default", owners=(Owner("target:team"),))
    fleet.store.policy_assignments.put(assignment, "ann", "2026-11-28T00:00:00.000Z")
    assert render_summary(fleet, "team")[0] == "All is well: 0 services, none at risk; 1 image, all approved"
    assert "1 of 2 images rejected" in render_summary(fleet, "all")[0]


@limit_to_sqlite("fleet")
@pytest.mark.parametrize(
    ("repository", "is_theirs"), [(None, True), ("**", True), ("team/app", True), ("*/app", True), ("other/*", False)]
)
def test_owners_are_notified_of_the_waivers_that_apply_in_their_repositories(
    fleet: Fleet, repository: str | None, is_theirs: bool
) -> None:
    approve_all(fleet)
    assignment = PolicyAssignment("ours", ("team/*",), "default", owners=(Owner("target:team"),))
    fleet.store.policy_assignments.put(assignment, "ann", "2026-11-28T00:00:00.000Z")
    until = "2026-11-29T00:00:00.000Z"
    fleet.store.waivers.add(Waiver("w-1", "ann", "x", "CVE-2026-1", repository=repository, until=until))
    assert ("- w-1 of ann expires at 2026-11-29T00:00:00.000Z" in render_summary(fleet, "team")[1]) is is_theirs


@limit_to_sqlite("fleet")
def test_an_image_whose_scan_has_failed_is_not_well(fleet: Fleet) -> None:
    approve_all(fleet)
    store = fleet.store
    store.images.add_push(PushedImage("team/app", "3", digest("broken"), format_day(12)))
    scan = store.images.request_scan(digest("broken"), "team/app", format_day(12))
    store.images.finish_scan(digest("broken"), scan.number, (), "a layer is damaged", format_day(12))
    title, text = render_summary(fleet, "all")
    assert title == "1 image without a verdict"
    assert "- team/app:3: its scan has failed" in text


@limit_to_sqlite("fleet")
def test_an_image_that_waits_for_its_scan_or_its_verdict_is_not_well(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.APPROVED)
    fleet.store.images.add_push(PushedImage("team/app", "3", digest("new"), format_day(12)))
    title, text = render_summary(fleet, "all")
    assert title == "1 image undetermined, 1 image without a verdict"
    assert "- team/app:3: not scanned yet" in text
    assert "- other/app:1: undetermined" in text


@limit_to_sqlite("fleet")
def test_what_is_no_image_needs_no_verdict(fleet: Fleet) -> None:
    approve_all(fleet)
    store = fleet.store
    store.images.add_push(PushedImage("team/app", "sig", digest("signature"), format_day(12)))
    scan = store.images.request_scan(digest("signature"), "team/app", format_day(12))
    store.images.finish_scan(digest("signature"), scan.number, (), "a signature", format_day(12), is_image=False)
    assert render_summary(fleet, "all")[0] == "All is well: 0 services, none at risk; 2 images, all approved"


@limit_to_sqlite("fleet")
def test_a_verdict_from_before_feeds_became_stale_is_not_well(fleet: Fleet) -> None:
    approve_all(fleet)
    judge(fleet, "theirs", Status.APPROVED, cannot_judge_since=format_day(13))
    title, text = render_summary(fleet, "all")
    assert "1 image undetermined" in title
    assert f"- other/app:1: advisories are stale or missing since {format_day(13)}" in text


@limit_to_sqlite("fleet")
def test_a_second_repository_counts_by_its_own_verdict(fleet: Fleet) -> None:
    approve_all(fleet)
    fleet.store.images.add_push(PushedImage("third/app", "1", digest("ours"), format_day(12)))
    fleet.store.policy_assignments.put(PolicyAssignment("third", ("third/*",), "strict"), "ann", format_day(12))
    title, text = render_summary(fleet, "all")
    assert "1 image without a verdict" in title
    assert "- third/app:1: not judged yet" in text


@limit_to_sqlite("fleet")
def test_an_image_that_is_no_longer_watched_is_neither_approved_nor_a_worry(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.APPROVED)
    brief = PolicyAssignment("other", ("other/*",), "default", watch=Watch(WatchStart.PUSH, 86400))
    fleet.store.policy_assignments.put(brief, "ann", format_day(12))
    fleet.today = 28
    assert (
        render_summary(fleet, "all")[0] == "All is well: 0 services, none at risk; 1 image, all approved, 1 not watched"
    )


@limit_to_sqlite("fleet")
def test_stale_or_missing_advisories_are_not_well(fleet: Fleet) -> None:
    approve_all(fleet)
    title, text = render_summary(fleet, "all", NOW + timedelta(days=30))
    assert title.endswith("stale advisories")
    assert "- PyPI: last checked" in text
    fleet.database.fails = True
    title, text = render_summary(fleet, "all")
    assert title.endswith("stale advisories")
    assert "- there is no advisory database." in text


@limit_to_sqlite("fleet")
def test_a_service_that_cannot_be_judged_is_not_well(fleet: Fleet) -> None:
    approve_all(fleet)
    task = TaskDefinition("shop", 1, "web", ImageReference("registry.example/team/app", digest("ours")))
    fleet.store.services.put(Service("shop", "local", 1, 1), task)
    verdict = RunningVerdict(digest("ours"), cannot_judge="advisories are stale")
    assert fleet.store.service_risks.record("shop", None, verdict, NOW, RiskTerms(), lambda change, risk: ())
    title, text = render_summary(fleet, "all")
    assert title == "1 service not judged"
    assert "- shop: advisories are stale" in text


@limit_to_sqlite("fleet")
def test_the_deadline_of_a_service_at_risk_is_to_come_or_has_passed(fleet: Fleet) -> None:
    approve_all(fleet)
    task = TaskDefinition("shop", 1, "web", ImageReference("registry.example/team/app", digest("ours")))
    fleet.store.services.put(Service("shop", "local", 1, 1), task)
    verdict = RunningVerdict(digest("ours"), "1 critical", deadline := format_time(NOW + timedelta(hours=1)))
    assert fleet.store.service_risks.record("shop", None, verdict, NOW, RiskTerms(), lambda change, risk: ())
    assert f"- shop: replace it before {deadline}" in render_summary(fleet, "all")[1]
    later_text = render_summary(fleet, "all", NOW + timedelta(hours=2))[1]
    assert f"- shop: replace it: its deadline passed at {deadline}" in later_text


@limit_to_sqlite("fleet")
def test_a_feed_that_is_only_suspect_is_named_and_not_well(fleet: Fleet) -> None:
    approve_all(fleet)
    suspect = {"osv": "the newest record of osv: PyPI is of 2026-09-01"}
    summaries = NotificationSummary(fleet.store, search(fleet).watched_images, fleet.database, lambda: suspect)
    target = Target("all", TargetType.LOG, "")
    title, text, detail = summaries.describe(target, Owners.load(fleet.store, [target], None), NOW)
    assert title == "1 feed without new records"
    assert "- osv: the newest record of osv: PyPI is of 2026-09-01" in text.splitlines()
    assert detail["suspect_feeds"] == ["osv: the newest record of osv: PyPI is of 2026-09-01"]
