"""What happens next in a pipeline: one pure function, asked with every state that an execution can be in."""

import pytest

from dockgate.delivery.model import (
    Action,
    ActionKey,
    ActionRun,
    ActionType,
    Execution,
    ExecutionId,
    Pipeline,
    RunState,
    Stage,
)
from dockgate.delivery.pipeline import (
    Plan,
    collect_variables,
    compute_stage_state,
    find_artifact,
    plan_next,
    plan_retry,
    resolve_variables,
)
from dockgate.shared.errors import UsageError

PIPELINE = Pipeline(
    "P",
    (
        Stage("Source", (Action("Source", ActionType.SOURCE, output="Out", namespace="SourceVariables"),)),
        Stage(
            "Build",
            (
                Action("One", ActionType.BUILD, namespace="BuildVariables"),
                Action("Two", ActionType.BUILD),
                Action("After", ActionType.BUILD, run_order=2),
            ),
        ),
        Stage("Deploy", (Action("Deploy", ActionType.DEPLOY),)),
    ),
)
NOW = "2026-11-28T10:00:00.000Z"
EXECUTION = Execution(ExecutionId("P-1"), "P", 1, 1, RunState.IN_PROGRESS, {}, started_at=NOW)


def run(stage: str, action: str, state: RunState, attempt: int = 1, reason: str | None = None) -> ActionRun:
    return ActionRun(ActionKey(ExecutionId("P-1"), stage, action, attempt), state, reason)


SOURCED = run("Source", "Source", RunState.SUCCEEDED)


def test_an_execution_begins_with_its_first_stage() -> None:
    assert plan_next(PIPELINE, EXECUTION, []).start == (ActionKey(ExecutionId("P-1"), "Source", "Source", 1),)


def test_actions_of_one_run_order_start_together_and_the_next_order_waits() -> None:
    assert [key.action for key in plan_next(PIPELINE, EXECUTION, [SOURCED]).start] == ["One", "Two"]
    half = [SOURCED, run("Build", "One", RunState.SUCCEEDED), run("Build", "Two", RunState.IN_PROGRESS)]
    assert plan_next(PIPELINE, EXECUTION, half) == Plan()
    both = [*half[:2], run("Build", "Two", RunState.SUCCEEDED)]
    assert [key.action for key in plan_next(PIPELINE, EXECUTION, both).start] == ["After"]


def test_an_action_that_waits_holds_the_stage() -> None:
    assert plan_next(PIPELINE, EXECUTION, [run("Source", "Source", RunState.WAITING)]) == Plan()


def test_a_failed_action_lets_its_neighbour_end_and_then_fails_the_execution_with_its_reason() -> None:
    failing = [
        SOURCED,
        run("Build", "One", RunState.FAILED, reason="no Dockerfile"),
        run("Build", "Two", RunState.IN_PROGRESS),
    ]
    assert plan_next(PIPELINE, EXECUTION, failing) == Plan()
    runs_after_failure = [*failing[:2], run("Build", "Two", RunState.SUCCEEDED)]
    assert plan_next(PIPELINE, EXECUTION, runs_after_failure) == Plan(
        state=RunState.FAILED, reason="Build/One: no Dockerfile"
    )


def test_an_execution_whose_actions_all_succeeded_has_succeeded() -> None:
    finished_runs = [
        run(stage.name, action.name, RunState.SUCCEEDED) for stage in PIPELINE.stages for action in stage.actions
    ]
    assert plan_next(PIPELINE, EXECUTION, finished_runs) == Plan(state=RunState.SUCCEEDED)


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED])
def test_nothing_follows_in_an_execution_that_is_over(state: RunState) -> None:
    assert plan_next(PIPELINE, Execution(ExecutionId("P-1"), "P", 1, 1, state, {}, started_at=NOW), []) == Plan()


def test_a_retry_gives_the_failed_actions_a_next_try_and_keeps_what_succeeded() -> None:
    runs = [SOURCED, run("Build", "One", RunState.FAILED), run("Build", "Two", RunState.SUCCEEDED)]
    assert plan_retry(PIPELINE, runs) == (ActionKey(ExecutionId("P-1"), "Build", "One", 2),)
    retried_runs = [*runs, run("Build", "One", RunState.SUCCEEDED, attempt=2)]
    assert [key.action for key in plan_next(PIPELINE, EXECUTION, retried_runs).start] == ["After"]
    assert plan_retry(PIPELINE, retried_runs) == ()


def test_a_stage_is_what_its_actions_last_tries_are() -> None:
    stage = PIPELINE.stages[1]
    assert compute_stage_state(stage, [SOURCED]) is RunState.PENDING
    assert compute_stage_state(stage, [run("Build", "One", RunState.SUCCEEDED)]) is RunState.IN_PROGRESS
    assert compute_stage_state(stage, [run("Build", "One", RunState.FAILED)]) is RunState.FAILED
    tried_runs = [run("Build", "One", RunState.FAILED), run("Build", "One", RunState.WAITING, attempt=2)]
    assert compute_stage_state(stage, tried_runs) is RunState.WAITING


def test_variables_and_artifacts_come_from_the_last_try() -> None:
    first = ActionRun(
        ActionKey(ExecutionId("P-1"), "Source", "Source", 1), RunState.FAILED, variables={"CommitId": "a"}, artifact="x"
    )
    last = ActionRun(
        ActionKey(ExecutionId("P-1"), "Source", "Source", 2),
        RunState.SUCCEEDED,
        variables={"CommitId": "b"},
        artifact="y",
    )
    assert collect_variables(PIPELINE, [first, last]) == {"SourceVariables": {"CommitId": "b"}}
    assert find_artifact(PIPELINE, [first, last], "Out") == "y"
    with pytest.raises(UsageError, match="'Other'"):
        find_artifact(PIPELINE, [first, last], "Other")


def test_a_variable_is_put_in_where_it_is_named_and_an_unknown_one_is_an_error() -> None:
    variables = {"BuildVariables": {"IMAGE_DIGEST": "sha256:1"}}
    assert resolve_variables("Image_Digest=#{BuildVariables.IMAGE_DIGEST}", variables) == "Image_Digest=sha256:1"
    with pytest.raises(UsageError) as error_info:
        resolve_variables("#{BuildVariables.IMAGE}", variables)
    assert "BuildVariables.IMAGE_DIGEST" in str(error_info.value.advice)


def test_the_key_of_a_try_is_a_valid_tag_of_its_own() -> None:
    keys = [
        ActionKey(ExecutionId("P-1"), stage, action, attempt)
        for stage in "AB"
        for action in ("x", "y")
        for attempt in (1, 2)
    ]
    assert len({key.tag("secret") for key in keys}) == len(keys)
    assert keys[0].tag("secret") != keys[0].tag("another")
    assert all(ActionKey.parse(str(key)) == key for key in keys)
    assert len(ActionKey(ExecutionId("p" * 48 + "-123456"), "s" * 48, "a" * 48, 999).tag("secret")) <= 128
