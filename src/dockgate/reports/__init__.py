"""What is told of a scan, a verdict or an inventory. A module here is a format: it holds one object named `REPORT`.

Modules whose name begins with "_" are shared by the others and are no formats. A format is imported when asked for.
"""

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO

from dockgate.scanner.model import Inventory
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.model import Coverage, Finding, Matches, Severity

if TYPE_CHECKING:
    from dockgate.gate.model import Verdict, VerdictCase

# Of the documents that programs read: raised when a key goes or changes its meaning, not when one is added.
SCHEMA_VERSION = 1

# The formats that can hold an inventory alone: their `REPORT` is a `Bill`.
BILLS = ("cyclonedx", "json", "spdx")
# The formats that a scan cannot be written in.
OF_VERDICTS = ("case",)


class View(NamedTuple):
    """Which findings the table lists: those of `severities` (empty: of all), with `only_fixable` those with a fix,
    with `is_summary` none. It changes neither the verdict nor any other format."""

    severities: frozenset[Severity] = frozenset()
    only_fixable: bool = False
    is_summary: bool = False

    def shows(self, finding: Finding) -> bool:
        return (
            not self.is_summary
            and (not self.severities or finding.severity in self.severities)
            and not (self.only_fixable and not finding.fixed)
        )


EVERYTHING = View()


class ScanReport(NamedTuple):
    """What `scan` found. `reference` is as asked, `digest` of the manifest or index; one platform beside the other.

    `coverage` is what the advisory database says of the ecosystems that were looked up, `now` the time of the scan
    (RFC 3339 in UTC; `bootstrap.reports.write` fills it in where it is "")."""

    reference: str
    digest: str
    platforms: tuple[tuple[Inventory, Matches], ...]
    coverage: tuple[Coverage, ...]
    now: str = ""
    view: View = EVERYTHING


class GateReport(NamedTuple):
    """A verdict, with the inventories that it was made from (none where they are not at hand), and its whole case."""

    reference: str
    verdict: "Verdict"
    inventories: tuple[Inventory, ...] = ()
    case: "VerdictCase | None" = None
    view: View = EVERYTHING


class InventoryReport(NamedTuple):
    """What an image holds, one inventory a platform. `reference`, `digest` and `now` as in `ScanReport`."""

    reference: str
    digest: str
    inventories: tuple[Inventory, ...]
    now: str = ""


class Report(Protocol):
    """A format. Text that comes from an image must not be able to steer what shows it: a terminal, a browser."""

    def scan(self, report: ScanReport, out: TextIO) -> None: ...

    def gate(self, report: GateReport, out: TextIO) -> None: ...


class Bill(Report, Protocol):
    """A format for a bill of materials, with or without what is wrong with them."""

    def inventory(self, report: InventoryReport, out: TextIO) -> None: ...


@cache
def names() -> tuple[str, ...]:
    """The formats there are, without importing one."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Report:
    """Raises UsageError naming the formats that exist."""
    if name not in names():
        raise UsageError(f"There is no output format {name!r}.", f"Formats: {', '.join(names())}.")
    report: Report = importlib.import_module(f"{__name__}.{name}").REPORT
    return report


def load_bill(name: str) -> Bill:
    """Raises UsageError naming the formats that can hold an inventory alone."""
    if name not in BILLS:
        raise UsageError(f"An inventory alone cannot be written as {name!r}.", f"Formats: {', '.join(BILLS)}.")
    bill: Bill = importlib.import_module(f"{__name__}.{name}").REPORT
    return bill
