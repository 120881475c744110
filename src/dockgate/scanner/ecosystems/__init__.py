"""Package kinds. A module here is an ecosystem: it holds one object named `ECOSYSTEM` (`core.ports.Ecosystem`).

Modules whose name begins with "_" are shared by the others and are no ecosystems.
"""

from dockgate.scanner.ports import Ecosystem
from dockgate.shared import plugins


def load(package: str = __name__) -> tuple[Ecosystem, ...]:
    """Every ecosystem of `package`, by module name. Raises DockgateError naming the one that is broken."""
    return tuple(plugins.load(package, "ECOSYSTEM", "ecosystem", "scanned"))
