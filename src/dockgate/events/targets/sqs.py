"""Events as messages of an Amazon SQS queue."""

from collections.abc import Callable, Mapping
from typing import Any

from dockgate.events.message import Message
from dockgate.events.ports import TargetAdapter
from dockgate.events.rule import Target, TargetType
from dockgate.events.targets._aws import make_attributes, make_body, make_fifo_ids
from dockgate.shared.aws import QUEUE, parse_arn, translate_aws_errors
from dockgate.shared.interfaces import override


class SqsAdapter(TargetAdapter):
    """Sends to the queue whose ARN is the setting `arn`.

    `clients` makes boto3 clients by service and region.
    """

    type = TargetType.SQS

    def __init__(self, clients: Callable[[str, str], Any]) -> None:
        self._clients = clients

    @override
    def check(self, target: Target, secrets: Mapping[str, str]) -> None:
        parse_arn("arn", str(target.settings["arn"]), QUEUE)

    @override
    def send(self, target: Target, secrets: Mapping[str, str], message: Message) -> None:
        arn = str(target.settings["arn"])
        queue = parse_arn("arn", arn, QUEUE)
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
