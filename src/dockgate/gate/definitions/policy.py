"""Policies: YAML that people write, to the canonical form that is hashed and judged by."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockgate.gate import policy as canonical
from dockgate.gate.model import Policy, RuleAction
from dockgate.gate.rule import Rule
from dockgate.shared.errors import DefinitionError, NotFoundError

if TYPE_CHECKING:
    from dockgate.shared.yaml import Document, Location

BUILTIN = ("default", "reference-2022")
"""names of the policies that come with Dockgate, each a YAML file in this folder"""

KIND = "Policy"
KEYS = ("kind", "name", "rules", "examples")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}"


def policy(text: str, name: str, rules: Sequence[Rule], file: str = "") -> Policy:
    """The policy called `name`: a mapping of rule names to their settings, filled in with the rules' defaults and with
    the rules that always hold; or a document `kind: Policy` of that name, whose `rules` are such a mapping. `file` is
    said in errors (`<name>.yaml`). Raises DefinitionError."""
    from dockgate.shared.yaml import load  # the parser takes longest to import of all that the gate needs

    document = load(text, file or f"{name}.yaml")
    if not is_whole(document):
        return of_mapping(document, (), name, rules)
    called, found = of_document(document, rules)
    if called != name:
        raise document.error(("name",), f"this is the policy {called!r}, and not {name!r}", "Use one name for both.")
    return found


def read(text: str, name: str, rules: Sequence[Rule], file: str = "") -> Policy:
    """Likewise, but a whole document is called as it calls itself: `name` is for a bare mapping."""
    from dockgate.shared.yaml import load

    document = load(text, file or f"{name}.yaml")
    if is_whole(document):
        return of_document(document, rules)[1]
    return of_mapping(document, (), name, rules)


def is_whole(document: "Document") -> bool:
    """Whether it is a document `kind: Policy`, and no bare mapping of rules."""
    return isinstance(document.value, dict) and "kind" in document.value


def of_document(document: "Document", rules: Sequence[Rule]) -> tuple[str, Policy]:
    """The name and the policy of a document `kind: Policy`. Its examples are for `definitions.examples` to read."""
    value = document.value
    if value.get("kind") != KIND:
        raise document.error(("kind",), f"unknown kind {value.get('kind')!r}", f"Allowed here: {KIND}.")
    for key in value:
        if key not in KEYS:
            raise document.error((key,), f"unknown key {key!r}", f"Allowed here: {', '.join(KEYS)}.")
    name = value.get("name")
    if not isinstance(name, str) or not is_name(name):
        raise document.error(("name",), f"{name!r} is no name", "Letters, digits, '.', '_' and '-', at most 48.")
    if "rules" not in value:
        raise document.error((), "the key 'rules' is missing", "It holds the rules and their settings.")
    return name, of_mapping(document, ("rules",), name, rules)


def of_mapping(
    document: "Document", here: "Location", name: str, rules: Sequence[Rule], *, filled: bool = True
) -> Policy:
    """The policy that the mapping at `here` is. Unless `filled`, rules that always hold are left out where it does not
    name them."""
    known = {rule.name: rule for rule in rules}
    given = document.value
    for key in here:
        given = given[key]
    if not isinstance(given, dict) or not given:
        raise document.error(here, f"a policy is a mapping from rules to their settings; rules: {', '.join(known)}")
    settings: dict[str, tuple[dict[str, object], ...]] = {}
    for key, uses in given.items():
        if key not in known:
            raise document.error((*here, key), f"unknown rule; allowed here: {', '.join(known)}")
        settings[key] = tuple(_uses(document, known[key], uses, (*here, key)))
    return canonical.make_policy(name, _with_those_that_hold(settings, rules) if filled else settings)


def completed(policy: Policy, rules: Sequence[Rule]) -> Policy:
    """The policy with those rules that always hold and that it does not name: a newer version has more of them."""
    return canonical.make_policy(policy.name, _with_those_that_hold(policy.rules, rules))


def _with_those_that_hold(
    settings: Mapping[str, tuple[dict[str, object], ...]], rules: Sequence[Rule]
) -> dict[str, tuple[dict[str, object], ...]]:
    missing = {
        rule.name: rule.mandatory_settings
        for rule in rules
        if rule.mandatory_settings is not None and rule.name not in settings
    }
    by_name = {rule.name: rule for rule in rules}
    return {
        **settings,
        **{name: (in_full(by_name[name], mandatory_settings),) for name, mandatory_settings in missing.items()},
    }


def in_full(rule: Rule, given: Mapping[str, object]) -> dict[str, object]:
    """The settings with the rule's defaults and its action. Raises DefinitionError naming the key."""
    chosen = dict(given)
    if rule.mandatory_settings is not None:
        return rule.settings(chosen)  # refuses `action`: what always holds always rejects
    allowed = (*rule.schema["properties"], "action")
    if unknown := next((key for key in chosen if key not in allowed), None):
        raise DefinitionError(f"{unknown}: unknown key; allowed here: {', '.join(allowed)}")
    action = chosen.pop("action", RuleAction.REJECT.value)
    if action not in [one.value for one in RuleAction]:
        raise DefinitionError(f"action: {action!r} is not allowed; allowed: {', '.join(RuleAction)}")
    return {**rule.settings(chosen), "action": str(action)}


def schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy, for editors: of the mapping of rules, and of the document around it.

    What it refuses the reader refuses too, which knows more (expressions, ranges of versions, keys)."""
    mapping = {
        "type": "object",
        "minProperties": 1,
        "properties": {rule.name: _use_schema(rule) for rule in rules},
        "additionalProperties": False,
    }
    whole = {
        "type": "object",
        "properties": {
            "kind": {"const": KIND},
            "name": {"type": "string", "pattern": f"^{NAME}$"},
            "rules": {"$ref": "#/$defs/rules"},
            "examples": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["kind", "name", "rules"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Dockgate policy",
        "if": {"type": "object", "required": ["kind"]},
        "then": {"$ref": "#/$defs/document"},
        "else": {"$ref": "#/$defs/rules"},
        "$defs": {"rules": mapping, "document": whole},
    }


def _use_schema(rule: Rule) -> dict[str, Any]:
    """Settings, or a list of them; nothing at all where none is needed."""
    chosen = (
        {} if rule.mandatory_settings is not None else {"action": {"enum": [action.value for action in RuleAction]}}
    )
    settings = {
        **rule.schema,
        "type": "object",
        "properties": {**rule.schema["properties"], **chosen},
        "additionalProperties": False,
    }
    needed = "required" in rule.schema or "anyOf" in rule.schema
    one = settings if needed else {"oneOf": [settings, {"type": "null"}]}
    about = (rule.__doc__ or "").strip().partition("\n\n")[0]
    described = {"description": " ".join(about.split())} if about else {}
    return {**described, "oneOf": [one, {"type": "array", "minItems": 1, "items": one}]}


def builtin(name: str, rules: Sequence[Rule]) -> Policy:
    """A policy that comes with Dockgate. Raises NotFoundError naming those that exist."""
    if name not in BUILTIN:
        raise NotFoundError(f"There is no policy {name!r}.", f"Policies that exist: {', '.join(BUILTIN)}.")
    return policy(builtin_text(name), name, rules)


def builtin_text(name: str) -> str:
    """The YAML of a policy that comes with Dockgate."""
    return (Path(__file__).parent / f"{name}.yaml").read_text("utf-8")


def is_name(text: str) -> bool:
    """Whether a policy may be called so."""
    return re.fullmatch(NAME, text) is not None


def _uses(document: "Document", rule: Rule, given: Any, here: "Location") -> Iterator[dict[str, object]]:
    """A rule's settings: a mapping, or a list of them for a rule that holds several times."""
    if isinstance(given, list):
        if not given:
            raise document.error(here, "the list of settings is empty; leave the rule out, or give {}")
        for index, one in enumerate(given):
            yield _settings(document, rule, one, (*here, index))
    else:
        yield _settings(document, rule, given, here)


def _settings(document: "Document", rule: Rule, given: Any, here: "Location") -> dict[str, object]:
    if given is not None and not isinstance(given, dict):
        raise document.error(here, "the settings of a rule are a mapping; {} for none")
    try:
        return in_full(rule, given or {})
    except DefinitionError as error:
        key, _, reason = str(error).partition(": ")
        inside = (int(part) if part.isdecimal() else part for part in key.split("."))
        location = here if key == rule.name else (*here, *inside)
        raise document.error(location, reason, error.advice) from None
