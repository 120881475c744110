"""A message to a target: an event, or several in one."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockgate.events.subject import EventSubject


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a target.

    `key` identifies it: the same at each attempt. `event` is the envelope, `data` the text that the rule makes of it,
    which is JSON of the event unless the rule says otherwise (`is_custom`). `title` and `text` are for people.
    """

    key: str
    rule: str
    event: Mapping[str, Any]
    data: str
    title: str
    text: str
    subject: EventSubject | None = None
    is_custom: bool = False

    @property
    def id(self) -> str:
        """The id that receivers recognise a repetition by, in letters that every header allows."""
        return make_message_id(self.key)

    @property
    def body(self) -> str:
        """The text for people: what the rule makes, if it makes one."""
        return self.data if self.is_custom else self.text


def make_message_id(key: str) -> str:
    """Return the id of a message with this key: the same for each attempt to send it."""
    return "msg_" + hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:32]
