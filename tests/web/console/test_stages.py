"""What a list says of an execution that waits."""

from dataclasses import replace

import pytest
from tests.store.factories import make_approval

from dockgate.delivery.model import ActionKey, ActionRun, Approvers, ExecutionId, RunState
from dockgate.web.console.pages.stages import describe_commit, describe_wait, shorten_reason


@pytest.mark.parametrize(
    ("count", "verdict", "supporters", "expected"),
    [
        (None, None, 0, "Approve waits for its verdict."),
        (2, None, 0, "Approve waits for its verdict and for 2 people."),
        (2, "sha256:v", 1, "Approve waits for 1 more person."),
        (1, None, 1, "Approve waits for its verdict."),
        (1, "sha256:v", 1, "Approve waits for its answer."),
    ],
)
def test_a_wait_names_what_is_missing(count: int | None, verdict: str | None, supporters: int, expected: str) -> None:
    approvers = None if count is None else Approvers(count=count)
    assert describe_wait(replace(make_approval(), approvers=approvers, verdict=verdict), supporters) == expected


def test_the_commit_of_an_execution_is_that_of_its_trigger_or_of_its_source_action() -> None:
    source = {"CommitId": "b" * 40, "RepositoryName": "app", "BranchName": "main", "CommitMessage": "m", "Author": "a"}
    by_hand = describe_commit({}, [{}, source])
    assert by_hand == {"id": "b" * 40, "repository": "app", "branch": "main", "message": "m", "author": "a"}
    assert describe_commit({"commit": "c" * 40, "repository": "app"}, [])["id"] == "c" * 40
    assert describe_commit({}, [])["id"] == ""


def test_a_reason_beside_the_stages_does_not_name_the_only_action_that_failed() -> None:
    failed_actions = [
        ActionRun(ActionKey(ExecutionId("web-1"), "Gate", name, 1), RunState.FAILED) for name in ("Approve", "Second")
    ]
    assert shorten_reason("Gate/Approve: too many", failed_actions[:1]) == "too many"
    assert shorten_reason("Gate/Approve: too many", failed_actions) == "Gate/Approve: too many"
    assert shorten_reason("stopped by ada", failed_actions[:1]) == "stopped by ada"
    assert shorten_reason(None, []) is None
