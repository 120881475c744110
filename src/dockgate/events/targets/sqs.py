"""Events as messages of an Amazon SQS queue."""

from typing import Any

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.targets._aws import AwsAdapter, make_attributes, make_body, make_fifo_ids
from dockgate.shared.aws import QUEUE, translate_aws_errors
from dockgate.shared.interfaces import override


class SqsAdapter(AwsAdapter):
    """A sender to an SQS queue."""

    type = TargetType.SQS
    arn_form = QUEUE

    @override
    def _send(self, target: Target, message: Message) -> None:
        arn = str(target.settings["arn"])
        queue = self._parse_arn(target)
        client = self._clients("sqs", queue["region"])
        with translate_aws_errors(f"sending to the queue {arn}"):
            url = client.get_queue_url(QueueName=queue["name"], QueueOwnerAWSAccountId=queue["account"])["QueueUrl"]
            request: dict[str, Any] = {
                "QueueUrl": url,
                "MessageBody": make_body(message),
                "MessageAttributes": make_attributes(message),
            }
            if arn.endswith(".fifo"):
                request["MessageGroupId"], request["MessageDeduplicationId"] = make_fifo_ids(message)
            client.send_message(**request)
