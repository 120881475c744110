"""Checked access to JSON documents: an unexpected value is an error with its location."""

import re
from collections.abc import Mapping
from typing import Any

from dockgate.gate.model import VexStatus
from dockgate.shared.digest import from_hex, is_digest
from dockgate.shared.timestamps import to_datetime
from dockgate.shared.wording import shorten_text

TEXT_LIMIT = 4000  # characters of a text for people; longer texts are cut
NAME_LIMIT = 1000  # characters of an identifier

# OpenVEX's justifications, which are also CSAF's flags.
JUSTIFICATIONS = (
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
)


class InvalidDocumentError(Exception):
    """The document cannot be read. The text starts with the location: "statements[3].status: …"."""


class Node:
    """A value of the document, with its location."""

    def __init__(self, value: Any, location: str = "") -> None:
        self.value = value
        self.location = location

    def make_error(self, reason: str) -> InvalidDocumentError:
        """The error that this value is not as expected."""
        return InvalidDocumentError(f"{self.location or 'document'}: {reason}")

    def get(self, key: str) -> "Node":
        """The value of a key; a node of None if the key is absent."""
        if self.value is not None and not isinstance(self.value, dict):
            raise self.make_error("this must be an object")
        value = (self.value or {}).get(key)
        return Node(value, f"{self.location}.{key}" if self.location else key)

    def list_items(self) -> "list[Node]":
        """The items of a list; none if it is absent."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.make_error("this must be a list")
        return [Node(item, f"{self.location}[{number}]") for number, item in enumerate(self.value)]

    def read_text(self) -> str | None:
        """A text, None if the document has none or an empty one."""
        if self.value is None:
            return None
        if not isinstance(self.value, str):
            raise self.make_error("this must be a text")
        return self.value or None

    def read_name(self) -> str | None:
        """An identifier of limited length, None if the document has none or a blank one."""
        name = (self.read_text() or "").strip()
        if len(name) > NAME_LIMIT:
            raise self.make_error(f"this has {len(name)} characters, the limit is {NAME_LIMIT}")
        return name or None

    def read_prose(self) -> str | None:
        """A text for people, cut at TEXT_LIMIT; None if the document has none or a blank one."""
        prose = shorten_text(" ".join((self.read_text() or "").split()), TEXT_LIMIT)
        return prose or None

    def require_name(self) -> str:
        """An identifier that must be there."""
        name = self.read_name()
        if name is None:
            raise self.make_error("this is missing")
        return name

    def read_time(self) -> str | None:
        """RFC 3339 with a time zone, None if the document has none."""
        text = self.read_name()
        if text is None:
            return None
        # Go writes nanoseconds; Python 3.11 reads six digits.
        time = re.sub(r"(\.\d{6})\d+", r"\1", text)
        try:
            has_zone = to_datetime(time).tzinfo is not None
        except ValueError:
            has_zone = False
        if not has_zone:
            raise self.make_error(f"{text!r} is not a time in RFC 3339 with a time zone")
        return time

    def read_status(self, words: Mapping[str, VexStatus]) -> VexStatus:
        """The status of one of these words."""
        word = self.require_name()
        if word not in words:
            raise self.make_error(f"{word!r} is not allowed; allowed: {', '.join(words)}")
        return words[word]

    def is_present(self) -> bool:
        return self.value is not None


def select_latest_time(*times: str | None) -> str | None:
    """The latest of these times, or None."""
    return max(filter(None, times), key=to_datetime, default=None)


def drop_duplicates(*names: str | None) -> tuple[str, ...]:
    """The names that are there, each once."""
    return tuple(dict.fromkeys(filter(None, names)))


def parse_sha256(value: str | None) -> str | None:
    """The digest of a SHA-256 hash in hex; None for anything else."""
    digest = from_hex(value.lower()) if value else None
    return digest if digest and is_digest(digest) else None
