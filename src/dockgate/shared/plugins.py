"""Plugins: the modules of a package, each with one object of an agreed name."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from dockgate.shared.errors import DockgateError


def load(package: str, declares: str, noun: str, missing_effect: str) -> Iterator[Any]:
    """Yield the object `declares` of every module of `package` whose name does not begin with "_".

    A plugin must never go missing quietly: raises DockgateError naming a module (a `noun`) that does not import or
    declares nothing. `missing_effect` says what is not done without it.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package}.{module.name}"
        try:
            plugin = importlib.import_module(name)
        except Exception as error:
            advice = f"Fix or remove that file; nothing is {missing_effect} without it."
            raise DockgateError(f"the {noun} {name} does not import: {error!r}", advice) from error
        if not hasattr(plugin, declares):
            raise DockgateError(f"the {noun} {name} declares no object {declares}", "Add it, or remove the file.")
        yield getattr(plugin, declares)
