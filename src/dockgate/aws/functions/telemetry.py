"""Logs and metrics: one JSON line per event.

Events that count something have a metric in CloudWatch's embedded format (EMF). Tokens are never logged.
"""

import json
import sys
import time
from typing import Any, TextIO

NAMESPACE = "Dockgate"
_COUNTED_EVENTS = (
    *("ApprovalRequested", "ApprovalAnswered", "ApprovalContradicted", "ApprovalRecovered", "ApprovalNotListed"),
    *("PipelineFailed", "ScanEnded", "ServiceAtRisk", "ServiceUnjudged", "DeadlineNear", "DeadlinePassed"),
    *("MessageFailed", "MessageRefused", "ServiceFailed", "SweepIncomplete", "SweepFailed"),
)
_MEASURED_UNITS = {"seconds": "Seconds"}


class Telemetry:
    """A writer of events to `output`: by default standard output, which Lambda sends to CloudWatch."""

    def __init__(self, output: TextIO | None = None, clock: Any = time.time) -> None:
        self._output = output
        self._clock = clock

    def __call__(self, event: str, **facts: Any) -> None:
        """Write an event with its facts as one line of JSON, which has its metrics in CloudWatch's embedded format."""
        line: dict[str, Any] = {"event": event, **facts}
        if event in _COUNTED_EVENTS:
            metrics = [{"Name": event, "Unit": "Count"}]
            metrics += [
                {"Name": f"{event}{unit}", "Unit": unit} for name, unit in _MEASURED_UNITS.items() if name in facts
            ]
            line[event] = 1
            line |= {f"{event}{unit}": facts[name] for name, unit in _MEASURED_UNITS.items() if name in facts}
            dimensions = [["status"], []] if "status" in facts else [[]]
            line["_aws"] = {
                "Timestamp": int(self._clock() * 1000),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics}],
            }
        print(json.dumps(line, default=str), file=self._output or sys.stdout, flush=True)
