"""Asking a server's gate, and waiting for its answer through whatever happens to the server meanwhile."""

import re
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dockgate.cli.client import AwayError, Client
from dockgate.cli.verdict import fetch
from dockgate.config import from_environment
from dockgate.delivery.model import ApprovalState
from dockgate.services import reports
from dockgate.shared.errors import UsageError
from dockgate.shared.retry import RetrySchedule

POLL_SECONDS = 60
# For a server that does not answer.
ASKING_AGAIN = RetrySchedule(first=1, longest=15)
# Seconds for which a server that does not answer is asked again by those who do not wait.
PATIENCE = 300.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked of the server. `execution` "": of this command alone. `timeout` is in seconds."""

    server: str
    image: str
    policy: str
    pipeline: str
    stage: str
    execution: str
    service: str
    timeout: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """The approval's state, and the verdict behind it, if one settled it."""

    approval: str
    state: ApprovalState
    summary: str
    report: reports.GateReport | None


def seconds(text: str) -> int:
    """ "90s", "15m", "12h" or "7d". Raises ValueError."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise ValueError("write a duration such as 90s, 15m, 12h or 7d")
    return int(found[1]) * _UNITS[found[2]]


def ask(asking: Asking, wait: bool, show: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> Heard:
    """Asks once, however often that takes, and, if told to, waits until it is settled or its time is over.

    Raises at once what the server refuses with, and UnavailableError when it cannot reach the image's registry;
    AwayError when it did not answer in all that time.
    """
    with closing(Client(replace(from_environment(), server=asking.server.rstrip("/")))) as client:
        return _ask(client, asking, wait, show, sleep)


def _ask(
    client: Client, asking: Asking, wait: bool, show: Callable[[str], None], sleep: Callable[[float], None]
) -> Heard:
    patient = _Patient(time.monotonic() + (asking.timeout if wait else min(PATIENCE, asking.timeout)), show, sleep)
    body = {
        "pipeline": asking.pipeline,
        "stage": asking.stage,
        "execution": asking.execution or uuid.uuid4().hex,
        "image": asking.image,
        "policy": asking.policy,
        "service": asking.service,
        "timeout": asking.timeout,
    }
    approval = patient.insist(client.post, "approvals", body=body)["approval"]
    while wait and approval["state"] == ApprovalState.WAITING and patient.left > 0:
        show(f"{approval['image']} waits for its verdict")
        poll = max(1, min(POLL_SECONDS, int(patient.left)))
        approval = patient.insist(client.get, "approvals", approval["id"], "answer", wait=poll)
    report = None
    if approval["verdict"]:
        report = patient.insist(fetch, client, approval["verdict"], asking.image, whole=asking.whole)
    return Heard(approval["id"], ApprovalState(approval["state"]), approval["summary"], report)


class _Patient:
    """Asks a server again that does not answer, until the time is over."""

    def __init__(self, end: float, show: Callable[[str], None], sleep: Callable[[float], None]) -> None:
        self._end, self._show, self._sleep = end, show, sleep

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    def insist(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        failures = 0
        while True:
            try:
                return call(*arguments, **named)
            except AwayError as error:
                failures += 1
                pause = ASKING_AGAIN.pause(failures)
                if self.left < pause:
                    raise
                self._show(f"{error}; asking again")
                self._sleep(pause)


def require_its_policy(policy: str) -> None:
    """UsageError for a policy that is named as a file of this machine: the server judges by its own."""
    file = Path(policy)
    if file.suffix in (".yaml", ".yml") or "/" in policy:
        raise UsageError(
            f"--policy {policy} is a file, and the server judges by policies of its own",
            "Name one of them (`dockgate policy list`); who may puts a file there by "
            f"`dockgate policy set {file.stem} {policy}`.",
        )


_LOCAL = ("dir:", "docker:", "docker-archive:", "oci:", "oci-archive:", "podman:", "sbom:")


def require_remote(reference: str, asked_platform: str, local: dict[str, bool]) -> None:
    """UsageError for an image on this machine, and for options that say how this machine should read it: the server
    reads it."""
    if reference == "-" or reference.startswith((*_LOCAL, ".", "/")) or Path(reference).is_file():
        raise UsageError(
            f"{reference} is on this machine, and the server reads images from registries",
            "Push it to a registry and name it there, or judge here without --server.",
        )
    given = [name for name, there in {**local, "--platform": asked_platform != "all"}.items() if there]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot go with --server: the server reads the image",
            "Leave it out, or judge here without --server.",
        )
