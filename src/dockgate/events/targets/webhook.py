"""Webhooks: CloudEvents 1.0 in a signed POST (Standard Webhooks 1.0)."""

from collections.abc import Callable, Mapping
from datetime import datetime

from dockgate.events.cloudevents import CloudEventsMode, make_http_message
from dockgate.events.model import Message, Target, TargetType
from dockgate.events.ports import TargetAdapter, Webhooks
from dockgate.events.targets._refusals import refuse_for_usage_errors
from dockgate.events.webhook_signature import parse_key, sign_headers
from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override


class WebhookAdapter(TargetAdapter):
    """A sender by POST. The secrets are `url`, and `secret` if messages are signed.

    `webhooks` checks the address when it connects, follows no redirect and bounds time and memory.
    """

    type = TargetType.WEBHOOK

    def __init__(self, webhooks: Webhooks, clock: Callable[[], datetime]) -> None:
        self._webhooks = webhooks
        self._clock = clock

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        try:
            self._webhooks.check(secrets["url"])
        except UsageError as error:
            # Its message may have the URL, and with it a secret.
            raise UsageError(f"the URL of the target {target.name} cannot be called", error.advice) from None
        if "secret" in secrets:
            parse_key(secrets["secret"])

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        headers, body = make_http_message(
            message, CloudEventsMode(target.settings.get("mode", CloudEventsMode.STRUCTURED))
        )
        if "secret" in secrets:
            with refuse_for_usage_errors():
                headers |= sign_headers(message.id, secrets["secret"], body, self._clock())
        else:
            headers["webhook-id"] = message.id
        self._webhooks.call(secrets["url"], headers, body.encode())
