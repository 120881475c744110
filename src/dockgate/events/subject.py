"""What an event is about: events of one subject are delivered in their order. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class SubjectKind(StrEnum):
    """The kind of what an event is about. What has no name, such as ADVISORIES, exists once."""

    ADVISORIES = "advisories"
    APPROVAL = "approval"
    ASSIGNMENT = "assignment"
    DOCUMENT = "document"
    EXECUTION = "execution"
    FEED = "feed"
    IMAGE = "image"
    PIPELINE = "pipeline"
    POLICY = "policy"
    RULE = "rule"
    SERVICE = "service"
    TAG = "tag"
    TARGET = "target"
    WAIVER = "waiver"


@dataclass(frozen=True, slots=True)
class EventSubject:
    """The subject of an event: "service shop" is the service of that name.

    `kind` is a `SubjectKind`, or a text in the events of another version. `name` is None for what exists once.
    """

    kind: str
    name: str | None = None

    def __str__(self) -> str:
        return self.kind if self.name is None else f"{self.kind} {self.name}"

    @classmethod
    def parse(cls, text: str) -> "EventSubject":
        """Read a subject. Every text is one, and its `str` is that text again."""
        kind, space, name = text.partition(" ")
        return cls(kind, name if space else None)

    def is_match(self, other_subject: "EventSubject") -> bool:
        """Return whether this is that subject, or its kind: "service" matches "service shop"."""
        return self.kind == other_subject.kind and self.name in (None, other_subject.name)
