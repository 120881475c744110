"""Who is told of what happens: the log always, and what the settings name."""

import re
from functools import partial

from dockgate.bootstrap.ecs import Client, boto3_client
from dockgate.config import Settings
from dockgate.core.adapters import Notifier
from dockgate.core.errors import UsageError
from dockgate.notifiers.eventbridge import EventBridgeNotifier
from dockgate.notifiers.log import LogNotifier
from dockgate.notifiers.sns import SnsNotifier


def notifiers(settings: Settings, client: Client | None = None) -> list[Notifier]:
    """Raises UsageError for an ARN that is none, and when boto3 is needed and missing."""
    found: list[Notifier] = [LogNotifier()]
    if settings.event_bus:
        region = _region("DOCKGATE_EVENT_BUS", settings.event_bus, r"events:([a-z0-9-]+):\d{12}:event-bus/.+")
        make = partial(client or boto3_client(), "events", region)
        found.append(EventBridgeNotifier(make, settings.event_bus))
    if settings.sns_topic:
        region = _region("DOCKGATE_SNS_TOPIC", settings.sns_topic, r"sns:([a-z0-9-]+):\d{12}:[A-Za-z0-9_.-]+")
        found.append(SnsNotifier(partial(client or boto3_client(), "sns", region), settings.sns_topic))
    return found


def _region(setting: str, arn: str, form: str) -> str:
    matched = re.fullmatch(rf"arn:aws[a-z-]*:{form}", arn)
    if not matched:
        raise UsageError(f"{setting} is {arn!r}, which is no such ARN.", "Copy the ARN from AWS's console.")
    return matched[1]
