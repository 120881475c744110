"""Killed after effects, started again, the server ends where it ends without.

The server is killed after the first effect of a kind, before anything is on record of it, and started again; several
kinds are gone through in one life, one by one. Then tables, registry and containers are compared with those of a server
that was left alone. Here it dies on the way of a push to production; tests/slow kills it before and after every
effect.
"""

from pathlib import Path

import pytest
from tests.scenarios.crash_stories import BATCHES, kill_around, make_player
from tests.scenarios.stories import play_delivery_story

from dockgate.services.durable_effects import EffectKind

ON_THE_WAY = (EffectKind.ANSWER, EffectKind.DEPLOY)


@pytest.mark.real
@pytest.mark.long
def test_a_server_killed_after_effects_reaches_the_same_end_state(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    reference_run = make_player(tmp_path_factory)(play_delivery_story)
    kill_around(play_delivery_story, ON_THE_WAY, ("after",), reference_run, tmp_path)


def test_every_effect_is_in_a_story_that_is_killed_around_it() -> None:
    assert sorted(step for _, steps in BATCHES for step in steps) == sorted(EffectKind)
