"""Checks that all rules use for their settings. An error names the key, its value and the allowed values."""

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import timedelta

from dockgate.shared.errors import DefinitionError

KEY_BEGIN, _KEY_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
CLOCK_SKEW = timedelta(days=1)  # a time this far in the future is still valid
MAX_DAYS = 36_500
# What a rule does with a finding that has no score.
UNSCORED = ("undetermined", "count", "ignore")


def require_known_keys(raw: Mapping[str, object], allowed: Iterable[str], prefix: str = "") -> None:
    """Refuse keys that the rule does not have. `prefix` is the path of the mapping, with a dot: "grace_days."."""
    keys = tuple(allowed)
    for key in raw:
        if key not in keys:
            raise DefinitionError(f"{prefix}{key}: unknown key; allowed here: {', '.join(keys) or 'none'}")


def one_of(key: str, value: object, allowed: tuple[str, ...]) -> str:
    """The value, which must be one of these words."""
    if value not in allowed:
        raise refused(key, value, ", ".join(allowed))
    return str(value)


def whole_number(key: str, value: object, minimum: int, maximum: float = math.inf) -> int:
    """The value, which must be an integer and not a boolean."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise refused(key, value, f"a whole number, {minimum} {_upper_bound(maximum)}")
    return value


def number(key: str, value: object, maximum: float = math.inf, *, above: float | None = None) -> float:
    """The value, which must be a number, not a boolean: at least 0, or more than `above`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= maximum
    if not isinstance(value, (int, float)) or not is_number or (above is not None and value <= above):
        bounds = f"0 {_upper_bound(maximum)}" if above is None else f"above {above:g}"
        raise refused(key, value, f"a number, {bounds}")
    return value


def _upper_bound(maximum: float) -> str:
    return "or more" if maximum == math.inf else f"to {maximum:g}"


def text_list(key: str, value: object, noun: str) -> list[str]:
    """The value, which must be a list of texts; neither the list nor a text may be empty. Errors call it `noun`."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(text, str) and text.strip() for text in value):
        return list(value)
    raise refused(key, value, f"a list of {noun}")


def boolean(key: str, value: object) -> bool:
    """The value, which must be true or false."""
    if not isinstance(value, bool):
        raise refused(key, value, "true, false")
    return value


def public_key(key: str, value: object) -> str:
    """The value, which must be a PEM public key, with lines of 64 characters."""
    text = value.strip() if isinstance(value, str) else ""
    body = "".join(text.removeprefix(KEY_BEGIN).removesuffix(_KEY_END).split())
    try:
        is_pem = text.startswith(KEY_BEGIN) and text.endswith(_KEY_END) and bool(base64.b64decode(body, validate=True))
    except ValueError:
        is_pem = False
    if not is_pem:
        raise refused(key, value, f"a public key as PEM, from {KEY_BEGIN} to {_KEY_END}")
    return "\n".join([KEY_BEGIN, *(body[at : at + 64] for at in range(0, len(body), 64)), _KEY_END, ""])


def refused(key: str, value: object, allowed: str) -> DefinitionError:
    """The error for a value that is not allowed."""
    return DefinitionError(f"{key}: {json.dumps(value, default=str)} is not allowed; allowed: {allowed}")
