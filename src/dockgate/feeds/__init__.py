"""Advisory feeds. A module here is a feed: it holds one object named `FEED` (`core.ports.Feed`).

Modules whose name begins with "_" are shared by the others and are no feeds.
"""

import importlib
import pkgutil

from dockgate.core.errors import DockgateError
from dockgate.core.ports import Feed


def load(package: str = __name__) -> tuple[Feed, ...]:
    """Every feed of `package`, by module name.

    Raises DockgateError naming the module that does not import or declares nothing: a feed must never go missing
    because its file is broken.
    """
    found: list[Feed] = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package}.{module.name}"
        try:
            found.append(importlib.import_module(name).FEED)
        except AttributeError as error:
            raise DockgateError(f"The feed {name} declares no object FEED.", "Add it, or remove the file.") from error
        except Exception as error:
            raise DockgateError(f"The feed {name} does not import: {error!r}", "Mend or remove that file.") from error
    return tuple(found)
