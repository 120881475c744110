"""A small run of the waiting stories; `tests/slow/test_waiting.py` has the full one."""

from pathlib import Path

import pytest
from tests.scenarios.waiting_stories import play


@pytest.mark.long
def test_every_waiter_is_answered_once_despite_crashes(tmp_path: Path) -> None:
    play(tmp_path, waiting=300, digests=12, repeats=3, kills=2, seconds=60)
