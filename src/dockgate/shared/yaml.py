"""YAML text as plain values, with the line of every key.

Scalars are those of YAML 1.2's core schema (chapter 10.3), so `no`, `22:22` and `2026-01-01` stay text. Aliases, tags,
repeated keys, keys that are not scalars, second documents, and too large or too deep documents are refused: a document
can name no type, and costs little more than its size.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from dockgate.shared.errors import DefinitionError

# Bytes of UTF-8.
SIZE_LIMIT = 1_000_000
_ADVICE = "Check the indentation, the quotes and the colons there."
# Mappings and lists inside each other.
DEPTH_LIMIT = 32
# Keys and list items.
COUNT_LIMIT = 50_000

# Keys and list indices from the document's root: ("stages", 0, "name").
Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A document. `value` has dict, list, str, int, float, bool and None; `name` is its file's."""

    name: str
    value: Any
    lines: dict[Location, int]

    def find_line(self, location: Location) -> int:
        """Return the line, from 1, of the key or item, or of the nearest existing one above it."""
        while location not in self.lines:
            location = location[:-1]
        return self.lines[location]

    def make_error(self, location: Location, message: str, advice: str | None = None) -> DefinitionError:
        """ "policy.yaml:7: max_findings.HIHG: <message>"."""
        key_path = ".".join(str(part) for part in location)
        return DefinitionError(
            f"{self.name}:{self.find_line(location)}: {key_path + ': ' if key_path else ''}{message}", advice
        )


def load_document(text: str, name: str) -> Document:
    """Read one document. Errors contain `name`. Raises DefinitionError with the faulty line."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > SIZE_LIMIT:
        raise DefinitionError(
            f"{name}: the document has {size} bytes; at most {SIZE_LIMIT} are read", "Split the document."
        )
    try:
        return _Reader(name, yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))).read_document()
    except UnicodeEncodeError as error:
        raise DefinitionError(
            f"{name}: the document is not Unicode text: {error.reason}", "Save it as UTF-8."
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, len(text.splitlines())) if mark else 1
        raise DefinitionError(f"{name}:{line}: this is not YAML: {error.problem or error.context}", _ADVICE) from error
    except yaml.YAMLError as error:
        raise DefinitionError(f"{name}: this is not YAML: {' '.join(str(error).split())}", _ADVICE) from error


class _Reader:
    """A reader that builds values from the parser's events, so that nothing is expanded or stored twice."""

    def __init__(self, name: str, events: Iterator[yaml.Event]) -> None:
        self._name = name
        self._events = events
        self._lines: dict[Location, int] = {(): 1}

    def read_document(self) -> Document:
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._make_error(event, "a second document begins here: use one file for each")
                value = self._read_value(next(self._events), ())
        return Document(self._name, value, self._lines)

    def _read_value(self, event: yaml.Event, location: Location) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise self._make_error(event, f"the alias *{event.anchor} is not allowed; write the value out")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag not in (None, "!"):
            raise self._make_error(event, f"the tag {event.tag} is not allowed")
        if isinstance(event, yaml.ScalarEvent):
            return _parse_scalar(event.value) if event.implicit[0] else event.value
        if len(location) >= DEPTH_LIMIT:
            raise self._make_error(event, f"nested more than {DEPTH_LIMIT} deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._read_list(location)
        return self._read_mapping(location)

    def _read_list(self, location: Location) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            at = (*location, len(values))
            self._record_line(event, at)
            values.append(self._read_value(event, at))
        return values

    def _read_mapping(self, location: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._make_error(event, "a key must be a word")
            key: str = event.value
            at = (*location, key)
            if key in values:
                raise self._make_error(event, f"the key {key} is repeated; first in line {self._lines[at]}")
            self._record_line(event, at)
            values[key] = self._read_value(next(self._events), at)
        return values

    def _record_line(self, event: yaml.Event, location: Location) -> None:
        if len(self._lines) > COUNT_LIMIT:
            raise self._make_error(event, f"the document has more than {COUNT_LIMIT} keys and items")
        self._lines[location] = _get_line(event)

    def _make_error(self, event: yaml.Event, message: str) -> DefinitionError:
        return DefinitionError(f"{self._name}:{_get_line(event)}: {message}")


def _get_line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_OCTAL = re.compile(r"0o[0-7]{1,30}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")


def _parse_scalar(text: str) -> Any:
    """A plain scalar of the core schema. Numbers that JSON cannot hold, or of over 30 digits, stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
