"""The trusted authors of VEX statements. `gate.waivers` applies their statements before any rule counts."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.policy import VEX_RULE
from dockgate.gate.rule import Rule, RuleInput
from dockgate.gate.rules._settings import KEY_BEGIN, public_key, refused, require_known_keys
from dockgate.shared.errors import DefinitionError


class Vex(Rule):
    """Settings: `authors`, each with the `name` in its documents, and optionally `keys`.

    `keys` are PEM public keys, one of which must have signed a document that is attached to an image. Statements of
    other authors have no effect.
    """

    name = VEX_RULE
    schema: Mapping[str, Any] = {
        "properties": {
            "authors": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "minLength": 1},
                        "keys": {"type": "array", "items": {"type": "string", "pattern": KEY_BEGIN}},
                    },
                    "required": ["name"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["authors"],
    }

    def settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("authors",))
        authors = raw.get("authors")
        if not isinstance(authors, (list, tuple)) or not authors:
            raise DefinitionError("authors: missing; set a list of authors, each with a name")
        return {"authors": [_author(f"authors.{index}", author) for index, author in enumerate(authors)]}

    def judge(self, facts: RuleInput, settings: Mapping[str, object]) -> Iterator[Violation]:
        yield from ()


RULE: Rule = Vex()


def _author(key: str, raw: object) -> dict[str, object]:
    if not isinstance(raw, Mapping):
        raise refused(key, raw, "a mapping with name and, optionally, keys")
    require_known_keys(raw, ("name", "keys"), f"{key}.")
    name, keys = raw.get("name"), raw.get("keys", [])
    if not isinstance(name, str) or not name.strip():
        raise refused(f"{key}.name", name, "the author's name as in its documents")
    if not isinstance(keys, (list, tuple)):
        raise refused(f"{key}.keys", keys, "a list of public keys as PEM")
    return {"name": name, "keys": [public_key(f"{key}.keys.{index}", pem) for index, pem in enumerate(keys)]}
