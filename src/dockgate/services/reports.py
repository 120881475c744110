"""Reports, written in the format that was asked for. Imports no format before it is needed."""

from datetime import UTC, datetime
from typing import TextIO

from dockgate.reports import (
    BILLS,
    EVERYTHING,
    OF_VERDICTS,
    GateReport,
    InventoryReport,
    ScanReport,
    View,
    load,
    load_bill,
    names,
)
from dockgate.reports._clean import clean

__all__ = [
    "EVERYTHING",
    "GateReport",
    "InventoryReport",
    "ScanReport",
    "View",
    "bills",
    "clean",
    "formats",
    "result",
    "scan_formats",
    "write",
]


def formats() -> tuple[str, ...]:
    """All that there are, those for verdicts alone too."""
    return names()


def scan_formats() -> tuple[str, ...]:
    return tuple(name for name in names() if name not in OF_VERDICTS)


def bills() -> tuple[str, ...]:
    """The formats that can hold an inventory alone."""
    return BILLS


def write(report: ScanReport | GateReport | InventoryReport, form: str, out: TextIO) -> None:
    """Raises UsageError for a format that does not exist, or cannot hold such a report.

    A report that does not say when it was made was made now."""
    if isinstance(report, GateReport):
        load(form).gate(report, out)
    elif isinstance(report, ScanReport):
        load(form).scan(report._replace(now=report.now or _now()), out)
    else:
        load_bill(form).inventory(report._replace(now=report.now or _now()), out)


def result(report: ScanReport | GateReport) -> str:
    """The verdict with its reasons, or the number of findings and of unread paths, in one line."""
    from dockgate.reports._words import counted, plural

    if isinstance(report, GateReport):
        verdict = report.verdict
        return f"{report.reference}: {verdict.status} by policy {verdict.policy}: {verdict.summary}"
    findings = counted([finding for _, matches in report.platforms for finding in matches.findings])
    unread = sum(len(inventory.unread) for inventory, _ in report.platforms)
    return f"{report.reference}: {findings}" + (f"; {plural(unread, 'path')} could not be read" if unread else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
