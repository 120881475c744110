"""Print and follow the logs of actions."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.cli.client import Client
from dockgate.cli.execution_wait import WaitNotices
from dockgate.cli.output import print_text
from dockgate.delivery.model import RunState
from dockgate.shared.errors import NotFoundError

POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _ActionAttempt:
    """One attempt of an action (0: before the first). `is_over`: it or its execution has ended."""

    stage: str
    action: str
    attempt: int
    is_over: bool
    has_succeeded: bool


def show_logs(client: Client, execution: str, stage: str | None, action: str | None, *, should_follow: bool) -> None:
    """Print the logs of the matching actions, one after the other.

    With `should_follow`, wait for each action to start and to end; standard error lists approvals that need people
    meanwhile. Raises NotFoundError without a matching action.
    """
    attempts = _iterate_attempts(client.get("executions", execution), stage, action)
    names = [(attempt.stage, attempt.action) for attempt in attempts]
    if not names:
        action_name = "/".join(filter(None, (stage, action))) or "action with a log"
        advice = f"`dockgate pipeline show {execution}` lists its actions."
        raise NotFoundError(f"execution {execution} has no {action_name}", advice)
    notices = WaitNotices(client)
    for name in names:
        newest_attempt = _wait_for_start(client, execution, *name, notices if should_follow else None)
        if newest_attempt is not None:
            if len(names) > 1:
                print_text(f"── {newest_attempt.stage} / {newest_attempt.action} ──")
            _print_log(client, execution, newest_attempt, should_follow=should_follow)


def has_failed(client: Client, execution: str, stage: str | None, action: str | None) -> bool:
    """Return whether a matching action did not succeed: it failed, was stopped, or never started."""
    attempts = _iterate_attempts(client.get("executions", execution), stage, action)
    return any(not attempt.has_succeeded for attempt in attempts)


def _iterate_attempts(view: Mapping[str, Any], stage: str | None, action: str | None) -> Iterator[_ActionAttempt]:
    has_ended = RunState(view["execution"]["state"]).is_final
    for stage_view in view["stages"]:
        for part in stage_view["actions"]:
            if part["has_log"] and stage in (None, stage_view["name"]) and action in (None, part["name"]):
                state = RunState(part["state"])
                is_over, has_succeeded = has_ended or state.is_final, state is RunState.SUCCEEDED
                yield _ActionAttempt(stage_view["name"], part["name"], part["attempt"], is_over, has_succeeded)


def _wait_for_start(
    client: Client, execution: str, stage: str, action: str, notices: WaitNotices | None
) -> _ActionAttempt | None:
    """The newest attempt; None if the action has not started and, with `notices`, never will."""
    while True:
        view = client.get("executions", execution)
        (newest_attempt,) = _iterate_attempts(view, stage, action)
        if newest_attempt.attempt:
            return newest_attempt
        if newest_attempt.is_over or notices is None:
            return None
        notices.show(view)
        time.sleep(POLL_SECONDS)


def _print_log(client: Client, execution: str, attempt: _ActionAttempt, *, should_follow: bool) -> None:
    offset = 0
    while True:
        part = client.get(
            "executions",
            execution,
            "log",
            stage=attempt.stage,
            action=attempt.action,
            attempt=attempt.attempt,
            offset=offset,
        )
        print_text(part["text"], has_newline=False)
        offset = part["offset"]
        if part["is_complete"] or not (part["text"] or should_follow):
            return
        if not part["text"]:
            time.sleep(POLL_SECONDS)
