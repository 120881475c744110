"""Fuzz targets: every parser of foreign content, in one module for each group."""

import importlib
import pkgutil

from tests.fuzz.target import Target


def load() -> dict[str, Target]:
    """Load all targets by name."""
    modules = [importlib.import_module(f"{__name__}.{plugin.name}") for plugin in pkgutil.iter_modules(__path__)]
    return {target.name: target for module in modules for target in getattr(module, "TARGETS", ())}
