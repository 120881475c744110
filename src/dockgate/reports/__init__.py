"""What a terminal is told of a scan or a verdict. A module here is a format: it holds one object named `REPORT`.

Modules whose name begins with "_" are shared by the others and are no formats. A format is imported when asked for.
"""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Protocol, TextIO

from dockgate.core.errors import UsageError
from dockgate.core.model import Coverage, Inventory, Matches, Verdict

SCHEMA_VERSION = 1
"""of the documents that programs read: raised when a key goes or changes its meaning, not when one is added"""


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What `scan` found. `reference` is as asked, `digest` of the manifest or index; one platform beside the other.

    `coverage` is what the advisory database says of the ecosystems that were looked up."""

    reference: str
    digest: str
    platforms: tuple[tuple[Inventory, Matches], ...]
    coverage: tuple[Coverage, ...]


@dataclass(frozen=True, slots=True)
class GateReport:
    """A verdict, with the inventories that it was made from (none where they are not at hand)."""

    reference: str
    verdict: Verdict
    inventories: tuple[Inventory, ...] = ()


class Report(Protocol):
    """A format. Text that comes from an image must not be able to steer a terminal."""

    def scan(self, report: ScanReport, out: TextIO) -> None: ...

    def gate(self, report: GateReport, out: TextIO) -> None: ...


def names() -> tuple[str, ...]:
    """The formats there are, without importing one."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> Report:
    """Raises UsageError naming the formats that exist."""
    if name not in names():
        raise UsageError(f"There is no output format {name!r}.", f"Formats: {', '.join(names())}.")
    report: Report = importlib.import_module(f"{__name__}.{name}").REPORT
    return report
