"""Who is told of what happens: the log always, and what the settings name."""

from functools import partial

from dockgate.bootstrap.arns import BUS, TOPIC, arn
from dockgate.bootstrap.ecs import Client, boto3_client
from dockgate.config import Settings
from dockgate.core.adapters import Notifier
from dockgate.notifiers.eventbridge import EventBridgeNotifier
from dockgate.notifiers.log import LogNotifier
from dockgate.notifiers.sns import SnsNotifier


def notifiers(settings: Settings, client: Client | None = None) -> list[Notifier]:
    """Raises UsageError for an ARN that is none, and when boto3 is needed and missing."""
    found: list[Notifier] = [LogNotifier()]
    if settings.event_bus:
        region = arn("DOCKGATE_EVENT_BUS", settings.event_bus, BUS)["region"]
        make = partial(client or boto3_client(), "events", region)
        found.append(EventBridgeNotifier(make, settings.event_bus))
    if settings.sns_topic:
        region = arn("DOCKGATE_SNS_TOPIC", settings.sns_topic, TOPIC)["region"]
        found.append(SnsNotifier(partial(client or boto3_client(), "sns", region), settings.sns_topic))
    return found
