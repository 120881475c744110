"""Write reports in a format chosen by name. Formats are imported when they are used."""

from datetime import UTC, datetime
from typing import TextIO

from dockgate.reports import (
    INVENTORY_FORMATS,
    SHOW_ALL,
    VERDICT_FORMATS,
    GateReport,
    InventoryReport,
    ScanReport,
    View,
    load,
    load_inventory_format,
    names,
)
from dockgate.reports._clean import clean

__all__ = [
    "SHOW_ALL",
    "GateReport",
    "InventoryReport",
    "ScanReport",
    "View",
    "clean",
    "formats",
    "inventory_formats",
    "result",
    "scan_formats",
    "write",
]


def formats() -> tuple[str, ...]:
    """The names of all formats."""
    return names()


def scan_formats() -> tuple[str, ...]:
    """The names of the formats that can hold a scan."""
    return tuple(name for name in names() if name not in VERDICT_FORMATS)


def inventory_formats() -> tuple[str, ...]:
    """The names of the formats that can hold an inventory without findings."""
    return INVENTORY_FORMATS


def write(report: ScanReport | GateReport | InventoryReport, form: str, out: TextIO) -> None:
    """Write a report; one without a time gets the present time. Raises UsageError for an unsuitable format."""
    if isinstance(report, GateReport):
        load(form).gate(report, out)
    elif isinstance(report, ScanReport):
        load(form).scan(report._replace(now=report.now or _now()), out)
    else:
        load_inventory_format(form).inventory(report._replace(now=report.now or _now()), out)


def result(report: ScanReport | GateReport) -> str:
    """One line: the verdict with its reasons, or the numbers of findings and of unread paths."""
    from dockgate.reports._wording import findings_summary, plural

    if isinstance(report, GateReport):
        verdict = report.verdict
        return f"{report.reference}: {verdict.status} by policy {verdict.policy}: {verdict.summary}"
    findings = findings_summary([finding for _, matches in report.platforms for finding in matches.findings])
    unread = sum(len(inventory.unread) for inventory, _ in report.platforms)
    return f"{report.reference}: {findings}" + (f"; {plural(unread, 'path')} could not be read" if unread else "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
