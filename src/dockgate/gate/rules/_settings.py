"""Checks that all rules use for their settings.

An error names the key, its value and the allowed values.
"""

import base64
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from dockgate.shared.digest import is_digest
from dockgate.shared.errors import DefinitionError

_KEY_BEGIN, _KEY_END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
MAX_DAYS = 36_500
# What a rule does with a finding that has no score, and whether such a finding counts (None: undetermined).
UNSCORED_CHOICES: Mapping[str, bool | None] = {"undetermined": None, "count": True, "ignore": False}


TEXT_SCHEMA: Mapping[str, Any] = {"type": "string", "minLength": 1}
KEY_SCHEMA: Mapping[str, Any] = {"type": "string", "pattern": _KEY_BEGIN}


_UNSCORED_WORDS = {
    "undetermined": "A finding without a score makes the image Undetermined if it could exceed the limit.",
    "count": "A finding without a score counts.",
    "ignore": "A finding without a score does not count.",
}


def describe_unscored(choice: str) -> str:
    """Describe a choice of `UNSCORED_CHOICES` in a sentence."""
    return _UNSCORED_WORDS[choice]


def build_list_schema(item: Mapping[str, Any], *, minimum: int = 1, **limits: int) -> dict[str, Any]:
    """The JSON Schema of a list."""
    return {"type": "array", "items": item, "minItems": minimum, **limits}


def build_object_schema(properties: Mapping[str, Any], required_keys: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of a mapping with only these keys."""
    return {"type": "object", "properties": properties, "required": list(required_keys), "additionalProperties": False}


def require_known_keys(raw: Mapping[str, object], allowed_keys: Iterable[str], prefix: str = "") -> None:
    """Refuse keys that the rule does not have.

    `prefix` is the path of the mapping, with a dot: "grace_days.".
    """
    keys = tuple(allowed_keys)
    for key in raw:
        if key not in keys:
            raise DefinitionError(f"{prefix}{key}: unknown key; allowed here: {', '.join(keys) or 'none'}")


def read_choice(key: str, value: object, allowed_values: Collection[str]) -> str:
    """The value, which must be one of these words."""
    if value not in allowed_values:
        raise make_refusal(key, value, ", ".join(allowed_values))
    return str(value)


def read_whole_number(key: str, value: object, minimum: int, maximum: float = math.inf) -> int:
    """The value, which must be an integer and not a boolean."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise make_refusal(key, value, f"a whole number, {minimum} {_describe_upper_bound(maximum)}")
    return value


def read_number(key: str, value: object, maximum: float = math.inf, *, lower_bound: float | None = None) -> float:
    """The value, which must be a number, not a boolean: at least 0, or more than `lower_bound`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= maximum
    if not isinstance(value, (int, float)) or not is_number or (lower_bound is not None and value <= lower_bound):
        bounds = f"0 {_describe_upper_bound(maximum)}" if lower_bound is None else f"above {lower_bound:g}"
        raise make_refusal(key, value, f"a number, {bounds}")
    return value


def _describe_upper_bound(maximum: float) -> str:
    return "or more" if maximum == math.inf else f"to {maximum:g}"


def read_text_list(key: str, value: object, noun: str) -> list[str]:
    """The value, which must be a list of texts; neither the list nor a text may be empty.

    Errors call it `noun`.
    """
    if isinstance(value, (list, tuple)) and value and all(isinstance(text, str) and text.strip() for text in value):
        return list(value)
    raise make_refusal(key, value, f"a list of {noun}")


def read_items(key: str, value: object, missing_text: str) -> list[tuple[str, object]]:
    """The items of a list setting, each with its key; the list must not be empty.

    `missing_text` names what is allowed.
    """
    if not isinstance(value, (list, tuple)) or not value:
        raise DefinitionError(f"{key}: missing; set {missing_text}")
    return [(f"{key}.{index}", item) for index, item in enumerate(value)]


def select_mappings(value: object) -> list[Mapping[str, Any]]:
    """The entries of a list in complete settings."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []


def read_public_keys(key: str, value: object, *, can_be_empty: bool = False) -> list[str]:
    """The value, which must be a list of PEM public keys."""
    if not isinstance(value, (list, tuple)) or not (value or can_be_empty):
        raise make_refusal(key, value, "a list of public keys as PEM")
    return [read_public_key(f"{key}.{index}", pem) for index, pem in enumerate(value)]


def read_boolean(key: str, value: object) -> bool:
    """The value, which must be true or false."""
    if not isinstance(value, bool):
        raise make_refusal(key, value, "true, false")
    return value


def read_digest(key: str, value: object) -> str:
    """The value, which must be a sha256 digest."""
    if not isinstance(value, str) or not is_digest(value):
        raise make_refusal(key, value, "a digest, sha256: and 64 hexadecimal digits")
    return value


def read_public_key(key: str, value: object) -> str:
    """The value, which must be a PEM public key, with lines of 64 characters."""
    text = value.strip() if isinstance(value, str) else ""
    body = "".join(text.removeprefix(_KEY_BEGIN).removesuffix(_KEY_END).split())
    try:
        is_pem = text.startswith(_KEY_BEGIN) and text.endswith(_KEY_END) and bool(base64.b64decode(body, validate=True))
    except ValueError:
        is_pem = False
    if not is_pem:
        raise make_refusal(key, value, f"a public key as PEM, from {_KEY_BEGIN} to {_KEY_END}")
    return "\n".join([_KEY_BEGIN, *(body[at : at + 64] for at in range(0, len(body), 64)), _KEY_END, ""])


def make_refusal(key: str, value: object, allowed_values: str) -> DefinitionError:
    """The error for a value that is not allowed."""
    return DefinitionError(f"{key}: {json.dumps(value, default=str)} is not allowed; allowed: {allowed_values}")
