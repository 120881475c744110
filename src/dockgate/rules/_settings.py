"""What the rules' settings have in common: refusals that name the key, the value given and the values allowed."""

import json
from collections.abc import Iterable, Mapping

from dockgate.core.errors import DefinitionError


def known(given: Mapping[str, object], allowed: Iterable[str]) -> None:
    """Refuses keys that the rule does not have."""
    keys = tuple(allowed)
    for key in given:
        if key not in keys:
            raise DefinitionError(f"{key}: unknown key; allowed here: {', '.join(keys) or 'none'}")


def one_of(key: str, value: object, allowed: tuple[str, ...]) -> str:
    """A word out of a few."""
    if value not in allowed:
        raise refused(key, value, ", ".join(allowed))
    return str(value)


def whole(key: str, value: object, least: int) -> int:
    """A whole number; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise refused(key, value, f"a whole number, {least} or more")
    return value


def boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refused(key, value, "true, false")
    return value


def refused(key: str, value: object, allowed: str) -> DefinitionError:
    return DefinitionError(f"{key}: {json.dumps(value, default=str)} is not allowed; allowed: {allowed}")
