"""Reports, written in the format that was asked for. Imports no format before it is needed."""

from typing import TextIO

from dockgate.reports import GateReport, ScanReport, load, names
from dockgate.reports._clean import clean

__all__ = ["GateReport", "ScanReport", "clean", "formats", "write"]


def formats() -> tuple[str, ...]:
    return names()


def write(report: ScanReport | GateReport, form: str, out: TextIO) -> None:
    """Raises UsageError for a format that does not exist."""
    writer = load(form)
    if isinstance(report, ScanReport):
        writer.scan(report, out)
    else:
        writer.gate(report, out)
