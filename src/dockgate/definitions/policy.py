"""Policies: YAML that people write, to the canonical form that is hashed and judged by."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockgate.core import policy as canonical
from dockgate.core.errors import DefinitionError, NotFoundError
from dockgate.core.ports import Rule
from dockgate.core.verdict import Policy, RuleAction

if TYPE_CHECKING:
    from dockgate.definitions.yaml import Document, Location

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
    settings: dict[str, tuple[dict[str, object], ...]] = {}
    for key, given in document.value.items():
        if key not in known:
            raise document.error((key,), f"unknown rule; allowed here: {', '.join(known)}")
        settings[key] = tuple(_uses(document, known[key], given))
    for rule in rules:
        if rule.name not in settings and rule.always is not None:
            settings[rule.name] = (in_full(rule, rule.always),)
    return canonical.of_rules(name, settings)


def in_full(rule: Rule, given: Mapping[str, object]) -> dict[str, object]:
    """The settings with the rule's defaults and its action. Raises DefinitionError naming the key."""
    chosen = dict(given)
    if rule.always is not None:
        return rule.settings(chosen)  # refuses `action`: what always holds always rejects
    action = chosen.pop("action", RuleAction.REJECT.value)
    if action not in [one.value for one in RuleAction]:
        raise DefinitionError(f"action: {action!r} is not allowed; allowed: {', '.join(RuleAction)}")
    return {**rule.settings(chosen), "action": str(action)}


def builtin(name: str, rules: Sequence[Rule]) -> Policy:
    """A policy that comes with Dockgate. Raises NotFoundError naming those that exist."""
    if name not in BUILTIN:
        raise NotFoundError(f"There is no policy {name!r}.", f"Policies that exist: {', '.join(BUILTIN)}.")
    return policy((Path(__file__).parent / f"{name}.yaml").read_text("utf-8"), name, rules)


def _uses(document: "Document", rule: Rule, given: Any) -> Iterator[dict[str, object]]:
    """A rule's settings: a mapping, or a list of them for a rule that holds several times."""
    if isinstance(given, list):
        if not given:
            raise document.error((rule.name,), "the list of settings is empty; leave the rule out, or give {}")
        for index, one in enumerate(given):
            yield _settings(document, rule, one, (rule.name, index))
    else:
        yield _settings(document, rule, given, (rule.name,))


def _settings(document: "Document", rule: Rule, given: Any, here: "Location") -> dict[str, object]:
    if given is not None and not isinstance(given, dict):
        raise document.error(here, "the settings of a rule are a mapping; {} for none")
    try:
        return in_full(rule, given or {})
    except DefinitionError as error:
        key, _, reason = str(error).partition(": ")
        location = here if key == rule.name else (*here, key)
        raise document.error(location, reason, error.advice) from None
