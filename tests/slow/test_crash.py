"""Killed before and after every effect, started again, the server ends where it ends without."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scenarios.crash_stories import Undisturbed, every_batch, kill_around, make_player
from tests.scenarios.killable_server import Mortal

from dockgate.services.durable_effects import EffectKind


@pytest.fixture(scope="module")
def play_undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Mortal], None]], Undisturbed]:
    return make_player(tmp_path_factory)


@every_batch
def test_killed_around_steps_it_ends_as_if_left_alone(
    story: Callable[[Mortal], None],
    steps: tuple[EffectKind, ...],
    play_undisturbed: Callable[[Callable[[Mortal], None]], Undisturbed],
    tmp_path: Path,
) -> None:
    kill_around(story, steps, ("before", "after"), play_undisturbed(story), tmp_path)
