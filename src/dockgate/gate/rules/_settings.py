"""What the rules' settings have in common: refusals that name the key, the value given and the values allowed."""

import base64
import json
import math
from collections.abc import Iterable, Mapping

from dockgate.shared.errors import DefinitionError

KEY_BEGIN, _KEY_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
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


def whole(key: str, value: object, least: int, most: float = math.inf) -> int:
    """A whole number; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise refused(key, value, f"a whole number, {least} {_upto(most)}")
    return value


def number(key: str, value: object, most: float = math.inf, *, above: float | None = None) -> float:
    """A number, whole or not, 0 or more, or more than `above`; true and false are none."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most
    if not isinstance(value, (int, float)) or not fine or (above is not None and value <= above):
        raise refused(key, value, "a number, " + (f"0 {_upto(most)}" if above is None else f"above {above:g}"))
    return value


def _upto(most: float) -> str:
    return "or more" if most == math.inf else f"to {most:g}"


def words(key: str, value: object, what: str) -> list[str]:
    """A list of texts, none of them empty, nor the list. `what` they are is said in the refusal."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(word, str) and word.strip() for word in value):
        return list(value)
    raise refused(key, value, f"a list of {what}")


def boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refused(key, value, "true, false")
    return value


def public_key(key: str, given: object) -> str:
    """A public key as PEM, its lines as they are written everywhere."""
    text = given.strip() if isinstance(given, str) else ""
    body = "".join(text.removeprefix(KEY_BEGIN).removesuffix(_KEY_END).split())
    try:
        fine = text.startswith(KEY_BEGIN) and text.endswith(_KEY_END) and len(base64.b64decode(body, validate=True)) > 0
    except ValueError:
        fine = False
    if not fine:
        raise refused(key, given, f"a public key as PEM, from {KEY_BEGIN} to {_KEY_END}")
    return "\n".join([KEY_BEGIN, *(body[at : at + 64] for at in range(0, len(body), 64)), _KEY_END, ""])


def refused(key: str, value: object, allowed: str) -> DefinitionError:
    return DefinitionError(f"{key}: {json.dumps(value, default=str)} is not allowed; allowed: {allowed}")
