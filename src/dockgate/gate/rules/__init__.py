"""Gate rules. A module of this package is a rule: it holds one object named `RULE` (`core.rules.Rule`).

`settings` raises DefinitionError with a message that begins with the key at fault and a colon, so that whoever read
the document can add file and line; a key inside of another has that one's before it: "packages.0.versions". Modules
whose name begins with "_" are shared by the others and are no rules.
"""

from dockgate.gate.rule import Rule
from dockgate.shared import plugins


def load(package: str = __name__) -> tuple[Rule, ...]:
    """Every gate rule of `package`, by module name. Raises DockgateError naming the one that is broken."""
    return tuple(plugins.load(package, "RULE", "gate rule", "judged"))
