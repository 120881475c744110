"""Package kinds. A module here is an ecosystem: it holds one object named `ECOSYSTEM` (`core.ports.Ecosystem`).

Modules whose name begins with "_" are shared by the others and are no ecosystems.
"""

import importlib
import pkgutil

from dockgate.core.errors import DockgateError
from dockgate.core.ports import Ecosystem


def load(package: str = __name__) -> tuple[Ecosystem, ...]:
    """Every ecosystem of `package`, by module name.

    Raises DockgateError naming the module that does not import or declares nothing: packages must never be left unread
    because a plugin is broken.
    """
    found: list[Ecosystem] = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package}.{module.name}"
        try:
            found.append(importlib.import_module(name).ECOSYSTEM)
        except AttributeError as error:
            raise DockgateError(
                f"The ecosystem {name} declares no object ECOSYSTEM.", "Add it, or remove the file."
            ) from error
        except Exception as error:
            raise DockgateError(
                f"The ecosystem {name} does not import: {error!r}",
                "Mend or remove that file; nothing is scanned without it.",
            ) from error
    return tuple(found)
