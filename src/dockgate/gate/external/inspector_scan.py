"""Amazon Inspector's `Inspector2 Scan` event: the end of an image's first scan, with counts and no findings.

Counts are sparse, and LOW, INFORMATIONAL and UNTRIAGED stand in TOTAL alone. By the core and the standard library
alone: the same file works inside a Lambda function.
"""

from typing import Any

from dockgate.gate.external import Asked, Format
from dockgate.gate.external._read import Report, count, digest, image_of, moment, table, text
from dockgate.gate.model import ExternalReport
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import Severity

_EVENT = "Inspector2 Scan"
_COMPLETE = "INITIAL_SCAN_COMPLETE"
_TOTAL = "TOTAL"


class InspectorScan:
    name = "inspector_scan"
    title = "Inspector2 Scan event"
    version = 1

    def recognises(self, document: Any) -> bool:
        return isinstance(document, dict) and document.get("detail-type") == _EVENT

    def read(self, document: Any, asked: Asked) -> tuple[ExternalReport, ...]:
        """Scans of instances and functions have the same type of event, and no image."""
        detail = table(document.get("detail"))
        stated = digest(detail.get("image-digest"))
        if not stated:
            raise UsageError("It is of no image: there is no detail.image-digest.", "Is it of an instance?")
        report = Report("inspector", image_of([stated], asked), moment(document.get("time")))
        status = text(detail.get("scan-status"))
        if status != _COMPLETE:
            report.doubt(f"Inspector has not scanned the image: {status or 'no status is told'}.")
        _count(detail.get("finding-severity-counts"), report)
        return (report.reported(),)


FORMAT: Format = InspectorScan()


def _count(given: Any, report: Report) -> None:
    """What is absent is none, but for the total: without it the severities that are not itemised are unknown."""
    if not isinstance(given, dict):
        report.doubt("The event counts no findings.")
        return
    counts = {one.value: count(given.get(one.value), f"finding-severity-counts.{one}") for one in Severity}
    report.unlisted_counts = {word: number for word, number in counts.items() if number}
    total = count(given.get(_TOTAL), f"finding-severity-counts.{_TOTAL}")
    named = sum(counts.values())
    if _TOTAL not in given:
        report.doubt("The event counts no total, so that findings of LOW and below are not known.")
    elif total < named:
        report.doubt(f"The event counts {named} findings, and {total} in total.")
    elif total > named:
        report.unlisted_counts[""] = total - named
