"""Policies: YAML that people write, to the canonical form that is hashed and judged by."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockgate.core import gate
from dockgate.core.errors import DefinitionError, NotFoundError
from dockgate.core.model import Policy
from dockgate.core.ports import Rule

if TYPE_CHECKING:
    from dockgate.definitions.yaml import Document

BUILTIN = ("default",)
"""names of the policies that come with Dockgate, each a YAML file in this folder"""


def policy(text: str, name: str, rules: Sequence[Rule], file: str = "") -> Policy:
    """The policy called `name`: a mapping of rule names to their settings, filled in with the rules' defaults and with
    the rules that always hold. `file` is said in errors (`<name>.yaml`). Raises DefinitionError."""
    from dockgate.definitions.yaml import load  # the parser takes longest to import of all that the gate needs

    document = load(text, file or f"{name}.yaml")
    known = {rule.name: rule for rule in rules}
    if not isinstance(document.value, dict) or not document.value:
        raise document.error((), f"a policy is a mapping from rules to their settings; rules: {', '.join(known)}")
    settings: dict[str, dict[str, object]] = {}
    for key, given in document.value.items():
        if key not in known:
            raise document.error((key,), f"unknown rule; allowed here: {', '.join(known)}")
        settings[key] = _settings(document, known[key], given)
    for rule in rules:
        if rule.name not in settings and rule.always is not None:
            settings[rule.name] = rule.settings(rule.always)
    return gate.policy(name, settings)


def builtin(name: str, rules: Sequence[Rule]) -> Policy:
    """A policy that comes with Dockgate. Raises NotFoundError naming those that exist."""
    if name not in BUILTIN:
        raise NotFoundError(f"There is no policy {name!r}.", f"Policies that exist: {', '.join(BUILTIN)}.")
    return policy((Path(__file__).parent / f"{name}.yaml").read_text("utf-8"), name, rules)


def _settings(document: "Document", rule: Rule, given: Any) -> dict[str, object]:
    if given is not None and not isinstance(given, dict):
        raise document.error((rule.name,), "the settings of a rule are a mapping; {} for none")
    try:
        return rule.settings(given or {})
    except DefinitionError as error:
        key, _, reason = str(error).partition(": ")
        location = (rule.name,) if key == rule.name else (rule.name, key)
        raise document.error(location, reason, error.advice) from None
