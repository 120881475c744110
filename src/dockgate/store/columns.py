"""Column types: values of the model as text, the same on every database."""

import json
from enum import StrEnum
from typing import Any

from sqlalchemy import Dialect, Float, Integer, Text
from sqlalchemy.types import TypeDecorator

from dockgate.delivery.model import ActionKey
from dockgate.events.subject import EventSubject
from dockgate.shared.canonical import build, encode
from dockgate.shared.escaping import as_unicode
from dockgate.shared.interfaces import override
from dockgate.shared.text_types import TextType


def escape_text(text: str) -> str:
    """Return the text as `SafeText` stores it."""
    return as_unicode(text).replace("\0", "\\x00")


class SafeText(TypeDecorator[str]):
    """Text from any source, such as a container's output. What UTF-8 or Postgres cannot hold is escaped."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else escape_text(value)


class TypedText(SafeText):
    """Text of a type of its own in Python. `kind` is the type."""

    cache_ok = True

    def __init__(self, kind: type[TextType]) -> None:
        super().__init__()
        self.kind = kind

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.kind(value)


class TextOrEmpty(SafeText):
    """Text that may be absent: None in Python, an empty text in the column. `kind` is its type in Python.

    A comparison with None finds the empty texts. A primary key may have such a column.
    """

    cache_ok = True
    coerce_to_is_types = ()  # else a comparison with None would be one with NULL, which no row has

    def __init__(self, kind: type[str] = str) -> None:
        super().__init__()
        self.kind = kind

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return super().process_bind_param(value or "", dialect)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return self.kind(value) if value else None


class NumberOrZero(TypeDecorator[int]):
    """A positive number that may be absent: None in Python, 0 in the column."""

    impl = Integer
    cache_ok = True

    @override
    def process_bind_param(self, value: int | None, dialect: Dialect) -> int:
        return value or 0

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> int | None:
        return value or None


class ScoreOrMinusOne(TypeDecorator[float]):
    """A score that may be absent: None in Python, -1 in the column, which orders it below all others."""

    impl = Float
    cache_ok = True

    @override
    def process_bind_param(self, value: float | None, dialect: Dialect) -> float:
        return -1.0 if value is None else value

    @override
    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or value < 0 else value


class EnumText(TypeDecorator[StrEnum]):
    """A value of an enum, as text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind
        self._members = {member.value: member for member in kind}  # a call of the enum is slow Python

    @override
    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.kind(value).value

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self._members.get(value) or self.kind(value)


class Json(TypeDecorator[Any]):
    """A dataclass or a dict, as canonical JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else encode(value).decode()

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else build(self.kind, json.loads(value))


class SubjectText(TypeDecorator[EventSubject]):
    """The subject of an event, as text."""

    impl = SafeText
    cache_ok = True

    @override
    def process_bind_param(self, value: EventSubject | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> EventSubject | None:
        return None if value is None else EventSubject.parse(value)


class Key(TypeDecorator[ActionKey]):
    """An action's key as text. It compares with any text, because an approval's id may be a key or not."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: ActionKey | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> ActionKey | None:
        return None if value is None else ActionKey.parse(value)
