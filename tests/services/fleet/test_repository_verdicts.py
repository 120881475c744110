"""An image in several repositories: each has its own policy and waivers, and none shows the verdict of another."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.planned_images import MissingAdvisories, OldAdvisories
from tests.services.fleet.promoted_image import ASSIGNMENT, IMAGE, LAX, STRICT, Promoted
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.model import Action, ActionType, Pipeline, Stage
from dockgate.delivery.registry_access import OPERATOR
from dockgate.gate.model import Waiver
from dockgate.gate.policy_reference import PolicyReference
from dockgate.services.verdicts.case_builder import DeploymentContext
from dockgate.shared.errors import DeployError
from dockgate.store.records import PushedImage
from dockgate.store.verdict_causes import Check, VerdictCause
from dockgate.vulnerabilities.model import Severity


@pytest.fixture(params=sorted(FACTORIES))
def promoted_image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Promoted]:
    result = Promoted(tmp_path, request.param)
    yield result
    result.system.discard()


@limit_to_sqlite("promoted_image")
def test_a_stricter_repository_shows_and_announces_its_own_verdict(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Approved"}
    promoted_image.publish(Severity.LOW)
    for _ in range(2):
        promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Rejected"}
    assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected")]
    events = promoted_image.system.store.event_log.read(limit=1000)
    (change,) = (event.body["detail"] for event in events if event.detail_type == "verdict.changed")
    new = promoted_image.system.advisories.advisories[-1].id
    assert change["vulnerabilities"] == [{"id": new, "severity": "LOW"}]


@limit_to_sqlite("promoted_image")
def test_a_repository_shows_and_announces_the_verdict_of_the_policy_that_it_has_now(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, LAX, ASSIGNMENT.replace("strict", "lax"))
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Approved"}
    for policy, status in (("strict", "Rejected"), ("lax", "Approved"), ("strict", "Rejected")):
        promoted_image.apply(ASSIGNMENT.replace("strict", policy))
        for _ in range(2):
            promoted_image.judge()
        assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": status}
    assert promoted_image.list_changes() == [
        ("prod/app", "Approved", "Rejected"),
        ("prod/app", "Rejected", "Approved"),
        ("prod/app", "Approved", "Rejected"),
    ]
    details = [event.body["detail"] for event in promoted_image.system.store.event_log.read(limit=1000)]
    policies = [(detail["policy"], detail["former_policy"]) for detail in details if "previous" in detail]
    assert policies == [("strict", "lax"), ("lax", "strict"), ("strict", "lax")]
    assert len(promoted_image.system.store.verdicts.list_of_image(IMAGE)) == 5


@limit_to_sqlite("promoted_image")
def test_an_approval_by_another_policy_hides_and_changes_nothing_in_the_repository(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, LAX, ASSIGNMENT)
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    use_cases = promoted_image.system.use_cases
    use_cases.verdicts.judge_followed(
        IMAGE, "prod/app", PolicyReference("lax")
    )  # as for an approval that was requested by it
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Rejected"}
    for _ in range(2):
        promoted_image.system.clock.ahead += timedelta(hours=1)
        promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Rejected"}
    assert promoted_image.list_changes() == []


@limit_to_sqlite("promoted_image")
def test_owners_are_notified_of_the_changed_verdict_on_what_was_approved_in_their_repository(
    promoted_image: Promoted,
) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    promoted_image.follow("prod/app", PolicyReference("strict"))
    promoted_image.judge()
    promoted_image.publish(Severity.LOW)
    system = promoted_image.system
    promoted_image.judge()  # before the followed images
    assert promoted_image.list_changes() == []
    for _ in range(2):
        system.use_cases.approved_images.review()
        promoted_image.judge()
        assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Rejected"}
        assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected")]
    system.advisories.advisories.pop()
    system.use_cases.verdict_renewal.renew()
    for _ in range(2):
        system.use_cases.approved_images.review()
        promoted_image.judge()
        assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Approved"}
    assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected"), ("prod/app", "Rejected", "Approved")]


@limit_to_sqlite("promoted_image")
def test_what_is_not_followed_any_more_is_judged_like_other_images(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    promoted_image.follow("prod/app", PolicyReference("strict"))
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == "Approved"  # the review of followed images judges it
    followed_images = promoted_image.system.store.followed_images
    followed_images.end_watch(followed_images.list()[0], "It is not watched any more.", promoted_image.now())
    followed_images.forget(followed_images.list()[0])
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == "Rejected"


@limit_to_sqlite("promoted_image")
def test_the_end_of_a_watch_is_announced_once_in_each_repository(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, f"{ASSIGNMENT}watch: 2d after push\n")
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    system = promoted_image.system
    for hours in (47, 2, 2):
        system.clock.ahead += timedelta(hours=hours)
        promoted_image.judge()
    events = system.store.event_log.read(limit=1000)
    ends = [event.body["detail"] for event in events if event.detail_type == "watch.ended"]
    assert [(end["repository"], end["policy"], end["status"]) for end in ends] == [("prod/app", "strict", "Rejected")]


@limit_to_sqlite("promoted_image")
def test_an_image_whose_approval_was_rejected_in_a_repository_is_judged_there_again(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    promoted_image.publish(Severity.LOW)
    # As the answer of an approval, before the owners are notified.
    promoted_image.system.use_cases.verdicts.judge_followed(IMAGE, "prod/app", PolicyReference("strict"))
    for _ in range(2):
        promoted_image.judge()
        assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected")]
    promoted_image.system.advisories.advisories.pop()
    for _ in range(2):
        promoted_image.judge()
        assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Approved"}
    assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected"), ("prod/app", "Rejected", "Approved")]


@limit_to_sqlite("promoted_image")
def test_a_database_file_that_vanishes_announces_nothing_and_no_rejection_twice(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected")]
    system = promoted_image.system
    working_advisories = system.advisories
    for _ in range(2):
        system.advisories = MissingAdvisories(working_advisories.clock, working_advisories.advisories)
        system.clock.ahead += timedelta(hours=1)
        promoted_image.judge()
        assert promoted_image.list_statuses()["prod/app"] == "Undetermined"
        system.advisories = working_advisories
        system.clock.ahead += timedelta(hours=1)
        promoted_image.judge()
        assert promoted_image.list_statuses()["prod/app"] == "Rejected"
    assert promoted_image.list_changes() == [("prod/app", "Approved", "Rejected")]


@limit_to_sqlite("promoted_image")
def test_an_approved_image_that_was_rejected_is_reported_once_though_the_database_file_vanishes(
    promoted_image: Promoted,
) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    promoted_image.follow("prod/app", PolicyReference("strict"))
    promoted_image.publish(Severity.LOW)
    system = promoted_image.system
    working_advisories = system.advisories
    system.use_cases.approved_images.review()
    assert [entry.status for entry in system.store.followed_images.list()] == ["Rejected"]
    system.advisories = MissingAdvisories(working_advisories.clock, working_advisories.advisories)
    system.use_cases.approved_images.review()
    system.advisories = working_advisories
    system.use_cases.approved_images.review()
    (followed_image,) = system.store.followed_images.list()
    assert (followed_image.status, followed_image.changes) == ("Rejected", 1)


@limit_to_sqlite("promoted_image")
@pytest.mark.parametrize(("after", "changes"), [(False, []), (True, [("prod/app", "Approved", "Rejected")])])
def test_stale_advisories_announce_nothing_but_what_is_judged_after_them(
    promoted_image: Promoted, after: bool, changes: list[tuple[str, str, str]]
) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    system = promoted_image.system
    current_advisories = system.advisories
    system.advisories = OldAdvisories(current_advisories.clock, current_advisories.advisories)
    system.clock.ahead += timedelta(hours=1)
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == "Undetermined"
    assert promoted_image.list_changes() == []
    system.advisories = current_advisories
    if after:
        promoted_image.publish(Severity.LOW)
    system.clock.ahead += timedelta(hours=1)
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == ("Rejected" if after else "Approved")
    assert promoted_image.list_changes() == changes


@limit_to_sqlite("promoted_image")
def test_an_image_that_is_watched_again_in_a_repository_is_judged_there_at_once(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT + "watch: 2d after pull\n")
    promoted_image.judge()
    promoted_image.system.clock.ahead += timedelta(days=3)
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Undetermined"}
    promoted_image.system.store.image_uses.record_pull("prod/app", IMAGE, promoted_image.now())
    promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Rejected"}


@limit_to_sqlite("promoted_image")
def test_a_waiver_of_one_repository_hides_nothing_in_another(promoted_image: Promoted) -> None:
    promoted_image.judge()
    promoted_image.waive_in_dev()
    promoted_image.publish(Severity.CRITICAL)
    for _ in range(2):
        promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Rejected"}
    assert ("prod/app", "Approved", "Rejected") in promoted_image.list_changes()


@limit_to_sqlite("promoted_image")
def test_the_waivers_of_a_built_repository_count_once_the_server_pushed_the_image(promoted_image: Promoted) -> None:
    store = promoted_image.system.store
    waiver = Waiver("w1", "ana", "Not here.", package="pkg:deb/debian/app", repository="prod/*", until="2099-01-01")
    promoted_image.publish(Severity.CRITICAL)
    promoted_image.system.services.policies.waivers.add_waiver(waiver)
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == "Approved"
    build = Action("Build", ActionType.BUILD, input="SourceOutput", configuration={"image": "prod/app"})
    store.pipelines.put(Pipeline("web", (Stage("Build", (build,)),)), promoted_image.now())
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == "Rejected"
    store.images.add_push(PushedImage("prod/app", "2", IMAGE, promoted_image.now(), pushed_by=OPERATOR))
    promoted_image.judge()
    assert promoted_image.list_statuses()["prod/app"] == "Approved"


@limit_to_sqlite("promoted_image")
def test_a_verdict_that_was_not_requested_approves_no_deploy(promoted_image: Promoted) -> None:
    promoted_image.apply(STRICT, ASSIGNMENT)
    promoted_image.judge()
    promoted_image.publish(Severity.LOW)
    promoted_image.judge()
    promoted_image.system.advisories.advisories.pop()
    promoted_image.judge()
    assert promoted_image.list_statuses() == {"dev/app": "Approved", "prod/app": "Approved"}
    with pytest.raises(DeployError, match="no verdict"):
        promoted_image.system.use_cases.verdicts.require_approval(
            IMAGE, VerdictCause.make_check(Check.DEPLOY, "1"), DeploymentContext("prod/app")
        )
