"""Gate rules. A module of this package is a rule: it holds one object named `RULE` (`core.ports.Rule`).

`settings` raises DefinitionError with a message that begins with the key at fault and a colon, so that whoever read
the document can add file and line. Modules whose name begins with "_" are shared by the others and are no rules.
"""

import importlib
import pkgutil

from dockgate.core.errors import DockgateError
from dockgate.core.ports import Rule


def load(package: str = __name__) -> tuple[Rule, ...]:
    """Every rule of `package`, by module name.

    Raises DockgateError naming the module that does not import or declares nothing: a rule must never go missing
    quietly.
    """
    found: list[Rule] = []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package}.{module.name}"
        try:
            loaded = importlib.import_module(name)
        except Exception as error:
            raise DockgateError(
                f"The gate rule {name} does not import: {error!r}",
                "Mend or remove that file; nothing is judged without it.",
            ) from error
        if not hasattr(loaded, "RULE"):
            raise DockgateError(f"The gate rule {name} declares no object RULE.", "Add it, or remove the file.")
        found.append(loaded.RULE)
    return tuple(found)
