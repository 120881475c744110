"""What actions print, and following it while they do."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.cli.client import Client
from dockgate.cli.output import echo
from dockgate.core.errors import NotFoundError
from dockgate.core.pipeline import State

POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class _Try:
    """One try of an action that prints; `attempt` is 0 before the first. `over`: it, or its execution, ended."""

    stage: str
    action: str
    attempt: int
    over: bool


def show(client: Client, execution: str, stage: str | None, action: str | None, *, follow: bool) -> None:
    """Prints the logs of the actions asked for, one after the other. With `follow`, each until it is over; one that has
    not begun is waited for. Raises NotFoundError when there is no such action."""
    names = [(one.stage, one.action) for one in _tries(client, execution, stage, action)]
    if not names:
        wanted = "/".join(filter(None, (stage, action))) or "action that prints anything"
        raise NotFoundError(
            f"{execution} has no {wanted}", f"`dockgate pipeline show` tells the actions of {execution}."
        )
    for name in names:
        begun = _begun(client, execution, *name, follow=follow)
        if begun is not None:
            if len(names) > 1:
                echo(f"── {begun.stage} / {begun.action} ──")
            _print_log(client, execution, begun, follow=follow)


def _tries(client: Client, execution: str, stage: str | None, action: str | None) -> Iterator[_Try]:
    answer: Mapping[str, Any] = client.get("executions", execution)
    ended = State(answer["execution"]["state"]).over
    for one in answer["stages"]:
        for part in one["actions"]:
            if part["log"] and stage in (None, one["name"]) and action in (None, part["name"]):
                yield _Try(one["name"], part["name"], part["attempt"], ended or State(part["state"]).over)


def _begun(client: Client, execution: str, stage: str, action: str, *, follow: bool) -> _Try | None:
    """The newest try; None for an action that did not begin, and will not when followed."""
    while True:
        (newest,) = _tries(client, execution, stage, action)
        if newest.attempt:
            return newest
        if newest.over or not follow:
            return None
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
