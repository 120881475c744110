"""What actions print, and following it while they do."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.cli.client import Client
from dockgate.cli.execution_end import WaitNotices
from dockgate.cli.output import echo
from dockgate.delivery.model import State
from dockgate.shared.errors import NotFoundError

POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Try:
    """One try of an action that prints; `attempt` is 0 before the first. `over`: it, or its execution, ended."""

    stage: str
    action: str
    attempt: int
    over: bool
    has_succeeded: bool


def show(client: Client, execution: str, stage: str | None, action: str | None, *, follow: bool) -> None:
    """Print the logs of these actions, one after the other.

    With `follow`, each until it is over; one that has not begun is waited for, and standard error says what people
    have to answer meanwhile. Raises NotFoundError when there is no such action.
    """
    names = [
        (attempt_view.stage, attempt_view.action)
        for attempt_view in _tries(client.get("executions", execution), stage, action)
    ]
    if not names:
        wanted = "/".join(filter(None, (stage, action))) or "action that prints anything"
        raise NotFoundError(
            f"{execution} has no {wanted}", f"`dockgate pipeline show` tells the actions of {execution}."
        )
    notices = WaitNotices(client)
    for name in names:
        begun = _begun(client, execution, *name, notices if follow else None)
        if begun is not None:
            if len(names) > 1:
                echo(f"── {begun.stage} / {begun.action} ──")
            _print_log(client, execution, begun, follow=follow)


def has_failed(client: Client, execution: str, stage: str | None, action: str | None) -> bool:
    """Whether one of these actions did not succeed: it failed, was stopped, or never began."""
    return any(
        not attempt_view.has_succeeded for attempt_view in _tries(client.get("executions", execution), stage, action)
    )


def _tries(view: Mapping[str, Any], stage: str | None, action: str | None) -> Iterator[_Try]:
    ended = State(view["execution"]["state"]).is_final
    for stage_view in view["stages"]:
        for part in stage_view["actions"]:
            if part["log"] and stage in (None, stage_view["name"]) and action in (None, part["name"]):
                state = State(part["state"])
                is_over, has_succeeded = ended or state.is_final, state is State.SUCCEEDED
                yield _Try(stage_view["name"], part["name"], part["attempt"], is_over, has_succeeded)


def _begun(client: Client, execution: str, stage: str, action: str, notices: WaitNotices | None) -> _Try | None:
    """The newest try; None for an action that did not begin, and will not when followed (with `notices`)."""
    while True:
        view = client.get("executions", execution)
        (newest,) = _tries(view, stage, action)
        if newest.attempt:
            return newest
        if newest.over or notices is None:
            return None
        notices.show(view)
        time.sleep(POLL_SECONDS)


def _print_log(client: Client, execution: str, of: _Try, *, follow: bool) -> None:
    offset = 0
    while True:
        part = client.get(
            "executions", execution, "log", stage=of.stage, action=of.action, attempt=of.attempt, offset=offset
        )
        echo(part["text"], nl=False)
        offset = part["offset"]
        if part["over"] or not (part["text"] or follow):
            return
        if not part["text"]:
            time.sleep(POLL_SECONDS)
