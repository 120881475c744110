"""More random pushes whose writes share statements than the suite has time for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.store.factories import FACTORIES, open_store_of_kind
from tests.store.test_batch_writes import check_pushes


@pytest.fixture(params=FACTORIES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Any]:
    return lambda name: open_store_of_kind(request.param, tmp_path / name)


@pytest.mark.parametrize("seed", range(4, 100))
def test_pushes_at_once_change_the_same_as_one_after_the_other(open_store: Callable[[str], Any], seed: int) -> None:
    check_pushes(open_store, seed)
