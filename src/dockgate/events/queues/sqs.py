"""Queues of Amazon SQS (API, version 2012-11-05)."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from dockgate.events.ports import Queue, QueueMessage
from dockgate.shared.aws import translate_aws_errors
from dockgate.shared.interfaces import override

# Messages per request, and seconds that a request waits for the first one: limits of ReceiveMessage.
_BATCH_SIZE = 10
_LONGEST_WAIT = 20


class SqsQueue(Queue):
    """A queue by its name and its account.

    For how long a message that was received is hidden, and how often one that is not deleted comes again before SQS
    sets it aside, are the queue's own settings. `client` makes a boto3 client, at first use. May be used from several
    threads.
    """

    def __init__(self, client: Callable[[], Any], name: str, account: str, wait_seconds: int = _LONGEST_WAIT) -> None:
        self.name = name
        self._account = account
        self._wait_seconds = wait_seconds
        self._make = client
        self._lock = threading.Lock()
        self._client_and_url: tuple[Any, str] | None = None

    @override
    def receive(self) -> Sequence[QueueMessage]:
        with translate_aws_errors(f"receiving from the queue {self.name}"):
            client, url = self._open_queue()
            answer = client.receive_message(
                QueueUrl=url, MaxNumberOfMessages=_BATCH_SIZE, WaitTimeSeconds=self._wait_seconds
            )
        return [
            QueueMessage(message["MessageId"], message["Body"], message["ReceiptHandle"])
            for message in answer.get("Messages", [])
        ]

    @override
    def delete(self, message: QueueMessage) -> None:
        with translate_aws_errors(f"deleting from the queue {self.name}"):
            client, url = self._open_queue()
            client.delete_message(QueueUrl=url, ReceiptHandle=message.receipt)

    @override
    def release(self, message: QueueMessage) -> None:
        with translate_aws_errors(f"giving a message back to the queue {self.name}"):
            client, url = self._open_queue()
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=message.receipt, VisibilityTimeout=0)

    def _open_queue(self) -> tuple[Any, str]:
        """The client, and the queue's URL, which is asked for once."""
        with self._lock:
            if self._client_and_url is None:
                client = self._make()
                answer = client.get_queue_url(QueueName=self.name, QueueOwnerAWSAccountId=self._account)
                self._client_and_url = client, answer["QueueUrl"]
            return self._client_and_url
