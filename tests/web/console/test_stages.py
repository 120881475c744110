"""What a list says of an execution that waits."""

from dataclasses import replace

import pytest
from tests.store.factories import approval

from dockgate.delivery.model import Approvers
from dockgate.web.console.pages.stages import describe_commit, describe_wait


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
    assert describe_wait(replace(approval(), approvers=approvers, verdict=verdict), supporters) == expected


def test_the_commit_of_an_execution_is_that_of_its_trigger_or_of_its_source_action() -> None:
    source = {"CommitId": "b" * 40, "RepositoryName": "app", "BranchName": "main", "CommitMessage": "m", "Author": "a"}
    by_hand = describe_commit({}, [{}, source])
    assert by_hand == {"id": "b" * 40, "repository": "app", "branch": "main", "message": "m", "author": "a"}
    assert describe_commit({"commit": "c" * 40, "repository": "app"}, [])["id"] == "c" * 40
    assert describe_commit({}, [])["id"] == ""
