"""Request a verdict from a server's gate, and wait for it, also while the server restarts."""

import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dockgate import reports
from dockgate.cli.client import TRANSIENT_ERRORS, Client
from dockgate.cli.output import print_retry
from dockgate.cli.verdict import fetch_report
from dockgate.config import from_environment
from dockgate.delivery.model import ApprovalState
from dockgate.scanner.local_reference import split_scheme
from dockgate.shared.canonical import to_plain
from dockgate.shared.errors import UsageError
from dockgate.shared.retry import RetrySchedule

POLL_SECONDS = 60
# For a server that does not answer.
RETRY_SCHEDULE = RetrySchedule(first_pause=1, longest_pause=15)
# Seconds to retry without --wait while the server does not answer.
NO_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class GateRequest:
    """A request to the server's gate. `execution` is None for a new one. `timeout` is in seconds."""

    server: str
    image: str
    policy: str
    pipeline: str
    stage: str
    execution: str | None
    service: str | None
    timeout: int
    should_fetch_case: bool = False


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """The approval's state, and the report of its verdict if one decided it."""

    approval: str
    state: ApprovalState
    summary: str
    report: reports.GateReport | None


def request_verdict(
    gate_request: GateRequest,
    should_wait: bool,
    show: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> GateAnswer:
    """Request an approval, and with `should_wait` wait for its decision or until the timeout.

    Raises the server's errors at once, UnavailableError when the server cannot reach the image's registry, and
    ServerUnreachableError when the server did not answer in all that time.
    """
    seconds = gate_request.timeout if should_wait else min(NO_WAIT_SECONDS, gate_request.timeout)
    caller = _RetryingCaller(time.monotonic() + seconds, show, sleep)
    body = to_plain(replace(gate_request, execution=gate_request.execution or uuid.uuid4().hex))
    body = {name: value for name, value in body.items() if name not in ("server", "should_fetch_case")}
    with closing(Client(from_environment()._replace(server=gate_request.server.rstrip("/")))) as client:
        approval = caller.call(client.post, "approvals", body=body)["approval"]
        while should_wait and approval["state"] == ApprovalState.WAITING and caller.seconds_left > 0:
            show(f"{approval['image']} waits for its verdict")
            poll = max(1, min(POLL_SECONDS, int(caller.seconds_left)))
            approval = caller.call(client.get, "approvals", approval["id"], "answer", wait=poll)
        report = None
        if verdict := approval["verdict"]:
            report = caller.call(
                fetch_report, client, verdict, gate_request.image, should_fetch_case=gate_request.should_fetch_case
            )
    return GateAnswer(approval["id"], ApprovalState(approval["state"]), approval["summary"], report)


class _RetryingCaller:
    """A caller that retries until a deadline while the server does not answer, or is busy."""

    def __init__(self, end: float, show: Callable[[str], None], sleep: Callable[[float], None]) -> None:
        self._end, self._show, self._sleep = end, show, sleep

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._end - time.monotonic()

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call a function, and retry while the server does not answer, or is busy."""
        failures = 0
        while True:
            try:
                return function(*arguments, **keywords)
            except TRANSIENT_ERRORS as error:
                failures += 1
                pause = RETRY_SCHEDULE.compute_pause(failures)
                if self.seconds_left < pause:
                    raise
                if failures == 1:
                    self._show("")
                    print_retry(error)
                self._sleep(pause)


def require_server_policy(policy: str) -> None:
    """Raise UsageError if the policy is a local file: the server uses its own policies."""
    file = Path(policy)
    if file.suffix in (".yaml", ".yml") or "/" in policy:
        raise UsageError(
            f"--policy {policy} is a local file, but --server uses the server's policies",
            "Name one (`dockgate policy list`), or upload the file: "
            f"`dockgate policy set {file.stem} {policy}` (needs the role security).",
        )


def require_remote_image(reference: str, platform: str, local: dict[str, bool]) -> None:
    """Raise UsageError for a local image and for options of local reading: the server reads the image."""
    scheme, path = split_scheme(reference)
    if scheme or path == "-" or path.startswith((".", "/")) or Path(path).is_file():
        raise UsageError(
            f"{reference} is on this machine, but the server pulls images from registries",
            "Push it to a registry and use that reference, or run the gate here without --server.",
        )
    options = [name for name, is_set in {**local, "--platform": platform != "all"}.items() if is_set]
    if options:
        raise UsageError(
            f"{', '.join(options)} cannot be combined with --server: the server reads the image",
            "Omit it, or run the gate here without --server.",
        )
