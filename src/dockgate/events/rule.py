"""Rules and targets: which events go where, as people write them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dockgate.events.input_template import Input
from dockgate.shared.errors import DefinitionError

# The name in a rule for the targets that the policy assignment of the event's repository names as its owners.
OWNERS = "owners"
# Targets that the settings make.
LOG_TARGET, BUS_TARGET, TOPIC_TARGET = "log", "event-bus", "sns-topic"
RESERVED_TARGETS = (LOG_TARGET, BUS_TARGET, TOPIC_TARGET)


class TargetType(StrEnum):
    """The kind of receiver that a target is. Each is a file of `events/targets`."""

    LOG = "log"
    PIPELINE = "pipeline"
    WEBHOOK = "webhook"
    EVENTBRIDGE = "eventbridge"
    SNS = "sns"
    SQS = "sqs"
    APPRISE = "apprise"


def parse_zone(name: str) -> tzinfo:
    """The time zone of a name such as "Europe/Berlin".

    Raises DefinitionError for one that this machine lacks.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DefinitionError(
            f"there is no time zone {name!r} here", "Write a name such as Europe/Berlin; it needs the package tzdata."
        ) from None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end` every day ("22:00"), in a time zone such as "Europe/Berlin", messages wait."""

    start: str
    end: str
    timezone: str = "UTC"

    def end_after(self, now: datetime) -> datetime | None:
        """Return when the quiet hours of this moment end; None when there are none now."""
        zone = parse_zone(self.timezone)
        local_time = now.astimezone(zone)
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        for day in (local_time.date() - timedelta(days=1), local_time.date()):
            begin = datetime.combine(day, start, zone)
            finish = datetime.combine(day if start < end else day + timedelta(days=1), end, zone)
            if begin <= local_time < finish:
                return finish.astimezone(now.tzinfo)
        return None


@dataclass(frozen=True, slots=True)
class DailySummary:
    """A summary is sent every day `at` a time ("08:00") in a time zone, also when all is well."""

    at: str
    timezone: str = "UTC"

    def compute_due_time(self, now: datetime) -> datetime:
        """The latest moment, not after `now`, at which a summary was due."""
        zone = parse_zone(self.timezone)
        local_time = now.astimezone(zone)
        moment = datetime.combine(local_time.date(), time.fromisoformat(self.at), zone)
        if moment > local_time:
            moment = datetime.combine(local_time.date() - timedelta(days=1), time.fromisoformat(self.at), zone)
        return moment.astimezone(now.tzinfo)


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """A target of a rule. `name` may be OWNERS.

    `input` is what the target gets instead of the event. With `group_seconds`, events are collected until none has
    come for so long, and become one message.
    """

    name: str
    input: Input = field(default_factory=Input)
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
    the owners of repositories whose messages come here: principals by their names, roles as "role:NAME".
    """

    name: str
    type: TargetType
    address: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True
    quiet_hours: QuietHours | None = None
    summary: DailySummary | None = None
    recipients: tuple[str, ...] = ()
