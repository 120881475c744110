"""Policies: from YAML to the canonical form by which images are judged, and which is hashed."""

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

# Names of the built-in policies, each a YAML file in this folder.
BUILTIN = ("default", "reference-2022")

KIND = "Policy"
KEYS = ("kind", "name", "rules", "examples")
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}"
# Uses of one rule in a policy: compiling an expression takes milliseconds.
MAX_USES = 100


def read_named_policy(text: str, name: str, rules: Sequence[Rule], file: str | None = None) -> Policy:
    """The policy `name`, with the defaults of its rules and with the mandatory rules.

    The text is a mapping from rules to their settings, or a document `kind: Policy` of that name, which has it under
    `rules`. Errors name `file` (by default `<name>.yaml`). Raises DefinitionError.
    """
    from dockgate.shared.yaml import load_document  # the parser takes longest to import of all that the gate needs

    document = load_document(text, file or f"{name}.yaml")
    policy = _parse(document, name, rules)
    if policy.name != name:
        raise document.make_error(
            ("name",), f"this is the policy {policy.name!r}, not {name!r}", "Use one name for both."
        )
    return policy


def read_policy(text: str, name: str, rules: Sequence[Rule], file: str | None = None) -> Policy:
    """Read a policy like `read_named_policy`, but keep the name of a document; `name` is for a mapping."""
    from dockgate.shared.yaml import load_document

    return _parse(load_document(text, file or f"{name}.yaml"), name, rules)


def _parse(document: "Document", name: str, rules: Sequence[Rule]) -> Policy:
    return parse_document(document, rules)[1] if is_document(document) else parse_rules(document, (), name, rules)


def is_document(document: "Document") -> bool:
    """Return whether it is a document `kind: Policy`, not a bare mapping of rules."""
    return isinstance(document.value, dict) and "kind" in document.value


def parse_document(document: "Document", rules: Sequence[Rule]) -> tuple[str, Policy]:
    """The name and the policy of a document `kind: Policy`. `definitions.examples` reads its examples."""
    value = document.value
    if value.get("kind") != KIND:
        raise document.make_error(("kind",), f"unknown kind {value.get('kind')!r}", f"Allowed here: {KIND}.")
    for key in value:
        if key not in KEYS:
            raise document.make_error((key,), f"unknown key {key!r}", f"Allowed here: {', '.join(KEYS)}.")
    name = value.get("name")
    if not isinstance(name, str) or not is_policy_name(name):
        raise document.make_error(
            ("name",), f"{name!r} is not a policy name", "Use letters, digits, '.', '_' and '-', at most 48."
        )
    if "rules" not in value:
        raise document.make_error((), "the key 'rules' is missing", "Add it, with the rules and their settings.")
    return name, parse_rules(document, ("rules",), name, rules)


def parse_rules(
    document: "Document", location: "Location", name: str, rules: Sequence[Rule], *, should_add_mandatory: bool = True
) -> Policy:
    """The policy of the mapping at `location`.

    With `should_add_mandatory`, it gets the mandatory rules that it does not name.
    """
    rules_by_name = {rule.name: rule for rule in rules}
    mapping = document.value
    for key in location:
        mapping = mapping[key]
    if not isinstance(mapping, dict) or not mapping:
        raise document.make_error(
            location, f"a policy is a mapping from rules to their settings; rules: {', '.join(rules_by_name)}"
        )
    settings: dict[str, tuple[dict[str, object], ...]] = {}
    for key, uses in mapping.items():
        if key not in rules_by_name:
            raise document.make_error((*location, key), f"unknown rule; allowed here: {', '.join(rules_by_name)}")
        settings[key] = tuple(_read_uses(document, rules_by_name[key], uses, (*location, key)))
    return canonical.make_policy(name, _add_mandatory_rules(settings, rules) if should_add_mandatory else settings)


def add_mandatory_rules(policy: Policy, rules: Sequence[Rule]) -> Policy:
    """The policy with the mandatory rules that it does not name; newer versions have more of them."""
    return canonical.make_policy(policy.name, _add_mandatory_rules(policy.rules, rules))


def _add_mandatory_rules(
    settings: Mapping[str, tuple[dict[str, object], ...]], rules: Sequence[Rule]
) -> dict[str, tuple[dict[str, object], ...]]:
    missing_rules = {
        rule.name: (complete_settings(rule, rule.mandatory_settings),)
        for rule in rules
        if rule.mandatory_settings is not None and rule.name not in settings
    }
    return {**settings, **missing_rules}


def complete_settings(rule: Rule, raw: Mapping[str, object]) -> dict[str, object]:
    """The settings with the rule's defaults and its action. Raises DefinitionError, which names the key."""
    settings = dict(raw)
    if rule.mandatory_settings is not None:
        return rule.parse_settings(settings)  # refuses `action`: mandatory rules always reject
    allowed_keys = (*rule.schema["properties"], "action")
    if unknown := next((key for key in settings if key not in allowed_keys), None):
        raise DefinitionError(f"{unknown}: unknown key; allowed here: {', '.join(allowed_keys)}")
    action = settings.pop("action", RuleAction.REJECT.value)
    if action not in list(RuleAction):
        raise DefinitionError(f"action: {action!r} is not allowed; allowed: {', '.join(RuleAction)}")
    return {**rule.parse_settings(settings), "action": str(action)}


def build_policy_schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a policy, for editors: of a mapping of rules, and of a document.

    The reader refuses all that the schema refuses, and more (expressions, version ranges, keys).
    """
    rule_schemas = {rule.name: _build_use_schema(rule) for rule in rules}
    mapping = {"type": "object", "minProperties": 1, "properties": rule_schemas, "additionalProperties": False}
    document = {
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
        "$defs": {"rules": mapping, "document": document},
    }


def _build_use_schema(rule: Rule) -> dict[str, Any]:
    """The schema of a rule's settings, of a list of them, and of null where no setting is required."""
    properties = dict(rule.schema["properties"])
    if rule.mandatory_settings is None:
        properties["action"] = {"enum": [action.value for action in RuleAction]}
    settings = {**rule.schema, "type": "object", "properties": properties, "additionalProperties": False}
    has_required = "required" in rule.schema or "anyOf" in rule.schema
    use = settings if has_required else {"oneOf": [settings, {"type": "null"}]}
    summary = (rule.__doc__ or "").strip().partition("\n\n")[0]
    description = {"description": " ".join(summary.split())} if summary else {}
    return {**description, "oneOf": [use, {"type": "array", "minItems": 1, "items": use}]}


def read_builtin_policy(name: str, rules: Sequence[Rule]) -> Policy:
    """A built-in policy. Raises NotFoundError, which lists those that exist."""
    if name not in BUILTIN:
        raise NotFoundError(f"there is no policy {name!r}", f"Policies that exist: {', '.join(BUILTIN)}.")
    return read_named_policy(read_builtin_text(name), name, rules)


def read_builtin_text(name: str) -> str:
    """The YAML of a built-in policy."""
    return (Path(__file__).parent / f"{name}.yaml").read_text("utf-8")


def is_policy_name(text: str) -> bool:
    """Return whether the text is a valid policy name."""
    return re.fullmatch(NAME, text) is not None


def _read_uses(document: "Document", rule: Rule, value: Any, location: "Location") -> Iterator[dict[str, object]]:
    """A rule's settings: a mapping, or a list of them if the policy uses the rule several times."""
    if isinstance(value, list):
        if not value:
            raise document.make_error(location, "the list of settings is empty; remove the rule, or write {}")
        if len(value) > MAX_USES:
            raise document.make_error(location, f"the rule is used {len(value)} times, at most {MAX_USES} are allowed")
        for index, item in enumerate(value):
            yield _read_settings(document, rule, item, (*location, index))
    else:
        yield _read_settings(document, rule, value, location)


def _read_settings(document: "Document", rule: Rule, value: Any, entry_location: "Location") -> dict[str, object]:
    if value is not None and not isinstance(value, dict):
        raise document.make_error(entry_location, "the settings of a rule must be a mapping; write {} for none")
    try:
        return complete_settings(rule, value or {})
    except DefinitionError as error:
        key, _, reason = str(error).partition(": ")
        parts = (int(part) if part.isdecimal() else part for part in key.split("."))
        location = entry_location if key == rule.name else (*entry_location, *parts)
        raise document.make_error(location, reason, error.advice) from None
