"""Events as messages of an Amazon SNS topic: for its subscribers' mail, queues and functions."""

from typing import Any

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.targets._aws import AwsAdapter, make_attributes, make_body, make_fifo_ids
from dockgate.shared.aws import TOPIC, translate_aws_errors
from dockgate.shared.interfaces import override
from dockgate.shared.wording import to_one_line

# Characters: SNS takes fewer than 100 (Publish, "Subject").
_LONGEST_SUBJECT = 99


class SnsAdapter(AwsAdapter):
    """A sender to an SNS topic.

    The subject is the message's title; the attributes `detail-type` and `source` are for filter policies.
    """

    type = TargetType.SNS
    arn_form = TOPIC

    @override
    def _send(self, target: Target, message: Message) -> None:
        topic = str(target.settings["arn"])
        region = self._parse_arn(target)["region"]
        request: dict[str, Any] = {
            "TopicArn": topic,
            "Message": make_body(message),
            "MessageAttributes": make_attributes(message),
        }
        # SNS requires one line of printable ASCII.
        printable_title = "".join(character for character in to_one_line(message.title) if " " <= character <= "~")
        if subject := printable_title[:_LONGEST_SUBJECT].strip():
            request["Subject"] = subject
        if topic.endswith(".fifo"):
            request["MessageGroupId"], request["MessageDeduplicationId"] = make_fifo_ids(message)
        with translate_aws_errors(f"publishing to the topic {topic}"):
            self._clients("sns", region).publish(**request)
