"""The trusted authors of VEX statements.

`gate.waivers` applies their statements before any rule counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dockgate.gate.policy import VEX_RULE
from dockgate.gate.rule import Rule, SettingsRule
from dockgate.gate.rules._settings import (
    KEY_SCHEMA,
    TEXT_SCHEMA,
    build_list_schema,
    build_object_schema,
    make_refusal,
    read_items,
    read_public_keys,
    require_known_keys,
    select_mappings,
)
from dockgate.shared.interfaces import override
from dockgate.shared.wording import join_words


class Vex(SettingsRule):
    """Settings: `authors`, each with the `name` in its documents, and optionally `keys`.

    `keys` are PEM public keys, one of which must have signed a document that is attached to an image. Statements of
    other authors have no effect.
    """

    name = VEX_RULE
    schema: Mapping[str, Any] = {
        "properties": {
            "authors": build_list_schema(
                build_object_schema(
                    {"name": TEXT_SCHEMA, "keys": build_list_schema(KEY_SCHEMA, minimum=0)}, required_keys=["name"]
                )
            )
        },
        "required": ["authors"],
    }

    @override
    def parse_settings(self, raw: Mapping[str, object]) -> dict[str, object]:
        require_known_keys(raw, ("authors",))
        authors = read_items("authors", raw.get("authors"), "a list of authors, each with a name")
        return {"authors": [_parse_author(key, author) for key, author in authors]}

    @override
    def describe(self, settings: Mapping[str, object]) -> Sequence[str]:
        names = join_words([str(author["name"]) for author in select_mappings(settings["authors"])])
        return (f"Findings do not count that a VEX statement by {names} says do not affect the image.",)


RULE: Rule = Vex()


def _parse_author(key: str, raw: object) -> dict[str, object]:
    if not isinstance(raw, Mapping):
        raise make_refusal(key, raw, "a mapping with name and, optionally, keys")
    require_known_keys(raw, ("name", "keys"), f"{key}.")
    name = raw.get("name")
    if not isinstance(name, str) or not name.strip():
        raise make_refusal(f"{key}.name", name, "the author's name as in its documents")
    return {"name": name, "keys": read_public_keys(f"{key}.keys", raw.get("keys", []), can_be_empty=True)}
