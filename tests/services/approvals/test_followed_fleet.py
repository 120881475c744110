"""Images that were approved for external pipelines are judged as if all were judged again, whatever changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.followed_fleet import check_random_changes
from tests.services.renewal_fleet import Fleet, open_fleet
from tests.store.factories import DECISION_KINDS


@pytest.fixture(params=DECISION_KINDS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


def test_followed_images_are_those_of_judging_all_again_whatever_changes(fleet: Fleet) -> None:
    # Images are scanned again: one scan fails, another one works. More, on each database: tests/slow.
    check_random_changes(fleet, seed=233, steps=9)
