"""JSON, asked for what should be in it: whatever is not as it should be is refused with its place."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dockgate.gate.model import VexStatus

TEXT_LIMIT = 4000
"""characters of a text for people; what is longer is cut"""
NAME_LIMIT = 1000
"""characters of an identifier"""


class Refused(Exception):  # noqa: N818 - read as "the document is refused"
    """Begins with the place: "statements[3].status: …"."""


class Node:
    """A value in the document, with its place."""

    def __init__(self, value: Any, place: str = "") -> None:
        self.value = value
        self.place = place

    def refuse(self, reason: str) -> Refused:
        return Refused(f"{self.place or 'document'}: {reason}")

    def get(self, key: str) -> "Node":
        """What stands under the key; None's node where the key is absent."""
        value = self._object().get(key)
        return Node(value, f"{self.place}.{key}" if self.place else key)

    def items(self) -> "list[Node]":
        """The items of a list; none where it is absent."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.refuse("this is no list")
        return [Node(item, f"{self.place}[{number}]") for number, item in enumerate(self.value)]

    def text(self) -> str:
        """A text; "" where it is absent."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str):
            raise self.refuse("this is no text")
        return self.value

    def name(self) -> str:
        """A text that names something: one that may be long is refused."""
        found = self.text().strip()
        if len(found) > NAME_LIMIT:
            raise self.refuse(f"this has {len(found)} characters, at most {NAME_LIMIT} are read")
        return found

    def prose(self) -> str:
        """A text for people, cut where it is very long."""
        found = " ".join(self.text().split())
        return found if len(found) <= TEXT_LIMIT else found[: TEXT_LIMIT - 1] + "…"

    def need(self) -> str:
        """A name that must be there."""
        found = self.name()
        if not found:
            raise self.refuse("this is missing")
        return found

    def time(self) -> str:
        """RFC 3339 with a time zone; "" where it is absent."""
        found = self.name()
        if found:
            try:
                zoned = datetime.fromisoformat(_micro(found)).tzinfo is not None
            except ValueError:
                zoned = False
            if not zoned:
                raise self.refuse(f"{found!r} is no time in RFC 3339 with a time zone")
        return _micro(found)

    def choice(self, words: Mapping[str, VexStatus]) -> VexStatus:
        found = self.need()
        if found not in words:
            raise self.refuse(f"{found!r} is not known; known are {', '.join(words)}")
        return words[found]

    def exists(self) -> bool:
        return self.value is not None

    def _object(self) -> dict[str, Any]:
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.refuse("this is no object")
        return self.value


def later(*times: str) -> str:
    """The latest of these times, "" for none."""
    return max(filter(None, times), key=datetime.fromisoformat, default="")


def unique(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, names)))


def sha256(value: str) -> str:
    """A hash in hex as a digest; "" for what is none."""
    text = value.lower()
    return f"sha256:{text}" if len(text) == 64 and set(text) <= set("0123456789abcdef") else ""


def _micro(text: str) -> str:
    """Go writes nanoseconds, of which Python 3.11 reads six digits."""
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return head + dot + rest[: min(digits, 6)] + rest[digits:] if digits > 6 else text
