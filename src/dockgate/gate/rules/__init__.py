"""Gate rules, one module each, with one object named `RULE` (`gate.rule.Rule`).

`parse_settings` raises DefinitionError with a message that starts with the key and a colon, so that the caller can add
file and line. A nested key has its full path: "packages.0.versions". Modules whose name starts with "_" are shared
helpers.
"""

from dockgate.gate.rule import Rule
from dockgate.shared import plugins


def load(package: str = __name__) -> tuple[Rule, ...]:
    """All gate rules of `package`, by module name.

    Raises DockgateError, which names the module that fails to load.
    """
    return tuple(plugins.load(package, "RULE", "gate rule", "judged"))
