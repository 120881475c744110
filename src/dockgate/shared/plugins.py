"""Plugins: the modules of a package, each with one object of an agreed name. One that is broken stops the start."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from dockgate.shared.errors import DockgateError


def load(package: str, declares: str, noun: str, without: str) -> Iterator[Any]:
    """Yield the object named `declares` of every module of `package`, by module name.

    Names that begin with "_" are no plugins.

    Raises DockgateError naming the module (a `noun`) that does not import or declares nothing; `without` says what is
    not done without it. A plugin must never go missing quietly.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package}.{module.name}"
        try:
            plugin = importlib.import_module(name)
        except Exception as error:
            advice = f"Fix or remove that file; nothing is {without} without it."
            raise DockgateError(f"The {noun} {name} does not import: {error!r}", advice) from error
        if not hasattr(plugin, declares):
            raise DockgateError(f"The {noun} {name} declares no object {declares}.", "Add it, or remove the file.")
        yield getattr(plugin, declares)
