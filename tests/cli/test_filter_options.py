"""The values of a command's filter are those of the call's, which commands do not import for their start-up time."""

from collections.abc import Sequence

import pytest

from dockgate.cli import deploy, vex, worker
from dockgate.store.records import WorkerState
from dockgate.web.api.deploys import ServiceTrouble
from dockgate.web.api.waivers import VexState
from dockgate.web.paging import list_sort_names


@pytest.mark.parametrize(
    ("choices", "values"),
    [
        (deploy.TROUBLES, [*ServiceTrouble]),
        (vex.STATES, list_sort_names(VexState)),
        (worker.STATES, [*WorkerState]),
    ],
)
def test_a_command_offers_the_values_of_its_call(choices: Sequence[str], values: Sequence[str]) -> None:
    assert sorted(choices) == sorted(values)
