"""Notices as messages of an Amazon SNS topic: for its subscribers' mail, queues and functions."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from dockgate.events.notifiers._aws import encode_notice
from dockgate.events.ports import Notice
from dockgate.shared.aws import LazyClient, aws_errors

# Bytes of the message; SNS takes 256 KiB, attributes included.
_LIMIT = 200_000
# Characters: SNS takes fewer than 100 (Publish, "Subject").
_LONGEST_SUBJECT = 99


class SnsNotifier:
    """The subject is the notice's title, the message all of it as JSON; the attribute `kind` is for filter policies.

    `topic` is an ARN, `client` makes a boto3 client, at first use.
    """

    def __init__(self, client: Callable[[], Any], topic: str) -> None:
        self._client = LazyClient(client)
        self._topic = topic
        self.name = f"the topic {topic}"

    def notify(self, notice: Notice) -> None:
        request: dict[str, Any] = {
            "TopicArn": self._topic,
            "Message": encode_notice(notice, _LIMIT),
            "MessageAttributes": {"kind": {"DataType": "String", "StringValue": notice.kind}},
        }
        if subject := _subject(notice.title):
            request["Subject"] = subject
        if self._topic.endswith(".fifo"):
            # SNS takes at most 128 characters.
            request |= {"MessageGroupId": "dockgate", "MessageDeduplicationId": sha256(notice.key.encode()).hexdigest()}
        with aws_errors(f"publishing to {self.name}"):
            self._client().publish(**request)


def _subject(title: str) -> str:
    """One line of printable ASCII, as SNS demands of a subject."""
    line = " ".join(title.split())
    return "".join(character for character in line if " " <= character <= "~")[:_LONGEST_SUBJECT].strip()
