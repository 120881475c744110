"""The nouns of events: what happened, which rules send it where, and the message that arrives.

Delivery is at least once; ids remove repetitions.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dockgate.events.delivery_times import DailySummary, QuietHours
from dockgate.events.subject import EventSubject
from dockgate.gate.owner import Owner

# An AWS account and region that no real resource has; patterns seldom name either.
ACCOUNT = "000000000000"
REGION = "local"
# The name in a rule for the targets that the policy assignment of the event's repository names as its owners.
OWNERS = "owners"
# Targets that the settings make.
LOG_TARGET, BUS_TARGET, TOPIC_TARGET = "log", "event-bus", "sns-topic"
RESERVED_TARGETS = (LOG_TARGET, BUS_TARGET, TOPIC_TARGET)


class PushKind(StrEnum):
    """The kind of an event."""

    REPOSITORY_PUSH = "Repository Push"
    IMAGE_PUSH = "Image Push"


@dataclass(frozen=True, slots=True)
class PushEvent:
    """An event, whose `detail` maps names to text.

    `handled_at` is None until all consequences of the event are complete. A REPOSITORY_PUSH has repository, branch,
    commit, and `by` if the pusher is known; an IMAGE_PUSH has repository, digest, tag unless the digest
    was pushed alone, `by` if our own registry reported the pusher, and `pushed_at` if the registry reported it.
    """

    id: str
    kind: PushKind
    detail: dict[str, str]
    at: str
    handled_at: str | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to store.

    `id` is derived from what happened: appending it again stores nothing. `subject` is what the event is about;
    events of one subject are delivered in the order of their `seq`. `time` is RFC 3339.
    """

    id: str
    source: str
    detail_type: str
    subject: EventSubject
    time: str
    detail: Mapping[str, Any]
    resources: tuple[str, ...] = ()
    account: str = ACCOUNT
    region: str = REGION
    repository: str | None = None
    pipeline: str | None = None

    def make_envelope(self) -> dict[str, Any]:
        """The event as it is matched and delivered."""
        return {
            "version": "0",
            "id": self.id,
            "detail-type": self.detail_type,
            "source": self.source,
            "account": self.account,
            "time": self.time,
            "region": self.region,
            "resources": list(self.resources),
            "detail": dict(self.detail),
        }


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the event log. `seq` counts up without repeating; `body` is the envelope."""

    seq: int
    id: str
    source: str
    detail_type: str
    subject: EventSubject
    at: str
    repository: str | None
    pipeline: str | None
    body: dict[str, Any]


class TargetType(StrEnum):
    """The kind of receiver that a target is. Each is a file of `events/targets`."""

    LOG = "log"
    PIPELINE = "pipeline"
    WEBHOOK = "webhook"
    EVENTBRIDGE = "eventbridge"
    SNS = "sns"
    SQS = "sqs"
    APPRISE = "apprise"


@dataclass(frozen=True, slots=True)
class TargetInput:
    """The input that a target gets instead of the event.

    At most one of `constant`, `path` and `template` is not None. `constant` is JSON, `path` a JSON path, `template` a
    text with variables such as <name>, whose paths are `paths`.
    """

    constant: str | None = None
    path: str | None = None
    template: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """A target of a rule. `name` may be OWNERS.

    `input` is what the target gets instead of the event. With `group_seconds`, events are collected until none has
    come for so long, and become one message.
    """

    name: str
    input: TargetInput = field(default_factory=TargetInput)
    group_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that sends events to targets. `pattern` is an event pattern of EventBridge, as JSON."""

    name: str
    pattern: Mapping[str, Any]
    targets: tuple[RuleTarget, ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver of events, without its secrets.

    `address` is what may be shown of where it is, `settings` what its type needs beyond the secrets. `recipients` are
    the owners of repositories whose messages come here: principals and roles.
    """

    name: str
    type: TargetType
    address: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    quiet_hours: QuietHours | None = None
    summary: DailySummary | None = None
    recipients: tuple[Owner, ...] = ()


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
