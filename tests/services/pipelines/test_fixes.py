"""Fixes, interrupted at every point: the same rows, commits, branches and executions as without."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.fakes.repository_files import MemoryFiles
from tests.services.pipelines.fix_site import CHANGE, IMAGE, NEXT, REBUILD, Site
from tests.store.factories import FACTORIES, limit_to_sqlite, open_store_of_kind

from dockgate.delivery.fixes import FixChange, FixKind, FixPlan, FixState, LockUpdate
from dockgate.delivery.model import FixAction
from dockgate.delivery.repository_files import FilesEdit
from dockgate.services.durable_effects import EffectKind
from dockgate.services.pipelines.fixes import RETRIES
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override
from dockgate.store import Store


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(params=sorted(FACTORIES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


MOMENTS = [f"{when} {step}" for step in (EffectKind.PLAN_FIX, EffectKind.OFFER_FIX) for when in ("before", "after")]
PUSH_MOMENTS = [f"{when} {step}" for step in ("record-push", "observe-push") for when in ("before", "after")]


@pytest.mark.parametrize(
    ("action", "plan", "moment"),
    [
        *((FixAction.BRANCH, CHANGE, moment) for moment in (*MOMENTS, *PUSH_MOMENTS)),
        *((FixAction.REBUILD, REBUILD, moment) for moment in MOMENTS),
    ],
)
def test_a_fix_that_is_interrupted_ends_as_one_that_is_not(
    tmp_path: Path, action: FixAction, plan: FixPlan, moment: str
) -> None:
    with open_store_of_kind("sqlite", tmp_path / "alone") as store:
        uninterrupted_site = Site(store, action, plan)
        uninterrupted_site.start_server().review()
        expected_state = uninterrupted_site.read_state()
    with open_store_of_kind("sqlite", tmp_path / "killed") as store:
        site = Site(store, action, plan)
        moments = [moment]

        def die_at_moments(moment: str) -> None:
            if moment in moments:
                moments.remove(moment)
                raise Killed

        with pytest.raises(Killed):
            site.start_server(die_at_moments).review()
        site.start_server().review()
        site.start_server().review()
        assert site.read_state() == expected_state
        assert site.get_fix().state is FixState.OFFERED


def test_a_branch_that_moves_after_a_crash_gets_a_commit_on_its_new_head(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)

    def die_before_offer(moment: str) -> None:
        if moment == "before offer-fix":
            raise Killed

    with pytest.raises(Killed):
        site.start_server(die_before_offer).review()
    new = site.host.push("shop", {"requirements.txt": "flask==1.0\n", "x": "y"})
    site.start_server().review()
    fix = site.get_fix()
    assert (fix.state, fix.parent) == (FixState.OFFERED, new)
    assert fix.branch is not None
    assert [commit.id for commit in site.files.list_commits("shop", fix.branch, 2)] == [fix.commit, new]
    assert site.files.read("shop", fix.branch, "x") == b"y"


@limit_to_sqlite("store")
def test_a_remediation_that_changed_while_the_server_was_down_is_not_offered(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)

    def die_after_plan(moment: str) -> None:
        if moment == "after plan-fix":
            raise Killed

    with pytest.raises(Killed):
        site.start_server(die_after_plan).review()
    site.search.plan = None
    site.start_server().review()
    assert (site.get_fix().state, site.get_fix().reason) == (FixState.SUPERSEDED, "what fixes the image has changed")
    assert list(site.host.list_heads("shop")) == ["main"]
    assert store.event_log.read() == []


@limit_to_sqlite("store")
def test_nothing_is_done_while_the_pipeline_delivers(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)
    delivery, site.search.delivery = site.search.delivery, None
    server = site.start_server()
    server.review()
    assert store.fixes.list("shop") == []
    site.search.delivery = delivery
    server.review()
    assert site.get_fix().state is FixState.OFFERED


@limit_to_sqlite("store")
def test_the_search_is_made_once_for_the_same_inputs(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)
    server = site.start_server()
    for _ in range(3):
        server.review()
    assert site.search.searches == 1
    site.search.base = NEXT
    server.review()
    site.now += timedelta(hours=1)
    server.review()
    assert site.search.searches == 3
    assert len(store.event_log.read()) == 1


@limit_to_sqlite("store")
def test_a_rebuild_of_a_branch_that_moved_on_is_left_to_people(store: Store) -> None:
    site = Site(store, FixAction.REBUILD, REBUILD)
    site.host.push("shop", {"requirements.txt": "flask==1.0\n", "x": "y"})
    site.start_server().review()
    fix = site.get_fix()
    assert (fix.kind, fix.execution) == (FixKind.BY_HAND, None)
    assert "main has moved on since shop-1" in fix.details.obstacles[0]
    assert store.executions.list_for_pipeline("shop") == []


@limit_to_sqlite("store")
def test_a_rebuild_is_of_the_commit_that_was_judged_and_starts_once(store: Store) -> None:
    site = Site(store, FixAction.REBUILD, REBUILD)
    site.start_server().review()
    (execution,) = store.executions.list_for_pipeline("shop")
    assert (execution.trigger["commit"], execution.trigger["fresh"]) == (site.head, "yes")
    assert site.starter.proceeded == [execution.id]
    site.start_server().review()
    assert site.get_fix().state is FixState.OFFERED
    store.executions.stop(execution.id, "enough", site.clock.now())
    site.start_server().review()
    assert (site.get_fix().state, site.get_fix().reason) == (FixState.FAILED, f"{execution.id}: enough")
    site.start_server().review()
    assert len(store.executions.list_for_pipeline("shop")) == 1


def test_a_fix_ends_when_its_image_is_replaced_or_accepted(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE, per_day=9)
    site.start_server().review()
    site.search.is_bad = False
    site.start_server().review()
    assert (site.get_fix().state, site.get_fix().reason) == (FixState.SUPERSEDED, "its image is not rejected any more")
    site.search.is_bad = True
    site.search.delivery = site.make_delivery(NEXT, 2)
    site.now += timedelta(hours=1)
    site.start_server().review()
    site.search.delivery = site.make_delivery(IMAGE, 3)
    site.start_server().review()
    newest_fix, oldest_fix = store.fixes.list("shop")
    assert (newest_fix.state, newest_fix.reason) == (FixState.APPLIED, f"shop-3 delivered {IMAGE}")
    assert (oldest_fix.image, oldest_fix.state) == (IMAGE, FixState.OFFERED)  # it is delivered and rejected again


@limit_to_sqlite("store")
def test_a_fix_of_an_image_that_is_rejected_again_is_open_again_and_announced_once(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)
    site.start_server().review()
    offered_fix = site.get_fix()
    for _ in range(2):
        site.search.is_bad = False
        site.start_server().review()
        assert site.get_fix().state is FixState.SUPERSEDED
        site.search.is_bad = True
        site.start_server().review()
        assert site.get_fix() == offered_fix
    assert [event.detail_type for event in store.event_log.read()] == ["fix.available"]


@limit_to_sqlite("store")
def test_the_branch_of_a_fix_that_is_open_again_is_made_again_if_people_deleted_it(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)
    site.start_server().review()
    branch = site.get_fix().branch
    assert branch is not None
    site.search.is_bad = False
    site.start_server().review()
    site.host.rewind_branch("shop", branch, None)
    head = site.host.push("shop", {"requirements.txt": "flask==1.0\n", "README": "new\n"})
    site.search.is_bad = True
    site.start_server().review()
    assert (site.get_fix().state, site.get_fix().branch, site.get_fix().parent) == (FixState.OFFERED, branch, head)
    assert site.host.list_heads("shop")[branch] == site.get_fix().commit
    assert [event.detail_type for event in store.event_log.read()].count("fix.available") == 1


@limit_to_sqlite("store")
@pytest.mark.parametrize("action", [FixAction.BRANCH, FixAction.NOTIFY])
def test_a_fix_that_changed_while_it_was_open_and_changed_back_is_open_again(store: Store, action: FixAction) -> None:
    site = Site(store, action, CHANGE, per_day=9)
    second_plan = replace(CHANGE, changes=(FixChange("flask", "1.0", "3.0"),))
    for plan in (CHANGE, second_plan, CHANGE, second_plan):
        site.search.plan = plan
        site.now += timedelta(hours=1)
        site.start_server().review()
        open_fix = store.fixes.find_open_fix("shop")
        assert open_fix is not None
        assert (open_fix.details.changes, open_fix.state) == (plan.describe_changes(), FixState.OFFERED)
    assert len(store.fixes.list("shop")) == 2
    assert [event.detail_type for event in store.event_log.read()] == ["fix.available"] * 2


@limit_to_sqlite("store")
def test_a_fix_that_comes_back_does_not_count_twice_for_the_daily_limit(store: Store) -> None:
    site = Site(store, FixAction.NOTIFY, CHANGE)
    second_plan = replace(CHANGE, changes=(FixChange("flask", "1.0", "3.0"),))
    for hour in range(26):
        site.search.plan = second_plan if hour % 2 else CHANGE
        site.now += timedelta(hours=1)
        site.start_server().review()
    open_fix = store.fixes.find_open_fix("shop")
    assert open_fix is not None
    assert open_fix.details.changes == second_plan.describe_changes()


@limit_to_sqlite("store")
def test_a_fix_over_the_daily_limit_is_listed_as_withheld_until_it_is_made_or_not_needed(store: Store) -> None:
    site = Site(store, FixAction.NOTIFY, CHANGE)

    def review_version(version: str, hours: float = 2) -> list[tuple[str, str]]:
        """The fixes after a review that finds a change to this version."""
        site.now += timedelta(hours=hours)
        site.search.plan = replace(CHANGE, changes=(FixChange("flask", "1.0", version),))
        site.start_server().review()
        return sorted((fix.state.value, fix.details.changes[0].rpartition(" ")[2]) for fix in store.fixes.list("shop"))

    assert review_version("2.0") == [("Offered", "2.0")]
    assert review_version("3.0") == [("Superseded", "2.0"), ("Withheld", "3.0")]
    assert review_version("4.0") == [("Superseded", "2.0"), ("Withheld", "4.0")]
    assert review_version("4.0", 24) == [("Offered", "4.0"), ("Superseded", "2.0")]
    assert review_version("5.0") == [("Superseded", "2.0"), ("Superseded", "4.0"), ("Withheld", "5.0")]
    site.search.is_bad = False
    assert review_version("5.0") == [("Superseded", "2.0"), ("Superseded", "4.0")]


@limit_to_sqlite("store")
def test_a_withheld_fix_is_not_listed_any_more_once_its_pipeline_wants_none(store: Store) -> None:
    site = Site(store, FixAction.NOTIFY, CHANGE)
    for version in ("2.0", "3.0"):
        site.now += timedelta(hours=2)
        site.search.plan = replace(CHANGE, changes=(FixChange("flask", "1.0", version),))
        site.start_server().review()
    assert [fix.state for fix in store.fixes.list("shop")] == [FixState.WITHHELD, FixState.SUPERSEDED]
    store.pipelines.put(replace(site.pipeline, on_fix=None), site.clock.now())
    site.start_server().review()
    assert [fix.state for fix in store.fixes.list("shop")] == [FixState.SUPERSEDED]


@limit_to_sqlite("store")
def test_fixes_of_a_clock_that_was_ahead_do_not_count_for_the_daily_limit(store: Store) -> None:
    site = Site(store, FixAction.NOTIFY, CHANGE)
    site.now += timedelta(days=40)
    site.start_server().review()
    site.now -= timedelta(days=40)
    site.search.plan = replace(CHANGE, changes=(FixChange("flask", "1.0", "3.0"),))
    site.start_server().review()
    open_fix = store.fixes.find_open_fix("shop")
    assert open_fix is not None
    assert open_fix.details.changes == site.search.plan.describe_changes()


@limit_to_sqlite("store")
def test_a_lockfile_that_cannot_be_made_is_named_in_the_commit_and_in_the_event(store: Store) -> None:
    locks = (LockUpdate("", "package-lock.json", (("lodash", "4.17.21"),)),)
    plan = FixPlan(FixKind.CHANGE, (FixChange("lodash", "4.17.20", "4.17.21"),), {"package.json": "{}\n"}, locks)
    site = Site(store, FixAction.BRANCH, plan)
    site.start_server().review()
    fix = site.get_fix()
    assert fix.branch is not None
    (commit,) = site.files.list_commits("shop", fix.branch, 1)
    note = "package-lock.json is not changed: no stage of Dockerfile runs npm."
    assert note in commit.message
    assert "npm update --package-lock-only lodash" in commit.message
    (event,) = store.event_log.read()
    assert event.body["detail"]["obstacles"][0].startswith(note)


@limit_to_sqlite("store")
def test_a_pipeline_whose_search_fails_keeps_no_other_from_its_fix(store: Store) -> None:
    """Its repository and its image are what developers pushed: what they break is their own."""
    site = Site(store, FixAction.NOTIFY, CHANGE)
    store.pipelines.put(replace(site.pipeline, name="a-hostile-one"), site.clock.now())
    site.search.failing = "a-hostile-one"
    site.start_server().review()
    assert site.get_fix().state is FixState.OFFERED


class FailingFiles(MemoryFiles):
    """The files of git that cannot be written as often as `failures` says."""

    failures = 0

    @override
    def prepare_files(self, repository: str, edit: FilesEdit, at: datetime) -> str:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("git failed")
        return super().prepare_files(repository, edit, at)


@limit_to_sqlite("store")
def test_a_fix_is_made_when_git_answers_again(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)
    site.files = files = FailingFiles(site.host)
    files.failures = 2
    server = site.start_server()
    server.review()
    searches = site.search.searches
    server.review()
    assert (site.get_fix().state, files.failures, site.search.searches) == (FixState.PLANNED, 1, searches)
    assert store.event_log.read() == []
    site.now += timedelta(seconds=2 * RETRIES.first_pause)
    server.review()
    assert (site.get_fix().state, files.failures) == (FixState.PLANNED, 0)
    site.now -= timedelta(days=1)  # the clock was ahead
    server.review()
    assert site.get_fix().state is FixState.OFFERED
    assert len(store.event_log.read()) == 1


@limit_to_sqlite("store")
def test_a_fix_fails_if_git_does_not_answer_for_a_day(store: Store) -> None:
    site = Site(store, FixAction.BRANCH, CHANGE)
    site.files = files = FailingFiles(site.host)
    files.failures = 100
    server = site.start_server()
    server.review()
    site.now += timedelta(days=1)
    server.review()
    fix = site.get_fix()
    assert (fix.state, fix.reason) == (FixState.FAILED, "It could not be made: git failed")
    assert len(store.event_log.read()) == 1
