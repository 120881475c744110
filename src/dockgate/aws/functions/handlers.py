"""The entry points: `record` for approval requests, `judge` for the ends of scans, `sweep` for the clock and for new
findings. What they need is made once, at the first event, so that a cold start stays short."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from dockgate.aws.functions import messages
from dockgate.aws.functions.rendezvous import Rendezvous
from dockgate.aws.functions.running import Running
from dockgate.aws.functions.settings import Settings, from_environment
from dockgate.aws.functions.telemetry import Telemetry
from dockgate.core.errors import UsageError

Client = Callable[[str], Any]
"""a boto3 client by its service's name; "dynamodb" gives the resource"""


@dataclass(frozen=True, slots=True)
class Functions:
    rendezvous: Rendezvous
    running: Running
    telemetry: Telemetry

    def record(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Approval requests, by SNS or through a queue."""
        return self._each(event, lambda body: self.rendezvous.asked(messages.request(body)))

    def judge(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Ends of scans, by EventBridge or through a queue."""
        return self._each(event, self._scanned)

    def sweep(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The clock: whoever waits is looked after, and what runs is judged again. An `Inspector2 Finding` event: what
        runs of its images."""
        if "Records" in event or event.get("detail-type") == "Inspector2 Finding":
            return self._each(event, self._found)
        left = self.rendezvous.sweep()
        self.running.renew()
        return {"waiting": left}

    def _scanned(self, body: Any) -> None:
        scan = messages.scan(body)
        if scan is not None:
            self.rendezvous.scanned(scan)

    def _found(self, body: Any) -> None:
        digests = {digest for _, digest in messages.images(body)}
        if digests:
            self.running.renew(digests)

    def _each(self, event: Mapping[str, Any], handle: Callable[[Any], None]) -> dict[str, Any]:
        """Every message, whatever becomes of the others. Of a queue's, those that failed are named and come again; of
        any other event the first fault is raised, so that Lambda tries it again and then sets it aside. A message that
        can never be understood is told and not tried again."""
        failed: list[dict[str, str]] = []
        fault: Exception | None = None
        for record in messages.records(event):
            try:
                handle(record.body)
            except UsageError as error:
                self.telemetry("MessageRefused", error=error.whole)
            except Exception as error:
                self.telemetry("MessageFailed", error=f"{type(error).__name__}: {error}")
                if not record.id:
                    fault = fault or error
                failed.append({"itemIdentifier": record.id})
        if fault is not None:
            raise fault
        return {"batchItemFailures": failed}


def functions(settings: Settings, client: Client, clock: Callable[[], float] = time.time) -> Functions:
    """The functions over these clients; `clock` gives epoch seconds."""
    from dockgate.aws.functions.answers import Answers
    from dockgate.aws.functions.judging import Judging
    from dockgate.aws.functions.scans import Scans
    from dockgate.aws.functions.waits import Waits

    telemetry = Telemetry(clock=clock)
    waits = Waits(client("dynamodb").Table(settings.table), clock)
    scans = Scans(client("inspector2"), settings.region, settings.account)
    judging = Judging(settings, client("s3"), client("ssm"), partial(_now, clock))
    answers = Answers(client("codepipeline"))
    rendezvous = Rendezvous(waits, scans, judging, answers, settings.patience, telemetry, clock)
    running = Running(
        client("ecs"),
        client("sns"),
        waits,
        scans,
        judging,
        settings.services,
        settings.topic,
        settings.risk_days,
        telemetry,
        clock,
    )
    return Functions(rendezvous, running, telemetry)


def record(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    return _functions().record(event)


def judge(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    return _functions().judge(event)


def sweep(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    return _functions().sweep(event)


@cache
def _functions() -> Functions:
    import boto3

    def client(name: str) -> Any:
        return boto3.resource(name) if name == "dynamodb" else boto3.client(name)

    return functions(from_environment(os.environ), client)


def _now(clock: Callable[[], float]) -> str:
    return datetime.fromtimestamp(clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
