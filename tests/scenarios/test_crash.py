"""Killed after every effect, started again, the server ends where it ends without.

The moments are not chosen: they are all of `EffectKind`. For each kind the server is killed after its first
effect, before anything is on record of it, and started again; several are gone through in one life, one by one.
Then tables, registry and containers are compared with those of a server that was left alone. Deaths before a step, most
of which are deaths after the one before, are in tests/slow.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scenarios.crash_stories import BATCHES, Undisturbed, every_batch, kill_around, left_alone
from tests.scenarios.killable_server import Mortal

from dockgate.services.effects import EffectKind

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Mortal], None]], Undisturbed]:
    return left_alone(tmp_path_factory)


@pytest.mark.long
@every_batch
def test_a_killed_server_reaches_the_same_end_state(
    story: Callable[[Mortal], None],
    steps: tuple[EffectKind, ...],
    undisturbed: Callable[[Callable[[Mortal], None]], Undisturbed],
    tmp_path: Path,
) -> None:
    kill_around(story, steps, ("after",), undisturbed(story), tmp_path)


def test_every_step_is_killed_after() -> None:
    assert sorted(step for _, steps in BATCHES for step in steps) == sorted(EffectKind)
