"""Killed before and after every effect, started again, the server ends where it ends without.

The moments are not chosen: they are `Step`, all of it. For each step the server is killed before the step's first
time, and, started again, after it; several steps are gone through in one life, one after the other. Then tables,
registry and containers are compared with those of a server that was left alone.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.mortal import Mortal, play
from tests.scenarios.stories import ACCEPTED, SIDE, VOTED, accepted_story, main_story, side_story, voted_story

from dockgate.pipeline.effects import Step

pytestmark = pytest.mark.real

AT_ONCE = 8
"""steps at most that the server is killed around in one story"""


@dataclass(frozen=True)
class Undisturbed:
    """A story with nobody dying: where it ends, and the steps on its way in the order of their first time."""

    picture: dict[str, Any]
    order: list[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[Mortal], None]], Undisturbed]:
    """Each story once, whichever of pytest's processes asks."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def of(story: Callable[[Mortal], None]) -> Undisturbed:
        with (shared / f"{story.__name__}.json").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if told := file.read():
                return Undisturbed(**json.loads(told))
            folder = tmp_path_factory.mktemp(story.__name__)
            picture, deaths = play(folder, story, [])
            assert deaths == 0
            order = [line.removeprefix("before ") for line in (folder / "steps").read_text().splitlines()]
            found = Undisturbed(picture, list(dict.fromkeys(order)))
            file.write(json.dumps(asdict(found)).encode())
            return found

    return of


def _batches() -> Iterator[tuple[Callable[[Mortal], None], tuple[Step, ...]]]:
    """Every step, with those that happen on the way of the same story, so many at a time; the longest story last, which
    processes that begin at once would have to wait for."""
    stories = {voted_story: VOTED, accepted_story: ACCEPTED, side_story: SIDE}
    theirs = {step for steps in stories.values() for step in steps}
    for story, steps in {**stories, main_story: tuple(step for step in Step if step not in theirs)}.items():
        size = ceil(len(steps) / ceil(len(steps) / AT_ONCE))
        for start in range(0, len(steps), size):
            yield story, steps[start : start + size]


BATCHES = tuple(_batches())


@pytest.mark.long
@pytest.mark.parametrize(
    ("story", "steps"), BATCHES, ids=lambda value: "-".join(value) if isinstance(value, tuple) else "story"
)
def test_killed_around_steps_it_ends_as_if_left_alone(
    story: Callable[[Mortal], None],
    steps: tuple[Step, ...],
    undisturbed: Callable[[Callable[[Mortal], None]], Undisturbed],
    tmp_path: Path,
) -> None:
    """In the order in which the story first comes to them. A step that an earlier death has let pass by is tried in
    a story of its own."""
    left_alone = undisturbed(story)
    missing = [step for step in steps if step not in left_alone.order]
    assert missing == [], "not on the story's way, so they cannot be tried"
    ordered = sorted(steps, key=left_alone.order.index)
    moments = [moment for step in ordered for moment in (f"before {step}", f"after {step}")]
    while moments:
        folder = tmp_path / str(len(moments))
        folder.mkdir()
        ended, deaths = play(folder, story, moments)
        assert deaths, f"nobody died {moments[0]}"
        assert ended["registry"] == left_alone.picture["registry"]
        assert ended["tasks"] == left_alone.picture["tasks"]
        for table, rows in left_alone.picture["tables"].items():
            assert ended["tables"][table] == rows, table
        moments = moments[deaths:]


def test_every_step_is_killed_around() -> None:
    assert sorted(step for _, steps in BATCHES for step in steps) == sorted(Step)
