"""Make what sends events to targets, and the targets of the settings."""

from datetime import UTC, datetime

from dockgate.config import Settings
from dockgate.events.model import BUS_TARGET, LOG_TARGET, TOPIC_TARGET, Target, TargetType
from dockgate.events.ports import TargetAdapter
from dockgate.events.targets.apprise import AppriseAdapter
from dockgate.events.targets.eventbridge import EventBridgeAdapter
from dockgate.events.targets.log import LogAdapter
from dockgate.events.targets.sns import SnsAdapter
from dockgate.events.targets.sqs import SqsAdapter
from dockgate.events.targets.webhook import WebhookAdapter
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.shared.aws import BUS, TOPIC, Client, RegionalClients, load_boto3, parse_arn


def make_target_adapters(settings: Settings, client: Client | None = None, *, is_public: bool) -> list[TargetAdapter]:
    """Return what sends events to targets. With `is_public`, targets on this machine are refused."""
    clients = RegionalClients(client)
    hosts, bundle = settings.callback_hosts, settings.ca_bundle
    return [
        LogAdapter(),
        WebhookAdapter(
            HttpWebhooks(hosts, is_loopback_allowed=not is_public, ca_bundle=bundle), lambda: datetime.now(UTC)
        ),
        EventBridgeAdapter(clients),
        SnsAdapter(clients),
        SqsAdapter(clients),
        AppriseAdapter(hosts, is_loopback_allowed=not is_public, ca_bundle=bundle),
    ]


def make_builtin_targets(settings: Settings, client: Client | None = None) -> list[Target]:
    """Return the log, and the bus and the topic that the settings name.

    Raises UsageError for an invalid ARN, and when boto3 is needed and missing.
    """
    targets = [Target(LOG_TARGET, TargetType.LOG, "the server's log")]
    for setting, arn, form, name, kind in (
        ("DOCKGATE_EVENT_BUS", settings.event_bus, BUS, BUS_TARGET, TargetType.EVENTBRIDGE),
        ("DOCKGATE_SNS_TOPIC", settings.sns_topic, TOPIC, TOPIC_TARGET, TargetType.SNS),
    ):
        if arn:
            parse_arn(setting, arn, form)
            _ = client or load_boto3()
            targets.append(Target(name, kind, arn, {"arn": arn}))
    return targets
