"""What the targets in AWS share: their adapters' base, sizes and ids."""

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from dockgate.events.model import Message, Target
from dockgate.events.ports import TargetAdapter
from dockgate.events.targets._refusals import refuse_for_usage_errors
from dockgate.shared.aws import parse_arn
from dockgate.shared.interfaces import override
from dockgate.shared.wording import replace_surrogates, shorten_text

# Bytes; EventBridge, SNS and SQS take 256 KiB with all attributes.
BODY_LIMIT = 200_000


class AwsAdapter(TargetAdapter):
    """A sender to what the setting `arn` names. `clients` makes boto3 clients by service and region."""

    # The form of the ARN, after "arn:aws:".
    arn_form: ClassVar[str]

    def __init__(self, clients: Callable[[str, str], Any]) -> None:
        self._clients = clients

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        self._parse_arn(target)

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        with refuse_for_usage_errors():
            self._send(target, message)

    @abstractmethod
    def _send(self, target: Target, message: Message) -> None:
        """Send a message. A UsageError refuses it."""

    def _parse_arn(self, target: Target) -> re.Match[str]:
        return parse_arn("arn", str(target.settings["arn"]), self.arn_form)


def make_body(message: Message) -> str:
    """The message's data. If it is too long: the event without its detail, and the text for people."""
    data = replace_surrogates(message.data)
    if len(data.encode()) <= BODY_LIMIT:
        return data
    return json.dumps(shorten_detail(message), separators=(",", ":"))


def make_detail(message: Message) -> dict[str, Any]:
    """The detail of an event for EventBridge, which must be a JSON object."""
    detail: Any = dict(message.event.get("detail") or {})
    if message.is_custom:
        try:
            detail = json.loads(message.data)
        except ValueError:
            detail = message.data
        if not isinstance(detail, dict):
            detail = {"message": detail}
    document = json.dumps(detail, ensure_ascii=True, separators=(",", ":"))
    return detail if len(document) <= BODY_LIMIT else shorten_detail(message)


def shorten_detail(message: Message) -> dict[str, Any]:
    """Shorten an event that is too large."""
    return {
        "id": message.key,
        "detail-type": message.event.get("detail-type"),
        "title": shorten_text(message.title, 500),
        "text": shorten_text(message.body, 2000),
        "truncated": True,
    }


def make_fifo_ids(message: Message) -> tuple[str, str]:
    """The group and the deduplication id of a message in a FIFO topic or queue.

    Messages of a subject keep their order. Both have at most 128 characters (SNS and SQS).
    """
    group = hashlib.sha256(str(message.subject or "dockgate").encode("utf-8", "backslashreplace")).hexdigest()
    return group, message.id


def make_attributes(message: Message) -> dict[str, dict[str, str]]:
    """Attributes to filter by."""
    values = {"detail-type": message.event.get("detail-type"), "source": message.event.get("source")}
    return {name: {"DataType": "String", "StringValue": str(value)[:256]} for name, value in values.items() if value}
