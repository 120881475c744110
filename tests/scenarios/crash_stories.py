"""Stories during which the server is killed around effects, compared with an undisturbed run."""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.killable_server import Mortal, play
from tests.scenarios.stories import (
    ACCEPTED,
    FIXED,
    SIDE,
    VOTED,
    play_fix_story,
    play_main_story,
    play_side_story,
    play_vote_story,
    play_waiver_story,
)

from dockgate.services.durable_effects import EffectKind

# Steps at most that the server is killed around in one story.
AT_ONCE = 8


@dataclass(frozen=True)
class Undisturbed:
    """A story without a crash: where it ends, and the steps on its way in the order of their first time."""

    picture: dict[str, Any]
    order: list[str]


def make_player(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Mortal], None]], Undisturbed]:
    """Play each story once without a crash, for all pytest processes."""
    own_folder = tmp_path_factory.getbasetemp()
    shared_folder = own_folder.parent if "PYTEST_XDIST_WORKER" in os.environ else own_folder

    def play_story(story: Callable[[Mortal], None]) -> Undisturbed:
        with (shared_folder / f"{story.__name__}.json").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if lines := file.read():
                return Undisturbed(**json.loads(lines))
            folder = tmp_path_factory.mktemp(story.__name__)
            picture, deaths = play(folder, story, [])
            assert deaths == 0
            moments = (folder / "steps").read_text().splitlines()
            order = [moment.removeprefix("before ") for moment in moments if moment.startswith("before ")]
            result = Undisturbed(picture, list(dict.fromkeys(order)))
            file.write(json.dumps(asdict(result)).encode())
            return result

    return play_story


def _group_steps() -> Iterator[tuple[Callable[[Mortal], None], tuple[EffectKind, ...]]]:
    """Every step, with those that happen on the way of the same story, so many at a time; the longest story last, which
    processes that begin at once would have to wait for."""
    stories = {play_vote_story: VOTED, play_waiver_story: ACCEPTED, play_fix_story: FIXED, play_side_story: SIDE}
    steps_of_stories = {step for steps in stories.values() for step in steps}
    for story, steps in {
        **stories,
        play_main_story: tuple(step for step in EffectKind if step not in steps_of_stories),
    }.items():
        size = ceil(len(steps) / ceil(len(steps) / AT_ONCE))
        for start in range(0, len(steps), size):
            yield story, steps[start : start + size]


BATCHES = tuple(_group_steps())

every_batch = pytest.mark.parametrize(
    ("story", "steps"), BATCHES, ids=lambda value: "-".join(value) if isinstance(value, tuple) else "story"
)


def kill_around(
    story: Callable[[Mortal], None],
    steps: Sequence[EffectKind],
    when: Sequence[str],
    reference_run: Undisturbed,
    tmp_path: Path,
) -> None:
    """Kill a server "before" or "after" each step, in the order in which the story first comes to them.

    A step that an earlier death has let pass by is tried in a story of its own.
    """
    missing_steps = [step for step in steps if step not in reference_run.order]
    assert missing_steps == [], "not on the story's way, so they cannot be tried"
    moments = [f"{entry} {step}" for step in sorted(steps, key=reference_run.order.index) for entry in when]
    while moments:
        folder = tmp_path / str(len(moments))
        folder.mkdir()
        end_state, deaths = play(folder, story, moments)
        assert deaths, f"no crash at {moments[0]}"
        assert end_state["registry"] == reference_run.picture["registry"]
        assert end_state["tasks"] == reference_run.picture["tasks"]
        for table, rows in reference_run.picture["tables"].items():
            was, undisturbed_rows = Counter(end_state["tables"][table]), Counter(rows)
            assert was == undisturbed_rows, (table, was - undisturbed_rows, undisturbed_rows - was)
        moments = moments[deaths:]
