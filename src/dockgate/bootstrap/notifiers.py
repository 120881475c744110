"""Who is told of what happens: the log always, and what the settings name."""

from functools import partial

from dockgate.config import Settings
from dockgate.events.notifiers.eventbridge import EventBridgeNotifier
from dockgate.events.notifiers.log import LogNotifier
from dockgate.events.notifiers.sns import SnsNotifier
from dockgate.events.ports import Notifier
from dockgate.shared.aws import BUS, TOPIC, Client, boto3_client, parse_arn


def notifiers(settings: Settings, client: Client | None = None) -> list[Notifier]:
    """Raises UsageError for an ARN that is none, and when boto3 is needed and missing."""
    found: list[Notifier] = [LogNotifier()]
    if settings.event_bus:
        region = parse_arn("DOCKGATE_EVENT_BUS", settings.event_bus, BUS)["region"]
        make = partial(client or boto3_client(), "events", region)
        found.append(EventBridgeNotifier(make, settings.event_bus))
    if settings.sns_topic:
        region = parse_arn("DOCKGATE_SNS_TOPIC", settings.sns_topic, TOPIC)["region"]
        found.append(SnsNotifier(partial(client or boto3_client(), "sns", region), settings.sns_topic))
    return found
