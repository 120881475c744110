"""Ecosystems: a module or folder for each kind of package, with one object `ECOSYSTEM`.

`scanner.ports.Ecosystem` is the interface. Folders have plain names inside: `version.py` orders versions, `lock.py`
reads lockfiles, `package.py` builds the `Package`. Modules whose name begins with "_" are not ecosystems.
"""

from dockgate.scanner.ports import Ecosystem
from dockgate.shared import plugins


def load(package: str = __name__) -> tuple[Ecosystem, ...]:
    """Load every ecosystem of `package`, by module name. Raises DockgateError that names the broken one."""
    return tuple(plugins.load(package, "ECOSYSTEM", "ecosystem", "scanned"))
