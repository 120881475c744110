"""Advisory feeds. A module here is a feed: it holds one object named `FEED` (`vulnerabilities.ports.Feed`).

Modules whose name begins with "_" are shared by the others and are no feeds.
"""

from dockgate.shared import plugins
from dockgate.vulnerabilities.feed import Feed


def load(package: str = __name__) -> tuple[Feed, ...]:
    """Every feed of `package`, by module name. Raises DockgateError naming the one that is broken."""
    return tuple(plugins.load(package, "FEED", "feed", "known"))
