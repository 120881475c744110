"""The daily summary counts the current verdicts of images, of the whole server or of an owner's repositories."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.services.test_exposure import Fleet
from tests.services.test_fleet import AdvisoryDatabase, package
from tests.services.test_image_search import judge, push
from tests.store.factories import FACTORIES, opened

from dockgate.events.rule import Target, TargetType
from dockgate.gate.model import Status
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.services.notification_summary import NotificationSummary

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Two images of two teams; the one of `team` has two tags."""
    with opened(request.param, tmp_path) as store:
        fleet = Fleet(store, AdvisoryDatabase([], {}), today=10)
        push(fleet, "ours", "team/app", package("six", "1"))
        push(fleet, "ours", "team/app", package("six", "1"), tag="2")
        push(fleet, "theirs", "other/app", package("six", "2"))
        yield fleet


def summary(fleet: Fleet, target: str) -> tuple[str, str]:
    title, text, _ = NotificationSummary(fleet.store).of(Target(target, TargetType.LOG, ""), NOW, "registry.example")
    return title, text


def test_all_is_well_while_every_image_is_approved(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.APPROVED)
    judge(fleet, "theirs", Status.APPROVED)
    assert summary(fleet, "all")[0] == "All is well: 0 services, none at risk; 2 images, all approved"


def test_rejected_images_are_counted_once_and_named(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.REJECTED, 1)
    judge(fleet, "theirs", Status.APPROVED)
    title, text = summary(fleet, "all")
    assert "1 of 2 images rejected, 0 undetermined" in title
    assert "Images: 2, rejected: 1, undetermined: 0." in text
    assert text.count("- team/app:") == 1


def test_an_undetermined_image_is_not_well(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.UNDETERMINED)
    judge(fleet, "theirs", Status.APPROVED)
    title, _ = summary(fleet, "all")
    assert "0 of 2 images rejected, 1 undetermined" in title


def test_owners_hear_of_their_own_images(fleet: Fleet) -> None:
    judge(fleet, "ours", Status.APPROVED)
    judge(fleet, "theirs", Status.REJECTED, 3)
    assignment = PolicyAssignment("ours", ("team/*",), "default", owners=("target:team",))
    fleet.store.policy_assignments.put(assignment, "ann", "2026-11-28T00:00:00.000Z")
    assert summary(fleet, "team")[0] == "All is well: 0 services, none at risk; 1 images, all approved"
    assert "1 of 2 images rejected" in summary(fleet, "all")[0]
