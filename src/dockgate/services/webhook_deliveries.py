"""Send the answers of approvals to their callbacks."""

from collections.abc import Callable, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from dockgate.delivery.ports import Answers
from dockgate.delivery.webhook_delivery import Callback, delivery, headers
from dockgate.events.ports import Webhooks
from dockgate.services.effects import Step
from dockgate.services.outbox import UndeliverableError
from dockgate.shared.errors import DeniedError
from dockgate.store.approvals import Approvals
from dockgate.store.records import OutboxEntry, OutboxKind


class WebhookHandler:
    """Posts the answer as a signed webhook, or hands it to the `answers` of the URL's scheme."""

    kind = OutboxKind.WEBHOOK
    step = Step.DELIVER
    receiver_limit = 4

    def __init__(
        self, approvals: Approvals, webhooks: Webhooks, answers: Mapping[str, Answers], clock: Callable[[], datetime]
    ) -> None:
        self._approvals = approvals
        self._webhooks = webhooks
        self._answers = answers
        self._clock = clock

    def send(self, entry: OutboxEntry) -> None:
        callback = Callback(entry.payload["url"], entry.payload["secret"])
        made = delivery(self._approvals.get(entry.key), callback)
        answers = self._answers.get(urlsplit(callback.url).scheme)
        try:
            if answers is None:
                self._webhooks.call(made.url, headers(made, self._clock()), made.body.encode())
            else:
                answers.give(made)
        except DeniedError as error:
            raise UndeliverableError(error.full_message) from error
