"""Events as messages of an Amazon SNS topic: for its subscribers' mail, queues and functions."""

from collections.abc import Callable, Mapping
from typing import Any

from dockgate.events.message import Message
from dockgate.events.ports import TargetAdapter
from dockgate.events.rule import Target, TargetType
from dockgate.events.targets._aws import make_attributes, make_body, make_fifo_ids
from dockgate.shared.aws import TOPIC, parse_arn, translate_aws_errors
from dockgate.shared.interfaces import override
from dockgate.shared.wording import to_one_line

# Characters: SNS takes fewer than 100 (Publish, "Subject").
_LONGEST_SUBJECT = 99


class SnsAdapter(TargetAdapter):
    """Publishes to the topic whose ARN is the setting `arn`.

    `clients` makes boto3 clients by service and region. The subject is the message's title; the attributes
    `detail-type` and `source` are for filter policies.
    """

    type = TargetType.SNS

    def __init__(self, clients: Callable[[str, str], Any]) -> None:
        self._clients = clients

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        parse_arn("arn", str(target.settings["arn"]), TOPIC)

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        topic = str(target.settings["arn"])
        region = parse_arn("arn", topic, TOPIC)["region"]
        request: dict[str, Any] = {
            "TopicArn": topic,
            "Message": make_body(message),
            "MessageAttributes": make_attributes(message),
        }
        if subject := _make_subject(message.title):
            request["Subject"] = subject
        if topic.endswith(".fifo"):
            request["MessageGroupId"], request["MessageDeduplicationId"] = make_fifo_ids(message)
        with translate_aws_errors(f"publishing to the topic {topic}"):
            self._clients("sns", region).publish(**request)


def _make_subject(title: str) -> str:
    """One line of printable ASCII, as SNS requires of a subject."""
    line = to_one_line(title)
    return "".join(character for character in line if " " <= character <= "~")[:_LONGEST_SUBJECT].strip()
