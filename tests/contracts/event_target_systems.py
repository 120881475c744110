"""Systems that targets of events send to: an HTTP server, a mail server, and AWS as moto plays it."""

import json
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from aiosmtpd.controller import Controller
from tests.fakes.event_target import MemoryEventTarget
from tests.ports import find_free_port

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.ports import TargetAdapter
from dockgate.events.subject import EventSubject
from dockgate.events.targets.apprise import AppriseAdapter
from dockgate.events.targets.eventbridge import EventBridgeAdapter
from dockgate.events.targets.log import LogAdapter
from dockgate.events.targets.pipeline import PipelineAdapter
from dockgate.events.targets.sns import SnsAdapter
from dockgate.events.targets.sqs import SqsAdapter
from dockgate.events.targets.webhook import WebhookAdapter
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.shared.errors import DockgateError, MessageRefusedError, ReceiverGoneError, UnavailableError

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "service.at_risk/web/1",
    "detail-type": "service.at_risk",
    "source": "dockgate",
    "account": "000000000000",
    "time": "2026-11-28T12:00:00.000Z",
    "region": "local",
    "resources": [],
    "detail": {"service": "web", "summary": "CVE-2026-1"},
}
MESSAGE = Message(
    key="tell/service.at_risk/web/1",
    rule="tell",
    event=EVENT,
    data=json.dumps(EVENT),
    title="web is at risk",
    text="CVE-2026-1\nin flask",
    subject=EventSubject.parse("service web"),
)
SECRET = "whsec_" + "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ=="
KEYS = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
ACCOUNT = "123456789012"


@dataclass
class TargetSystem:
    """An adapter, a target of it, and what has arrived there. `failures` fail with the class that is their key."""

    adapter: TargetAdapter
    target: Target
    secrets: dict[str, str]
    arrived: Callable[[], list[Any]]
    failures: dict[type[DockgateError], Callable[[], None]] = field(default_factory=dict)


class Receiver:
    """A real HTTP server. `status`, `headers`, `body` and `pause_seconds` are how it answers, `tls` its certificate."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.headers, self.body, self.pause_seconds = 200, dict[str, str](), b"", 0.0
        self.has_ended = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                receiver.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                receiver.has_ended.wait(receiver.pause_seconds)
                try:
                    self.send_response(receiver.status)
                    for name, value in receiver.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(receiver.body)
                except OSError:
                    pass  # the client had enough

            do_GET = do_POST  # noqa: N815 - the name of the library

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.has_ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Mailbox:
    """A real SMTP server."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.port = find_free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 OK"

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=gate@example.org&to=ops@example.org&mode=insecure"

    def close(self) -> None:
        self._controller.stop()


def make_memory() -> TargetSystem:
    adapter, target = MemoryEventTarget(TargetType.LOG), Target("memory", TargetType.LOG, "")

    def send_to_failing(error: type[DockgateError]) -> None:
        def fail(moment: str) -> None:
            raise error("no")

        MemoryEventTarget(TargetType.LOG, fail).send(target, {}, MESSAGE)

    errors: tuple[type[DockgateError], ...] = (UnavailableError, MessageRefusedError, ReceiverGoneError)
    failures: dict[type[DockgateError], Callable[[], None]] = {
        error: partial(send_to_failing, error) for error in errors
    }
    return TargetSystem(adapter, target, {}, lambda: adapter.sent_messages, failures)


def log(caplog: pytest.LogCaptureFixture) -> TargetSystem:
    caplog.set_level(logging.INFO, logger="dockgate.events")
    return TargetSystem(LogAdapter(), Target("log", TargetType.LOG, ""), {}, lambda: caplog.messages)


def make_pipeline() -> TargetSystem:
    pipelines: list[Any] = []
    target = Target("start", TargetType.PIPELINE, "build", {"pipeline": "build", "perHour": 30})
    adapter = PipelineAdapter(lambda *arguments: pipelines.append(arguments))
    refused_message = replace(MESSAGE, data="[]", is_custom=True)
    return TargetSystem(
        *(adapter, target, {}, lambda: pipelines),
        {MessageRefusedError: lambda: adapter.send(target, {}, refused_message)},
    )


def make_webhook(receiver: Receiver, mode: str = "structured", seconds: float = 15) -> TargetSystem:
    adapter = WebhookAdapter(HttpWebhooks(is_loopback_allowed=True, whole_seconds=seconds), lambda: datetime.now(UTC))
    secrets = {"url": f"{receiver.url}/secret-path", "secret": SECRET}
    target = Target("hook", TargetType.WEBHOOK, "http://…", {"mode": mode})

    def send_to_status(status: int) -> None:
        before, receiver.status = receiver.status, status
        try:
            adapter.send(target, secrets, MESSAGE)
        finally:
            receiver.status = before

    failures: dict[type[DockgateError], Callable[[], None]] = {
        UnavailableError: lambda: send_to_status(500),
        MessageRefusedError: lambda: adapter.send(target, {"url": "ftp://127.0.0.1/"}, MESSAGE),
        ReceiverGoneError: lambda: send_to_status(410),
    }
    return TargetSystem(adapter, target, secrets, lambda: receiver.requests, failures)


def make_mail(mailbox: Mailbox) -> TargetSystem:
    adapter = AppriseAdapter((), is_loopback_allowed=True)
    target = Target("mail", TargetType.APPRISE, "mailto://…")
    failures: dict[type[DockgateError], Callable[[], None]] = {
        UnavailableError: lambda: adapter.send(
            target, {"url": mailbox.url.replace(str(mailbox.port), str(find_free_port()))}, MESSAGE
        ),
        MessageRefusedError: lambda: adapter.send(target, {"url": "file:///etc/passwd"}, MESSAGE),
    }
    return TargetSystem(adapter, target, {"url": mailbox.url}, lambda: mailbox.mails, failures)


class Aws:
    """Moto's bus, topic and queues. Of the bus, what went in is kept, checked by botocore."""

    def __init__(self) -> None:
        self.sqs, self.sns, self.events = (boto3.client(name, **KEYS) for name in ("sqs", "sns", "events"))
        self.clients = {"sqs": self.sqs, "sns": self.sns, "events": self.events}
        self.topic = self.sns.create_topic(Name="notices")["TopicArn"]
        self.fifo = self.sns.create_topic(Name="notices.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName="arrived")["QueueUrl"]
        self.sqs.create_queue(QueueName="own.fifo", Attributes={"FifoQueue": "true"})
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        self.queue_arn = answer["Attributes"]["QueueArn"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=self.queue_arn)
        self.events.create_event_bus(Name="gate")
        self.bus = f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/gate"
        self.entries: list[dict[str, Any]] = []
        self.published: list[dict[str, Any]] = []
        self.events.meta.events.register("provide-client-params.events.PutEvents", self._keep)
        self.sns.meta.events.register("provide-client-params.sns.Publish", self._keep_published)

    def _keep(self, params: dict[str, Any], **_: Any) -> None:
        self.entries += params["Entries"]

    def _keep_published(self, params: dict[str, Any], **_: Any) -> None:
        self.published.append(params)

    def make_client(self, service: str, region: str) -> Any:
        assert region == "eu-west-1"
        return self.clients[service]

    def receive_messages(self) -> list[Any]:
        answer = self.sqs.receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return list(answer.get("Messages", []))


def make_aws(aws: Aws, kind: TargetType, arn: str) -> TargetSystem:
    adapters: dict[TargetType, TargetAdapter] = {
        TargetType.SNS: SnsAdapter(aws.make_client),
        TargetType.SQS: SqsAdapter(aws.make_client),
        TargetType.EVENTBRIDGE: EventBridgeAdapter(aws.make_client),
    }
    arrived = (lambda: aws.entries) if kind is TargetType.EVENTBRIDGE else aws.receive_messages
    adapter, target = adapters[kind], Target("cloud", kind, arn, {"arn": arn})
    failures: dict[type[DockgateError], Callable[[], None]] = {
        UnavailableError: lambda: adapter.send(replace(target, settings={"arn": f"{arn}-gone"}), {}, MESSAGE),
        MessageRefusedError: lambda: adapter.send(replace(target, settings={"arn": "gone"}), {}, MESSAGE),
    }
    return TargetSystem(adapter, target, {}, arrived, failures)
