"""Whose VEX statements are believed. What they excuse is for `core.waivers` to say, before any rule counts."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.gate.model import Violation
from dockgate.gate.policy import VEX_RULE
from dockgate.gate.rule import Facts, Rule
from dockgate.gate.rules._settings import KEY_BEGIN, known, public_key, refused
from dockgate.shared.errors import DefinitionError


class Vex:
    """Settings: `authors`, each with the `name` that its documents say as their author's, and perhaps `keys`: public
    keys as PEM, of which one has signed what is attached to an image. What nobody here has said excuses nothing."""

    name = VEX_RULE
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
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

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("authors",))
        authors = given.get("authors")
        if not isinstance(authors, (list, tuple)) or not authors:
            raise DefinitionError("authors: nobody is named; it needs a list of authors, each with a name")
        return {"authors": [_author(f"authors.{index}", author) for index, author in enumerate(authors)]}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Violation]:
        yield from ()


RULE: Rule = Vex()


def _author(key: str, given: object) -> dict[str, object]:
    if not isinstance(given, Mapping):
        raise refused(key, given, "a mapping with name and, perhaps, keys")
    known(given, ("name", "keys"), f"{key}.")
    name, keys = given.get("name"), given.get("keys", [])
    if not isinstance(name, str) or not name.strip():
        raise refused(f"{key}.name", name, "the author's name as its documents say it")
    if not isinstance(keys, (list, tuple)):
        raise refused(f"{key}.keys", keys, "a list of public keys as PEM")
    return {"name": name, "keys": [public_key(f"{key}.keys.{index}", one) for index, one in enumerate(keys)]}
