"""What the rules' settings have in common: refusals that name the key, the value given and the values allowed."""

import json
import math
from collections.abc import Iterable, Mapping

from dockgate.core.errors import DefinitionError

UNSCORED = ("undetermined", "count", "ignore")
"""what may be made of a finding that nobody has scored"""


def known(given: Mapping[str, object], allowed: Iterable[str], inside: str = "") -> None:
    """Refuses keys that the rule does not have. `inside` is where the mapping lies, with a dot: "grace_days."."""
    keys = tuple(allowed)
    for key in given:
        if key not in keys:
            raise DefinitionError(f"{inside}{key}: unknown key; allowed here: {', '.join(keys) or 'none'}")


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


def number(key: str, value: object, least: float = 0, most: float = math.inf) -> float:
    """A number, whole or not; true and false are none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value <= most:
        raise refused(
            key, value, f"a number, {least:g} or more" if most == math.inf else f"a number, {least:g} to {most:g}"
        )
    return value


def words(key: str, value: object, what: str, empty: bool = False) -> list[str]:
    """A list of texts, none of them empty. `what` they are is said in the refusal."""
    listed = isinstance(value, (list, tuple)) and all(isinstance(word, str) and word.strip() for word in value)
    if not listed or not (value or empty):
        raise refused(key, value, f"a list of {what}")
    return [str(word) for word in value] if isinstance(value, (list, tuple)) else []


def boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refused(key, value, "true, false")
    return value


def refused(key: str, value: object, allowed: str) -> DefinitionError:
    return DefinitionError(f"{key}: {json.dumps(value, default=str)} is not allowed; allowed: {allowed}")
