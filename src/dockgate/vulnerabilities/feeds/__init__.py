"""Advisory feeds. Each module is a feed, with one object named `FEED` (`vulnerabilities.feed.Feed`).

Modules whose name starts with "_" are shared helpers.
"""

from dockgate.shared import plugins
from dockgate.vulnerabilities.feed import Feed


def load(package: str = __name__) -> tuple[Feed, ...]:
    """All feeds of `package`, by module name.

    Raises DockgateError, which names the module that fails to load.
    """
    return tuple(plugins.load(package, "FEED", "feed", "known"))
