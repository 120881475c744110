"""Verdicts of a fleet that changes at random, in more ways than the suite has time for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services import followed_fleet, further_repositories, notified_services, running_services
from tests.services.changing_fleet import STEPS, check_random_changes
from tests.services.renewal_fleet import Fleet, open_fleet
from tests.services.verdicts.test_exemption_revisions import check_revisions
from tests.store.factories import FACTORIES


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


@pytest.mark.parametrize("seed", range(100, 150))
def test_verdicts_are_those_of_judging_all_images_whatever_changes(fleet: Fleet, seed: int) -> None:
    check_random_changes(fleet, seed, STEPS)


@pytest.mark.parametrize("seed", range(100, 120))
def test_verdicts_in_further_repositories_are_those_of_judging_again_whatever_changes(fleet: Fleet, seed: int) -> None:
    further_repositories.check_random_changes(fleet, seed, STEPS)


@pytest.mark.parametrize("seed", range(100, 120))
def test_services_are_those_of_judging_all_images_again_whatever_changes(fleet: Fleet, seed: int) -> None:
    running_services.check_random_changes(fleet, seed, STEPS)


@pytest.mark.parametrize("seed", range(100, 120))
def test_followed_images_are_those_of_judging_all_again_whatever_changes(fleet: Fleet, seed: int) -> None:
    followed_fleet.check_random_changes(fleet, seed, STEPS)


@pytest.mark.parametrize("can_jump", [False, True], ids=["steady", "jumping"])
@pytest.mark.parametrize("seed", range(100, 110))
def test_targets_are_notified_of_everything_once_whatever_changes(fleet: Fleet, seed: int, can_jump: bool) -> None:
    notified_services.check_random_changes(fleet, seed, STEPS, can_jump=can_jump)


@pytest.mark.parametrize("seed", range(5))
def test_an_image_whose_revision_stays_is_judged_as_before(fleet: Fleet, seed: int) -> None:
    check_revisions(fleet, seed, 5 * STEPS)
