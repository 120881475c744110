"""Each target is notified of everything that happens, once, whatever changes and whenever the server is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.notified_services import check_random_changes
from tests.services.renewal_fleet import Fleet, open_fleet
from tests.store.factories import FACTORIES, limit_to_sqlite


@pytest.fixture(params=FACTORIES)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path, request.param) as fleet:
        yield fleet


@limit_to_sqlite("fleet")
def test_targets_are_notified_of_everything_once_whatever_changes(fleet: Fleet) -> None:
    # More seeds and clocks that jump: tests/slow/test_touched_images.py.
    check_random_changes(fleet, seed=1, steps=4 if fleet.system.store.database.is_sqlite else 1)
