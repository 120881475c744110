"""Every parser that reads what others wrote, as a target of the fuzzers: one module here for a group of them."""

import importlib
import pkgutil

from tests.fuzz.target import Target


def load() -> dict[str, Target]:
    """Targets by name."""
    modules = [importlib.import_module(f"{__name__}.{plugin.name}") for plugin in pkgutil.iter_modules(__path__)]
    return {target.name: target for module in modules for target in getattr(module, "TARGETS", ())}
