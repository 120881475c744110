"""Amazon Inspector's `Inspector2 Scan` event: the end of an image's first scan.

It has counts and no findings. A missing count is zero. LOW, INFORMATIONAL and UNTRIAGED are only part of TOTAL. Imports
only our model and the standard library, so that it also runs in a Lambda function.
"""

from typing import Any

from dockgate.gate.external import Format, ReadContext
from dockgate.gate.external._fields import count, read_digest, read_mapping, read_text, read_timestamp
from dockgate.gate.external._report import ReportBuilder, require_image_digest
from dockgate.gate.model import NOT_ITEMISED, ExternalReport
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.model import Severity

_EVENT = "Inspector2 Scan"
_COMPLETE = "INITIAL_SCAN_COMPLETE"
_TOTAL = "TOTAL"


class InspectorScan(Format):
    """`Inspector2 Scan` events: counts only."""

    name = "inspector_scan"
    title = "Inspector2 Scan event"
    version = 2

    @override
    def can_read(self, document: Any) -> bool:
        return isinstance(document, dict) and document.get("detail-type") == _EVENT

    @override
    def read(self, document: Any, context: ReadContext) -> tuple[ExternalReport, ...]:
        """Read the scan of an image. Scans of instances and functions have the same event type, and no image."""
        detail = read_mapping(document.get("detail"))
        image = read_digest(detail.get("image-digest"))
        if not image:
            advice = "Scans of instances and functions are not supported."
            raise UsageError("the event has no detail.image-digest", advice)
        report = ReportBuilder(
            "inspector", require_image_digest([image], context), read_timestamp(document.get("time"))
        )
        status = read_text(detail.get("scan-status"))
        if status != _COMPLETE:
            report.add_undetermined(f"Inspector has not scanned the image: {status or 'no status'}.")
        _add_counts(detail.get("finding-severity-counts"), report)
        return (report.build(),)


FORMAT: Format = InspectorScan()


def _add_counts(severity_counts: Any, report: ReportBuilder) -> None:
    """Add the counts of findings: a missing one is zero.

    Without TOTAL, the severities that have no count of their own are unknown.
    """
    if not isinstance(severity_counts, dict):
        report.add_undetermined("The event has no finding counts.")
        return
    counts = {
        severity.value: count(severity_counts.get(severity.value), f"finding-severity-counts.{severity}")
        for severity in Severity
    }
    report.unlisted_counts = {word: number for word, number in counts.items() if number}
    total = count(severity_counts.get(_TOTAL), f"finding-severity-counts.{_TOTAL}")
    itemised_count = sum(counts.values())
    if _TOTAL not in severity_counts:
        report.add_undetermined("The event has no TOTAL: findings of LOW and below are not known.")
    elif total < itemised_count:
        report.add_undetermined(f"The event counts {itemised_count} findings by severity, but {total} in total.")
    elif total > itemised_count:
        report.unlisted_counts[NOT_ITEMISED] = total - itemised_count
