"""What every target of events promises. A message may be sent twice, no error has a secret, and time is bounded."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from moto import mock_aws
from standardwebhooks import Webhook
from tests.contracts.event_target_systems import (
    ACCOUNT,
    EVENT,
    MESSAGE,
    SECRET,
    Aws,
    Mailbox,
    Receiver,
    TargetSystem,
    log,
    make_aws,
    make_mail,
    make_memory,
    make_pipeline,
    make_webhook,
)

from dockgate.events.model import Message, Target, TargetType
from dockgate.events.subject import EventSubject
from dockgate.events.targets.apprise import AppriseAdapter, require_scheme
from dockgate.events.targets.eventbridge import EventBridgeAdapter
from dockgate.events.targets.webhook import WebhookAdapter
from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.shared.errors import DockgateError, MessageRefusedError, ReceiverGoneError, UnavailableError, UsageError


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


@pytest.fixture
def aws() -> Iterator[Aws]:
    with mock_aws():
        yield Aws()


@pytest.fixture(params=["memory", "log", "pipeline", "webhook", "mail", "sns", "sqs", "eventbridge"])
def system(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> TargetSystem:
    name = request.param
    if name == "memory":
        return make_memory()
    if name == "log":
        return log(caplog)
    if name == "pipeline":
        return make_pipeline()
    if name == "webhook":
        return make_webhook(request.getfixturevalue("receiver"))
    if name == "mail":
        return make_mail(request.getfixturevalue("mailbox"))
    aws = request.getfixturevalue("aws")
    arns = {"sns": aws.topic, "sqs": aws.queue_arn, "eventbridge": aws.bus}
    return make_aws(aws, TargetType(name), arns[name])


def send(system: TargetSystem, message: Message = MESSAGE) -> None:
    system.adapter.send(system.target, system.secrets, message)


def test_a_target_is_checked_and_a_message_may_be_sent_again(system: TargetSystem) -> None:
    assert system.adapter.type is system.target.type
    for _ in range(2):
        system.adapter.check(system.target, system.secrets)
    assert system.arrived() == []
    for _ in range(2):
        send(system)
    assert len(system.arrived()) == 2


def test_a_failure_says_by_its_class_whether_the_message_or_the_target_is_given_up(system: TargetSystem) -> None:
    for error, fail in system.failures.items():
        with pytest.raises(error) as error_info:
            fail()
        assert error_info.type is error
    assert system.target.type is TargetType.LOG or MessageRefusedError in system.failures


def test_text_that_is_not_unicode_is_sent_with_the_character_replaced(system: TargetSystem) -> None:
    summary, sent_text = "CVE-2026-1 in a\ud800 and \ud83d\ude00", "CVE-2026-1 in a\ufffd and \U0001f600"
    event = {**EVENT, "detail": {**EVENT["detail"], "summary": summary}}
    message = replace(MESSAGE, event=event, data=json.dumps(event), title=summary, text=summary)
    send(system, message)
    if system.target.name != "mail":  # takes a text as it is
        send(system, replace(message, data=json.dumps({"text": summary}), is_custom=True))
    if system.target.type is not TargetType.PIPELINE:  # takes objects alone
        send(system, replace(message, data=summary, is_custom=True))
    if system.target.name == "hook":
        event_data, *custom_data = (json.loads(body)["data"] for _, _, body in system.arrived())
        assert [event_data["detail"]["summary"], *custom_data] == [sent_text, {"text": sent_text}, sent_text]
    if system.target.name == "mail":
        contents = [message_from_bytes(mail.original_content, policy=default) for mail in system.arrived()]
        assert [content.get_content().strip() for content in contents] == [sent_text, sent_text]


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_a_structured_webhook_is_a_signed_cloudevent(receiver: Receiver) -> None:
    send(make_webhook(receiver))
    ((path, headers, body),) = receiver.requests
    assert path == "/secret-path"
    assert Webhook(SECRET).verify(body.decode(), headers)["id"] == MESSAGE.key
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": MESSAGE.key,
        "source": "dockgate",
        "type": "dev.dockgate.service.at_risk",
        "subject": "service web",
        "time": EVENT["time"],
        "datacontenttype": "application/json",
        "data": EVENT,
    }


def test_a_binary_webhook_has_its_attributes_in_headers(receiver: Receiver) -> None:
    data = "web is at risk: héllo"
    send(
        make_webhook(receiver, "binary"),
        replace(MESSAGE, data=data, is_custom=True, subject=EventSubject.parse("dienst wéb\r\nx: y")),
    )
    ((_, headers, body),) = receiver.requests
    assert body.decode() == data
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["ce-type"] == "dev.dockgate.service.at_risk"
    assert headers["ce-subject"] == "dienst%20w%C3%A9b%0D%0Ax:%20y"
    assert headers["ce-id"] == MESSAGE.key
    assert "webhook-signature" in headers


def test_a_repetition_has_the_same_id_and_another_message_another(receiver: Receiver) -> None:
    for message in (MESSAGE, MESSAGE, replace(MESSAGE, key="another")):
        send(make_webhook(receiver), message)
    ids = [headers["webhook-id"] for _, headers, _ in receiver.requests]
    assert ids[0] == ids[1] != ids[2]


def test_a_target_that_answers_too_late_is_left_after_its_time(receiver: Receiver) -> None:
    receiver.pause_seconds = 60
    before = time.monotonic()
    with pytest.raises(UnavailableError) as error_info:
        send(make_webhook(receiver, seconds=0.5))
    assert time.monotonic() - before < 5
    assert "secret-path" not in error_info.value.full_message


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    other_receiver = Receiver()
    receiver.status, receiver.headers = 307, {"location": f"{other_receiver.url}/inside"}
    with pytest.raises(UnavailableError, match="307"):
        send(make_webhook(receiver))
    other_receiver.close()
    assert other_receiver.requests == []


def test_a_huge_answer_is_not_read(receiver: Receiver) -> None:
    receiver.body = b"x" * (50 << 20)
    before = time.monotonic()
    send(make_webhook(receiver))
    assert time.monotonic() - before < 5


def test_a_receiver_that_wants_no_more_ends_the_attempts(receiver: Receiver) -> None:
    receiver.status = 410
    with pytest.raises(ReceiverGoneError):
        send(make_webhook(receiver))


def test_an_address_that_is_not_allowed_is_not_called(receiver: Receiver) -> None:
    adapter = WebhookAdapter(HttpWebhooks(is_loopback_allowed=False), lambda: datetime.now(UTC))
    adapter_for_names = WebhookAdapter(
        HttpWebhooks(is_loopback_allowed=False, resolve=lambda *_: ["127.0.0.1"]), lambda: datetime.now(UTC)
    )
    target = Target("hook", TargetType.WEBHOOK, "…")
    with pytest.raises(UnavailableError, match="this machine"):
        adapter.send(target, {"url": receiver.url}, MESSAGE)
    with pytest.raises(UnavailableError, match="this machine"):
        adapter_for_names.send(target, {"url": receiver.url.replace("127.0.0.1", "rebound.example")}, MESSAGE)
    with pytest.raises(UsageError):
        adapter.check(target, {"url": "file:///etc/passwd"})
    with pytest.raises(UsageError, match="not a secret"):
        adapter.check(target, {"url": "https://example.org/", "secret": "short"})
    assert receiver.requests == []


# --- apprise ---------------------------------------------------------------------------------------------------------


def test_a_mail_has_the_title_as_its_subject_and_the_text_and_the_id_of_its_message(mailbox: Mailbox) -> None:
    hostile = replace(MESSAGE, title="web is at risk\r\nBcc: everyone@example.org")
    other_message = replace(MESSAGE, key="another")
    for message in (hostile, other_message):
        send(make_mail(mailbox), message)
    content = mailbox.mails[0].content.decode()
    assert mailbox.mails[0].rcpt_tos == ["ops@example.org"]
    assert "Subject: web is at risk Bcc: everyone@example.org" in content
    assert "CVE-2026-1" in content
    ids = [message_from_bytes(mail.original_content)["message-id"] for mail in mailbox.mails]
    assert ids == [f"<{MESSAGE.id}@127.0.0.1>", f"<{other_message.id}@127.0.0.1>"]


def test_a_service_on_this_machine_is_refused_where_it_is_not_allowed(mailbox: Mailbox, receiver: Receiver) -> None:
    adapter = AppriseAdapter((), is_loopback_allowed=False)
    target = Target("chat", TargetType.APPRISE, "…")
    for url in (mailbox.url, f"ntfy://{receiver.url.removeprefix('http://')}/topic"):
        with pytest.raises(UnavailableError, match="this machine"):
            adapter.send(target, {"url": url}, MESSAGE)
    assert (mailbox.mails, receiver.requests) == ([], [])


def test_a_host_that_is_not_on_the_list_is_refused(mailbox: Mailbox) -> None:
    adapter = AppriseAdapter(("*.example.org",), is_loopback_allowed=True)
    url = mailbox.url.replace("127.0.0.1", "localhost")
    with pytest.raises(UnavailableError, match="localhost are not allowed"):
        adapter.send(Target("chat", TargetType.APPRISE, "…"), {"url": url}, MESSAGE)


def test_a_service_that_hangs_is_ended(receiver: Receiver) -> None:
    receiver.pause_seconds = 60
    adapter = AppriseAdapter((), is_loopback_allowed=True, seconds=3)
    url = f"ntfy://{receiver.url.removeprefix('http://')}/topic"
    before = time.monotonic()
    with pytest.raises(UnavailableError):
        adapter.send(Target("chat", TargetType.APPRISE, "…"), {"url": url}, MESSAGE)
    assert time.monotonic() - before < 15


def test_a_redirect_to_a_refused_address_and_a_huge_answer_are_bounded(receiver: Receiver) -> None:
    target, url = Target("chat", TargetType.APPRISE, "…"), f"ntfy://{receiver.url.removeprefix('http://')}/topic"
    receiver.status, receiver.headers = 307, {"location": "http://169.254.169.254/latest/"}
    with pytest.raises(UnavailableError, match=r"169\.254\.169\.254"):
        AppriseAdapter((), is_loopback_allowed=True).send(target, {"url": url}, MESSAGE)
    receiver.status, receiver.headers, receiver.body = 200, {}, b"x" * (20 << 20)
    AppriseAdapter((), is_loopback_allowed=True).send(target, {"url": url}, MESSAGE)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "json://127.0.0.1/", "xml://h/", "form://h/", "syslog://", "dbus://", "gnome://"),
        *("windows://", "macosx://", "http://example.org/config", "apprise://h/token", "exec://ls", "slack:x", ""),
        *("MAILTO+x://h", "mailto://h?template=/etc/passwd", "slack://a/b/c?%74emplate=/etc/passwd"),
        *("mailto://h?pgpkey=/root/key", "mailto://h?x=1;attach=/etc/passwd", "slack://a\nb", "slack://" + "x" * 5000),
    ],
)
def test_a_refused_target_error_does_not_repeat_the_url(url: str) -> None:
    with pytest.raises(UsageError) as error_info:
        require_scheme(url)
    assert "passwd" not in error_info.value.full_message


@pytest.mark.parametrize(
    "url",
    [
        "mailto://user:hunter22@127.0.0.1:PORT?from=gate@example.org&to=ops@example.org&mode=insecure",
        # urllib refuses these, and repeats what it does not understand.
        "ntfys://user:\u2100hunter22@127.0.0.1:1/tokensecret1",
        pytest.param("tgram://12345:hunter22\u2100/123", marks=pytest.mark.slow),
        pytest.param("rocket://user:hunter22[@127.0.0.1:1/#tokensecret1", marks=pytest.mark.slow),
        pytest.param("gotify://127.0.0.1:1/tokensecret1", marks=pytest.mark.slow),
        pytest.param("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", marks=pytest.mark.slow),
    ],
)
def test_an_error_has_no_secret_of_the_url(mailbox: Mailbox, url: str) -> None:
    values = {"url": url.replace("PORT", str(mailbox.port))}
    with pytest.raises(DockgateError) as error_info:
        AppriseAdapter((), is_loopback_allowed=False).send(Target("chat", TargetType.APPRISE, "…"), values, MESSAGE)
    for secret in ("hunter22", "tokensecret1", "TIiajkdnlazkcOXrIdevi7FQ", "T1JJ3T3L2"):
        assert secret not in error_info.value.full_message


def test_a_url_that_no_service_understands_is_refused() -> None:
    with pytest.raises(UsageError, match="does not understand"):
        AppriseAdapter((), is_loopback_allowed=False).check(
            Target("chat", TargetType.APPRISE, "…"), {"url": "slack://x"}
        )


def test_a_child_reads_and_writes_no_file_and_starts_no_program(tmp_path: Any) -> None:
    from dockgate.events.targets._apprise_child import Guard

    guard = Guard([], is_loopback_allowed=False)
    attempts: list[tuple[str, tuple[object, ...]]] = [
        ("open", ("/etc/passwd", "r", 0)),
        ("open", (str(tmp_path / "x"), "w", 0o101)),
        ("subprocess.Popen", ("ls",)),
        ("os.system", (b"ls",)),
        ("os.posix_spawn", ("ls",)),
        ("socket.connect", (None, "/run/docker.sock")),
        ("socket.connect", (None, ("169.254.169.254", 80))),
        ("socket.sendto", (None, ("::1", 53, 0, 0))),
        ("socket.connect", (None, ("::ffff:127.0.0.1", 80, 0, 0))),
    ]
    for event, arguments in attempts:
        with pytest.raises(PermissionError):
            guard(event, arguments)
    assert len(guard.reasons) == len(attempts)
    guard("socket.connect", (None, ("198.51.100.7", 443)))


# --- AWS -------------------------------------------------------------------------------------------------------------


def test_a_topic_gets_the_event_with_its_kind_to_filter_by(aws: Aws) -> None:
    send(make_aws(aws, TargetType.SNS, aws.topic), replace(MESSAGE, title="web\nis “at risk” " + "x" * 200))
    (message,) = aws.receive_messages()
    body = json.loads(message["Body"])
    assert json.loads(body["Message"]) == EVENT
    assert body["Subject"] == ("web is at risk " + "x" * 200)[:99]
    assert body["MessageAttributes"]["detail-type"]["Value"] == "service.at_risk"


def test_a_queue_gets_the_event(aws: Aws) -> None:
    send(make_aws(aws, TargetType.SQS, aws.queue_arn))
    (message,) = aws.receive_messages()
    assert json.loads(message["Body"]) == EVENT
    assert message["MessageAttributes"]["source"]["StringValue"] == "dockgate"


def test_fifo_topics_and_queues_keep_the_order_of_a_subject(aws: Aws) -> None:
    topic = make_aws(aws, TargetType.SNS, aws.fifo)
    for message in (
        MESSAGE,
        replace(MESSAGE, key="2"),
        replace(MESSAGE, key="3", subject=EventSubject.parse("service api")),
    ):
        send(topic, message)
    groups = [message["MessageGroupId"] for message in aws.published]
    ids = [message["MessageDeduplicationId"] for message in aws.published]
    assert groups[0] == groups[1] != groups[2]
    assert len(set(ids)) == 3
    send(make_aws(aws, TargetType.SQS, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:own.fifo"))


def test_a_bus_gets_the_event_under_a_source_that_it_accepts(aws: Aws) -> None:
    system = make_aws(aws, TargetType.EVENTBRIDGE, aws.bus)
    send(system)
    send(system, replace(MESSAGE, event={**EVENT, "source": "aws.inspector2", "detail-type": "Inspector2 Finding"}))
    send(system, replace(MESSAGE, data="just text", is_custom=True))
    first, second, third = aws.entries
    assert json.loads(first["Detail"]) == {**EVENT["detail"], "dockgate-event": MESSAGE.key}
    assert (first["Source"], first["DetailType"], first["EventBusName"]) == ("dockgate", "service.at_risk", aws.bus)
    assert second["Source"] == "dockgate.inspector2"
    assert json.loads(third["Detail"])["message"] == "just text"


def test_an_event_too_large_for_aws_becomes_its_text(aws: Aws) -> None:
    large = {**EVENT, "detail": {"much": "x" * 300_000}}
    message = replace(MESSAGE, event=large, data=json.dumps(large))
    send(make_aws(aws, TargetType.EVENTBRIDGE, aws.bus), message)
    send(make_aws(aws, TargetType.SQS, aws.queue_arn), message)
    detail = json.loads(aws.entries[0]["Detail"])
    assert (detail["truncated"], detail["title"]) == (True, MESSAGE.title)
    assert json.loads(aws.receive_messages()[0]["Body"])["truncated"] is True


def test_a_message_that_aws_refuses_is_retried(aws: Aws) -> None:
    class Failing:
        def put_events(self, **_: Any) -> dict[str, Any]:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "soon"}]}

    nowhere = make_aws(aws, TargetType.SNS, aws.topic + "-gone")
    failing = replace(
        make_aws(aws, TargetType.EVENTBRIDGE, aws.bus), adapter=EventBridgeAdapter(lambda service, region: Failing())
    )
    for system in (nowhere, failing):
        with pytest.raises(UnavailableError) as error_info:
            send(system)
        assert error_info.value.advice
    with pytest.raises(UsageError):
        failing.adapter.check(replace(failing.target, settings={"arn": aws.topic}), {})
