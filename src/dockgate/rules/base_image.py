"""Images that are built on something else than what is allowed."""

from collections.abc import Iterator, Mapping
from typing import Any

from dockgate.core import patterns
from dockgate.core.errors import DefinitionError
from dockgate.core.model import Undetermined
from dockgate.core.rules import Facts, Rule
from dockgate.core.verdict import Breach
from dockgate.rules._settings import known, words


class BaseImage:
    """Settings: `allowed`, patterns (`core.patterns`) of which one stands for all of the base image's name.

    The name is what the image's manifest, config or history says of it, as it says it: "docker.io/library/debian:13".
    """

    name = "base_image"
    always: Mapping[str, object] | None = None
    looks_at: tuple[str, ...] = ()
    schema: Mapping[str, Any] = {
        "properties": {"allowed": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}},
        "required": ["allowed"],
    }

    def settings(self, given: Mapping[str, object]) -> dict[str, object]:
        known(given, ("allowed",))
        if "allowed" not in given:
            raise DefinitionError("base_image: nothing allowed; it needs allowed, a list of patterns of names")
        return {"allowed": words("allowed", given["allowed"], "patterns of names")}

    def needs(self, settings: Mapping[str, object]) -> tuple[str, ...]:
        return ()

    def judge(self, facts: Facts, settings: Mapping[str, object]) -> Iterator[Breach | Undetermined]:
        base = facts.inventory.base
        allowed = words("allowed", settings["allowed"], "patterns of names")
        if not base:
            yield Undetermined("/", "It is not known which image this one is built on.")
        elif not any(patterns.matches(base, pattern) for pattern in allowed):
            yield Breach(self.name, f"The base image {base} is none of those allowed: {', '.join(allowed)}")


RULE: Rule = BaseImage()
