"""Output formats for scans, verdicts and inventories: each module holds one object named `REPORT`.

The module has the name of the format (`-o sarif`); `load` imports it when it is used. Modules whose names begin with
"_" are shared: `_image_report.py` is the view of scan, verdict or inventory that most formats start from, `_lines.py`
and `_verdict_lines.py` are for people, `_exposure_*.py` write the reports of `dockgate where`.
"""

import importlib
import pkgutil
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

from dockgate.scanner.model import Inventory
from dockgate.shared.errors import UsageError
from dockgate.shared.timestamps import format_seconds
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Severity

if TYPE_CHECKING:
    from dockgate.gate.model import Verdict, VerdictCase

# Version of the JSON documents: incremented when a key is removed or changes its meaning, not when one is added.
SCHEMA_VERSION = 2

# Formats that can hold an inventory without findings: their `REPORT` is an `InventoryFormat`.
INVENTORY_FORMATS = ("cyclonedx", "json", "spdx")
# Formats that hold verdicts only, not scans.
VERDICT_FORMATS = ("case",)


class View(NamedTuple):
    """The findings that the table lists. It changes neither the verdict nor other formats.

    `severities` (none: all) and `is_only_fixable` filter them; with `is_summary` none is listed.
    """

    severities: frozenset[Severity] = frozenset()
    is_only_fixable: bool = False
    is_summary: bool = False

    def should_show(self, finding: Finding) -> bool:
        """Return whether the table lists this finding."""
        return (
            not self.is_summary
            and (not self.severities or finding.severity in self.severities)
            and not (self.is_only_fixable and not finding.fixed)
        )


SHOW_ALL = View()


class ScanReport(NamedTuple):
    """The result of a scan: an inventory and its findings for each platform.

    `reference` is as the user wrote it, `digest` is of the manifest or index, `coverage` is the advisory database's for
    the ecosystems of the image. `scanned_at` is the time of the scan (RFC 3339 in UTC); `write` fills in None.
    """

    reference: str
    digest: str
    platforms: tuple[tuple[Inventory, Matches], ...]
    coverage: tuple[Coverage, ...]
    scanned_at: str | None = None
    view: View = SHOW_ALL


class GateReport(NamedTuple):
    """A verdict, with its inventories (none where not available) and its replay case."""

    reference: str
    verdict: "Verdict"
    inventories: tuple[Inventory, ...] = ()
    case: "VerdictCase | None" = None
    view: View = SHOW_ALL


class InventoryReport(NamedTuple):
    """The packages of an image, one inventory per platform. Other fields are those of `ScanReport`."""

    reference: str
    digest: str
    inventories: tuple[Inventory, ...]
    scanned_at: str | None = None


class Report(Protocol):
    """An output format. It must escape text from images for what displays it: a terminal, a browser."""

    def write_scan(self, report: ScanReport, output: TextIO) -> None:
        """Write the packages and findings of an image."""
        ...

    def write_verdict(self, report: GateReport, output: TextIO) -> None:
        """Write a verdict with its violations and what would turn it."""
        ...


class InventoryFormat(Report, Protocol):
    """An output format that also holds an inventory without findings (a bill of materials)."""

    def write_inventory(self, report: InventoryReport, output: TextIO) -> None:
        """Write the packages of an image, without findings."""
        ...


@cache
def list_names() -> tuple[str, ...]:
    """The names of all formats, without importing one."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def list_scan_formats() -> tuple[str, ...]:
    """The names of the formats that can hold a scan."""
    return tuple(name for name in list_names() if name not in VERDICT_FORMATS)


def load(name: str) -> Report:
    """Import a format. Raises UsageError, which lists the formats."""
    if name not in list_names():
        raise UsageError(f"unknown output format {name!r}", f"Formats: {', '.join(list_names())}.")
    report: Report = importlib.import_module(f"{__name__}.{name}").REPORT
    return report


def load_inventory_format(name: str) -> InventoryFormat:
    """Import a format for inventories. Raises UsageError, which lists these formats."""
    if name not in INVENTORY_FORMATS:
        raise UsageError(
            f"the format {name!r} cannot hold an inventory without findings",
            f"Formats: {', '.join(INVENTORY_FORMATS)}.",
        )
    report: InventoryFormat = importlib.import_module(f"{__name__}.{name}").REPORT
    return report


def write(report: ScanReport | GateReport | InventoryReport, form: str, output: TextIO) -> None:
    """Write a report; one without a time gets the present time.

    Raises UsageError for an unsuitable format.
    """
    now = format_seconds(datetime.now(UTC))
    if isinstance(report, GateReport):
        load(form).write_verdict(report, output)
    elif isinstance(report, ScanReport):
        load(form).write_scan(report._replace(scanned_at=report.scanned_at or now), output)
    else:
        load_inventory_format(form).write_inventory(report._replace(scanned_at=report.scanned_at or now), output)


def summarize_report(report: ScanReport | GateReport) -> str:
    """One line: the verdict with its reasons, or the numbers of findings and of unread paths."""
    from dockgate.reports._wording import summarize_findings
    from dockgate.shared.wording import format_count

    if isinstance(report, GateReport):
        verdict = report.verdict
        return f"{report.reference}: {verdict.status} by policy {verdict.policy}: {verdict.summary}"
    findings = summarize_findings([finding for _, matches in report.platforms for finding in matches.findings])
    unread_count = sum(len(inventory.unread) for inventory, _ in report.platforms)
    return f"{report.reference}: {findings}" + (
        f"; {format_count(unread_count, 'path')} could not be read" if unread_count else ""
    )
