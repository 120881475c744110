"""Wait for the end of an execution, and map its outcome to an exit code."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.cli import approval_wait
from dockgate.cli.client import TRANSIENT_ERRORS, Client
from dockgate.cli.exit_codes import ExitCode
from dockgate.cli.output import print_retry, print_text
from dockgate.delivery.model import RunState
from dockgate.shared.errors import NotFoundError

POLL_SECONDS = 0.5
# Seconds to retry while the server does not answer.
RETRY_SECONDS = 300.0


def wait_for_end(client: Client, execution: str, timeout: float | None) -> Mapping[str, Any]:
    """The API's JSON of the execution when it has ended, or after `timeout` seconds.

    Standard error lists once, for each approval, what it waits for. Raises ServerUnreachableError when the server
    does not answer for RETRY_SECONDS.
    """
    end = None if timeout is None else time.monotonic() + timeout
    notices = WaitNotices(client)
    lost_since: float | None = None
    while True:
        try:
            view: Mapping[str, Any] = client.get("executions", execution)
            notices.show(view)
            lost_since = None
        except TRANSIENT_ERRORS as error:
            if lost_since is None:
                lost_since = time.monotonic()
                print_retry(error)
            if time.monotonic() - lost_since > RETRY_SECONDS:
                raise
        else:
            if RunState(view["execution"]["state"]).is_final or (end is not None and time.monotonic() >= end):
                return view
        time.sleep(POLL_SECONDS)


class WaitNotices:
    """Notices on standard error, one per approval, of what a waiting approval needs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._shown_keys: set[tuple[str, bool]] = set()

    def show(self, view: Mapping[str, Any]) -> None:
        """Print the approvals that wait for people, not those that wait for a scan."""
        for approval in list_waiting_approvals(view):
            key = approval["id"], bool(approval["verdict"])
            if not approval["approvers"] or key in self._shown_keys:
                continue
            self._shown_keys.add(key)
            print_text(f"{approval['id']}:", is_error=True)
            decision = approval_wait.read_caller_decision(self._client, approval)
            lines = approval_wait.list_waiting_reasons(self._client, approval, decision)
            commands = approval_wait.list_answer_commands(decision, approval["id"])
            answers = (f"{text}   {effect}" for text, effect in commands)
            for line in (*lines, *answers):
                print_text(f"  {line}", is_error=True)


def list_waiting_approvals(view: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The waiting approvals of an execution, given as the API's JSON."""
    for stage in view["stages"]:
        for action in stage["actions"]:
            if action["approval"] and action["approval"]["state"] == "Waiting":
                yield action["approval"]


def determine_exit_code(client: Client, view: Mapping[str, Any]) -> int:
    """0 succeeded, 1 rejected, 2 failed or stopped, 3 undetermined, expired or still running."""
    state = RunState(view["execution"]["state"])
    if state is RunState.SUCCEEDED:
        return ExitCode.SUCCEEDED
    if not state.is_final:
        return ExitCode.UNDETERMINED
    if state is RunState.STOPPED:
        return ExitCode.FAILED
    failed_actions = [
        action for stage in view["stages"] for action in stage["actions"] if action["state"] == RunState.FAILED
    ]
    codes = [_choose_exit_code(client, action) for action in failed_actions]
    return next(
        (code for code in (ExitCode.FAILED, ExitCode.REJECTED, ExitCode.UNDETERMINED) if code in codes), ExitCode.FAILED
    )


def format_result(view: Mapping[str, Any]) -> Iterator[str]:
    """One line with the outcome, and for a failure the command that shows details."""
    execution = view["execution"]
    state = RunState(execution["state"])
    word = state.value.lower() if state.is_final else "still running"
    reason = next(iter(str(execution["reason"] or "").splitlines()), "")
    yield f"{execution['id']}: {word}" + (f": {reason}" if reason else "")
    if state is not RunState.SUCCEEDED:
        yield f"  dockgate pipeline show {execution['id']}"


def _choose_exit_code(client: Client, action: Mapping[str, Any]) -> int:
    approval = action["approval"]
    if approval is None:
        return ExitCode.FAILED
    if approval["state"] != "Rejected":
        return ExitCode.UNDETERMINED if approval["state"] in ("Expired", "Cancelled") else ExitCode.FAILED
    if approval["decided_by"] != "policy" or not approval["verdict"]:
        return ExitCode.REJECTED
    try:
        verdict = client.get("verdicts", approval["verdict"])
    except NotFoundError:
        return ExitCode.REJECTED
    return ExitCode.UNDETERMINED if verdict["status"] == "Undetermined" else ExitCode.REJECTED
