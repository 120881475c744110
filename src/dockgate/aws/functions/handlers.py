"""Entry points of the functions: `record`, `judge` and `sweep`.

`record` is for approval requests, `judge` for scans, `sweep` for the schedule and new findings. The functions are built
at the first event; an AWS client is made at its first use.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, TypeVar

from dockgate.aws import messages
from dockgate.aws.approval_answers import ApprovalAnswerSender
from dockgate.aws.functions.approval_matcher import ApprovalMatcher
from dockgate.aws.functions.risk_monitor import RiskMonitor
from dockgate.aws.functions.scan_lookup import ScanLookup
from dockgate.aws.functions.settings import Settings, from_environment
from dockgate.aws.functions.table import Table
from dockgate.aws.functions.telemetry import Telemetry
from dockgate.aws.functions.verdicts import Verdicts
from dockgate.aws.functions.wait_table import WaitTable
from dockgate.aws.indexes import Indexes
from dockgate.aws.messages import Scan
from dockgate.aws.pipelines import Pipelines
from dockgate.aws.scans import Scans, is_temporary_reason
from dockgate.gate import rules
from dockgate.shared.errors import UsageError
from dockgate.shared.timestamps import format_time

T = TypeVar("T")
rules.load()
# Imported at start: Lambda gives a starting function more CPU than at its first event.

# Makes a boto3 client by its service's name.
Client = Callable[[str], Any]

# Seconds that a sweep keeps in reserve: enough for one more image with the slowest clients.
SPARE_SECONDS = 60
_COVERAGE_TYPE, _FINDING_TYPE = "Inspector2 Coverage", "Inspector2 Finding"


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions of the stack, with the clients that they share."""

    approvals: ApprovalMatcher
    risk_monitor: RiskMonitor
    telemetry: Telemetry

    def record(self, event: Any) -> dict[str, Any]:
        """Record approval requests, from SNS or a queue."""
        return self._handle_records(event, messages.parse_request, self.approvals.record_request)

    def judge(self, event: Any) -> dict[str, Any]:
        """Handle ended scans, and images that cannot be scanned, from EventBridge or a queue."""
        return self._handle_records(event, _list_ended_scans, self._record_scans)

    def _record_scans(self, scans: Sequence[Scan]) -> None:
        for scan in scans:
            self.approvals.record_scan(scan)

    def sweep(self, event: Any, seconds_left: Callable[[], float] = lambda: float("inf")) -> dict[str, Any]:
        """Answer waiting approvals and judge running images again, on the schedule.

        `Inspector2 Finding` events, one or a batch of a queue: judge their images again, each once. `seconds_left`
        gives the remaining seconds.
        """
        if not isinstance(event, dict) or "Records" in event or event.get("detail-type") == _FINDING_TYPE:
            return self._renew(event)
        try:
            waiting = self.approvals.sweep(lambda: seconds_left() < SPARE_SECONDS)
        finally:
            self.risk_monitor.renew()
        return {"waiting": waiting}

    def _renew(self, event: Any) -> dict[str, Any]:
        """Judge the images of a batch again. It fails as a whole: its events are about the same few images."""
        images: set[str] = set()
        for record in messages.iterate_records(event):
            try:
                images |= messages.parse_images(messages.parse_body(record))
            except UsageError as error:
                self.telemetry("MessageRefused", error=error.full_message)
        if images:
            self.risk_monitor.renew(images)
        return {"batchItemFailures": []}

    def _handle_records(
        self, event: Any, read_record: Callable[[dict[str, Any]], T], handle: Callable[[T], None]
    ) -> dict[str, Any]:
        """Process every message, whether or not others fail.

        Failed messages of a queue are reported and come again. For other events the first error is raised, so that
        Lambda retries and then moves the event to the dead-letter queue. A message that can never be read
        (`read_record` raises UsageError) is logged and not retried.
        """
        failed_items: list[dict[str, str]] = []
        fault: Exception | None = None
        for record in messages.iterate_records(event):
            try:
                message = read_record(messages.parse_body(record))
            except UsageError as error:
                self.telemetry("MessageRefused", error=error.full_message)
                continue
            try:
                handle(message)
            except Exception as error:
                self.telemetry("MessageFailed", error=f"{type(error).__name__}: {error}")
                if record.id:
                    failed_items.append({"itemIdentifier": record.id})
                else:
                    fault = fault or error
        if fault is not None:
            raise fault
        return {"batchItemFailures": failed_items}


def _list_ended_scans(event: dict[str, Any]) -> Sequence[Scan]:
    """The ended scans of an event."""
    if event.get("detail-type") == _COVERAGE_TYPE:
        return [scan for scan in messages.parse_coverage(event) if not is_temporary_reason(scan.status)]
    scan = messages.parse_scan(event)
    return [scan] if scan else []


class OnUse:
    """A client that is made at its first use."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


def make_functions(settings: Settings, client: Client, clock: Callable[[], float] = time.time) -> Functions:
    """The functions with these clients; `clock` gives epoch seconds."""
    clients = {name: OnUse(partial(client, name)) for name in _SERVICES}
    log_event = Telemetry(clock=clock)
    waits = WaitTable(Table(clients["dynamodb"], settings.table), clock)
    should_read_details = settings.thresholds is None
    account = settings.partition, settings.region, settings.account
    scans = Scans(clients["inspector2"], waits, *account, should_read_details, clock)
    scan_lookup = ScanLookup(waits, scans, Indexes(clients["ecr"]), log_event)
    verdicts = Verdicts(
        settings, clients["s3"], clients["ssm"], lambda: format_time(datetime.fromtimestamp(clock(), UTC))
    )
    answer_sender = ApprovalAnswerSender(clients["codepipeline"])
    pipelines = Pipelines(clients["codepipeline"], settings.actions, settings.account, settings.region, clock)
    at_risk = settings.services, settings.topic, settings.risk_days, settings.risk_notice_days
    return Functions(
        ApprovalMatcher(waits, pipelines, scan_lookup, verdicts, answer_sender, settings.patience, log_event, clock),
        RiskMonitor(clients["ecs"], clients["sns"], waits, scan_lookup, verdicts, *at_risk, log_event, clock),
        log_event,
    )


_SERVICES = ("codepipeline", "dynamodb", "ecr", "ecs", "inspector2", "s3", "sns", "ssm")


def record(event: Any, context: Any) -> dict[str, Any]:
    """Record approval requests (messages of the approval topic)."""
    return _get_functions().record(event)


def judge(event: Any, context: Any) -> dict[str, Any]:
    """Judge ended scans (events of Inspector)."""
    return _get_functions().judge(event)


def sweep(event: Any, context: Any) -> dict[str, Any]:
    """Answer what still waits, and judge what runs (the clock, events of findings)."""
    return _get_functions().sweep(event, lambda: float(context.get_remaining_time_in_millis()) / 1000)


@cache
def _get_functions() -> Functions:
    return make_functions(from_environment(os.environ), _make_client)


def _make_client(name: str) -> Any:
    """A client that tries a call three times, for at most half a minute: less than the functions' own timeout."""
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 3}
    return boto3.client(name, config=Config(connect_timeout=3, read_timeout=7, retries=retries))
