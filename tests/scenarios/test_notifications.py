"""Rules and targets on a server: what arrives, once and in order; what does not, and what is shown of it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from standardwebhooks import Webhook
from tests.contracts.event_target_systems import SECRET, Mailbox, Receiver
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.notifying_server import NotifyingServer
from tests.scenarios.planned_images import make_advisory

from dockgate.gate.owner import Owner
from dockgate.gate.policy_choice import PolicyAssignment
from dockgate.identity.model import LOCAL, Caller
from dockgate.shared.timestamps import format_time
from dockgate.store.records import OutboxKind, PushedImage
from dockgate.vulnerabilities.model import Advisory, Severity


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotifyingServer]:
    with NotifyingServer(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def test_an_event_arrives_once_at_each_target_of_each_rule(server: NotifyingServer) -> None:
    for name in ("q1", "q2"):
        server.add_queue(name)
    server.add_rule("once", "kind.once", "q1", {"name": "q2", "inputPath": "$.detail.n"})
    server.add_rule("another", "kind.once", "q1")
    server.add_rule("off", "kind.once", "q1", state="disabled")
    for _ in range(3):
        server.record_event("kind.once", n=7)
    server.record_event("kind.else")
    server.wait_for(lambda: len(server.list_message_keys("q1")) == 2 and server.list_message_keys("q2"), 20)
    server.wait_for_matching()
    key = "kind.once/service web/1"
    assert sorted(server.list_message_keys("q1")) == [f"another/{key}", f"once/{key}"]
    assert server.queue.list_messages("q2")[f"once/{key}"].data == "7"
    assert len([name for name, _ in server.queue.sent_messages if name in ("q1", "q2")]) == 3


@pytest.mark.slow
def test_a_real_receiver_gets_a_signed_event_and_a_real_mailbox_one_mail(server: NotifyingServer) -> None:
    receiver, mailbox = Receiver(), Mailbox()
    try:
        url = f"{receiver.url}/path-secret"
        server.apply(json.dumps({"kind": "Target", "name": "hook", "type": "webhook", "url": url, "secret": SECRET}))
        server.apply(json.dumps({"kind": "Target", "name": "mail", "type": "apprise", "url": mailbox.url}))
        server.add_rule("real", "kind.real", "hook", {"name": "mail", "group": "1s"})
        for number in range(5):
            server.record_event("kind.real", key=str(number), service=f"web-{number}", status="Rejected")
        server.wait_for(lambda: len(receiver.requests) == 5, 30)
        server.wait_for_matching()
        server.clock.ahead += timedelta(seconds=5)
        server.wait_for(lambda: mailbox.mails, 30)
        bodies = [Webhook(SECRET).verify(body.decode(), headers) for _, headers, body in receiver.requests]
        assert [body["data"]["detail"]["service"] for body in bodies] == [f"web-{number}" for number in range(5)]
        (mail,) = mailbox.mails
        assert "5 events: kind real" in mail.content.decode()
        assert server.post("/targets/mail/test") == {"target": "mail"}
        assert len(mailbox.mails) == 2
    finally:
        receiver.close()
        mailbox.close()


@pytest.mark.slow
def test_a_feed_update_that_touches_300_images_is_one_message_for_their_owner_and_never_a_second(
    server: NotifyingServer,
) -> None:
    server.add_queue("team")
    server.add_rule("owners", "verdict.changed", {"name": "owners", "group": "1s"})
    assignment = {"kind": "PolicyAssignment", "name": "team", "repositories": ["team/*"], "policy": "default"}
    server.apply(json.dumps({**assignment, "owners": ["target:team"]}))

    def update(key: str) -> None:
        events = [
            server.make_event(
                "verdict.changed",
                f"image {number}",
                key,
                repository="team/app" if number % 2 else "other/app",
                image=f"sha256:{number:064x}",
                policy="default",
                status="Rejected",
                vulnerabilities=[{"id": "CVE-2026-1", "severity": "CRITICAL"}],
            )
            for number in range(300)
        ]
        server.store.event_log.record(events)
        server.wait_for_matching()
        server.clock.ahead += timedelta(seconds=5)

    update("1")
    server.wait_for(lambda: server.list_message_keys("team"), 20)
    (message,) = server.queue.list_messages("team").values()
    assert message.title == "CVE-2026-1: 150 images affected"
    assert "and 140 more" in message.text
    assert f"{server.console_url}/events?before=" in message.text
    assert json.loads(message.data)["detail"]["count"] == 150
    update("2")
    server.record_event("verdict.changed", "image x", repository="team/app", image="sha256:x", status="Approved")
    server.wait_for_matching()
    server.clock.ahead += timedelta(seconds=5)
    server.wait_for(lambda: len(server.list_message_keys("team")) == 2, 20)
    assert list(server.queue.list_messages("team").values())[1].title == "team/app@sha256:x: Approved"


def test_quiet_hours_delay_messages_and_a_summary_comes_when_all_is_well(server: NotifyingServer) -> None:
    start = server.clock()
    quiet = {"from": f"{(start - timedelta(hours=1)):%H:%M}", "to": f"{(start + timedelta(hours=1)):%H:%M}"}
    due = f"{(start + timedelta(hours=2)):%H:%M}"
    server.add_queue("quiet", quietHours=quiet, summary=due)
    server.add_rule("quiet", "kind.quiet", "quiet")
    server.add_rule("quiet-group", "kind.quiet2", {"name": "quiet", "group": "1s"})
    server.record_event("kind.quiet")
    server.record_event("kind.quiet2")
    server.wait_for_matching()
    server.clock.ahead += timedelta(seconds=10)
    server.use_cases.event_matcher.run()
    assert server.list_message_keys("quiet") == []
    server.clock.ahead += timedelta(hours=1, minutes=1)
    server.wait_for(lambda: len(server.list_message_keys("quiet")) == 2, 20)
    server.clock.ahead += timedelta(hours=1)
    server.wait_for(lambda: len(server.list_message_keys("quiet")) == 3, 20)
    assert "All is well" in list(server.queue.list_messages("quiet").values())[2].title


def test_a_target_that_is_down_delays_no_other_and_its_dead_letters_are_sent_again(server: NotifyingServer) -> None:
    for name in ("dead", "alive"):
        server.add_queue(name)
    server.add_rule("down", "kind.down", "dead", "alive")
    server.queue.down.add("dead")
    for number in range(8):
        server.record_event("kind.down", f"service {number}")
    server.wait_for(lambda: len(server.list_message_keys("alive")) == 8, 30)
    delivered_messages = server.wait_for(
        lambda: len(messages := server.get("/targets/alive/delivered-messages")) == 8 and messages, 30
    )
    assert [message["rule"] for message in delivered_messages] == ["down"] * 8
    assert [message["position"] for message in delivered_messages] == sorted(
        (message["position"] for message in delivered_messages), reverse=True
    )
    assert all(message["delivered_at"] for message in delivered_messages)
    page = server.client.get(f"{server.services.addresses.url}/events/targets/alive").text
    assert page.partition('id="delivered"')[2].partition("</section>")[0].count("<tr>") == 9
    assert server.get("/targets/dead/delivered-messages") == []

    def advance_and_get_target() -> Any:
        server.clock.ahead += timedelta(minutes=20)
        return server.get("/targets/dead")

    server.wait_for(lambda: advance_and_get_target()["is_failing"], 30)
    status = server.get("/targets/dead")
    assert (status["waiting"], status["paused_until"] is not None) == (8, True)
    assert status["last_error"] == "dead is down. Wait."
    assert server.get("/targets/alive")["waiting"] == 0
    waiting = server.get("/targets/dead/waiting-messages")
    assert [message["rule"] for message in waiting] == ["down"] * 8
    assert (waiting[0]["attempts"] > 0, waiting[0]["error"]) == (True, "dead is down. Wait.")
    assert all(message["next_at"] >= status["paused_until"] for message in waiting)
    pages = [server.client.get(f"{server.services.addresses.url}{path}").text for path in ("/", "/events/targets/dead")]
    assert "Target dead" in pages[0]
    assert "8 messages waiting" in pages[0]
    assert pages[1].partition('id="waiting"')[2].partition("</section>")[0].count("<tr>") == 9
    server.clock.ahead += timedelta(days=1)  # as after a jump: nothing was tried meanwhile
    server.services.events.targets.trim()
    assert server.get("/targets/dead")["dead"] == 0

    def advance_until_given_up() -> bool:
        server.services.events.targets.trim()
        return bool(advance_and_get_target()["dead"] == 8)

    server.wait_for(advance_until_given_up, 120)
    letters = server.get("/targets/dead/dead-letters")
    assert [letter["rule"] for letter in letters] == ["down"] * 8
    first = server.client.get("/targets/dead/dead-letters?limit=5")
    assert first.json() == letters[:5]
    assert server.client.get(urljoin(str(first.url), first.links["next"]["url"])).json() == letters[5:]
    server.queue.down.clear()
    assert server.post("/targets/dead/dead-letters/redeliver", {"keys": [letters[0]["key"]]}) == {"count": 1}
    assert server.post("/targets/dead/dead-letters/redeliver", {}) == {"count": 7}
    server.wait_for(lambda: len(server.list_message_keys("dead")) == 8, 30)
    server.wait_for(lambda: not server.get("/targets/dead")["failures"], 10)


def test_a_rule_that_its_own_pipeline_triggers_stops(server: NotifyingServer) -> None:
    server.apply("kind: Repository\nname: looping\n")
    server.apply(
        "kind: Pipeline\nname: looping\nstages:\n- name: Source\n  actions:\n"
        "  - {name: Source, type: source, repository: looping, output: source}\n"
        "- name: Build\n  actions:\n"
        "  - {name: Build, type: build, input: source, output: built, image: looping/app, container: web,\n"
        "     args: {IMAGE: '#{variables.IMAGE}'}}\n"
    )
    server.push("looping")
    start = {"kind": "Target", "name": "start", "type": "pipeline", "pipeline": "looping", "perHour": 3}
    server.apply(json.dumps(start))
    transformer = {"inputPathsMap": {"i": "$.detail.image"}, "inputTemplate": '{"IMAGE": "<i>"}'}
    server.add_rule("loop", "kind.loop", {"name": "start", "inputTransformer": transformer})
    server.record_event("kind.loop", "x", image="sha256:1")
    executions = server.wait_for(lambda: server.get("/pipelines/looping/executions"), 20)
    trigger = executions[0]["trigger"]
    assert (trigger["variable.IMAGE"], trigger["cause"]) == ("sha256:1", "the rule loop")
    server.record_event("kind.loop", "x", "2", **{"execution-id": executions[0]["id"]})
    (letter,) = server.wait_for(lambda: server.get("/targets/start/dead-letters"), 20)
    assert "started the execution that this event is about" in letter["error"]
    for number in range(5):
        server.record_event("kind.loop", f"y{number}", image="sha256:2")
    letters = server.wait_for(
        lambda: (letters := server.get("/targets/start/dead-letters")) and len(letters) == 4 and letters, 20
    )
    assert "3 times within an hour" in letters[0]["error"]
    assert len(server.get("/pipelines/looping/executions")) == 3


def test_a_rule_is_tried_without_sending(server: NotifyingServer) -> None:
    server.add_queue("tried")
    server.add_rule("tried", "kind.tried", {"name": "tried", "inputPath": "$.detail.n"})
    event = {"source": "dockgate", "detail-type": "kind.tried", "detail": {"n": 1}}
    answer = server.post("/rules/tried/test", {"event": event})
    assert answer["is_match"]
    assert answer["targets"] == [{"name": "tried", "data": "1", "error": None, "group_seconds": None}]
    assert not server.post("/rules/tried/test", {"event": {"source": "x"}})["is_match"]
    assert server.list_message_keys("tried") == []


def test_what_is_wrong_is_refused_with_its_reason_and_no_answer_shows_a_secret(server: NotifyingServer) -> None:
    hook = {"kind": "Target", "name": "shown", "type": "webhook", "url": "https://h.example.org/hide-me"}
    hook["secret"] = SECRET
    server.apply(json.dumps(hook))
    refusals = [
        ({**hook, "url": "ftp://h.example.org/hide-me"}, 400),
        ({**hook, "secret": "whsec_hide-me"}, 400),
        ({"kind": "Target", "name": "x", "type": "apprise", "url": "file:///hide-me"}, 400),
        ({"kind": "Target", "name": "x", "type": "apprise", "url": "slack://hide-me"}, 400),
        ({"kind": "Rule", "name": "x", "pattern": {"a": ["b"]}, "targets": ["nowhere"]}, 400),
        ({"kind": "Rule", "name": "x", "pattern": {"a": "b"}, "targets": ["shown"]}, 400),
    ]
    for document, status in refusals:
        answer = server.client.post("/apply", content=json.dumps(document))
        assert answer.status_code == status, answer.text
        assert "hide-me" not in answer.text
        assert answer.json()["error"]
    for path in ("/targets", "/targets/shown", "/rules", "/audit"):
        text = server.client.get(path).text
        assert "hide-me" not in text
        assert SECRET not in text
    assert server.get("/targets/shown")["address"] == "https://h.example.org/…"
    assert server.client.delete("/targets/log").status_code == 409
    assert server.client.delete("/rules/default").status_code == 409
    assert server.client.delete("/targets/shown").status_code == 200
    assert server.client.get("/targets/shown").status_code == 404
    assert server.client.post("/targets/nowhere/test").status_code == 404


def test_a_clock_that_was_ahead_keeps_back_no_group_and_no_summary(tmp_path: Path) -> None:
    system = NotifyingServer(tmp_path)
    documents, dispatcher = system.services.delivery.documents, system.use_cases.event_matcher
    arn = "arn:aws:sqs:eu-west-1:123456789012:team"
    due = f"{system.clock() + timedelta(hours=1):%H:%M}"
    target = {"kind": "Target", "name": "team", "type": "sqs", "arn": arn, "summary": due}
    documents.apply(json.dumps(target), "t", Caller(LOCAL))
    rule = {"kind": "Rule", "name": "r", "pattern": {"detail-type": ["kind.ahead"]}}
    documents.apply(json.dumps({**rule, "targets": [{"name": "team", "group": "1s"}]}), "t", Caller(LOCAL))

    def list_sent_kinds() -> list[str]:
        """The kinds of messages, oldest first."""
        entries = system.store.outbox.list_entries(OutboxKind.EVENT)
        return sorted(entry.payload["body"]["detail-type"] for entry in entries)

    try:
        system.clock.ahead += timedelta(days=400)
        system.record_event("kind.ahead")
        dispatcher.run()
        assert list_sent_kinds() == ["summary.daily"]
        system.clock.ahead -= timedelta(days=400)
        dispatcher.run()
        assert list_sent_kinds() == ["kind.ahead", "summary.daily"]
        system.clock.ahead += timedelta(days=1)
        dispatcher.run()
        dispatcher.run()
        assert list_sent_kinds() == ["kind.ahead", "summary.daily", "summary.daily"]
    finally:
        system.store.close()


def test_the_summary_of_one_owner_reports_no_other_owner_as_without_a_target(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = NotifyingServer(tmp_path)
    due = f"{system.clock() + timedelta(hours=1):%H:%M}"
    for name, person in (("first", "ann"), ("second", "ben")):
        target = {"kind": "Target", "name": name, "type": "log", "summary": due, "for": [person]}
        system.services.delivery.documents.apply(json.dumps(target), "t", Caller(LOCAL))
    assignment = PolicyAssignment("all", ("**",), "default", owners=(Owner("ann"), Owner("ben")))
    system.store.policy_assignments.put(assignment, "t", format_time(system.clock()))
    system.store.images.add_push(PushedImage("team/app", "1", f"sha256:{'a' * 64}", format_time(system.clock())))
    try:
        system.clock.ahead += timedelta(hours=2)
        system.use_cases.event_matcher.run()
        assert len(system.store.outbox.list_entries(OutboxKind.EVENT)) == 2
        assert "has no target" not in caplog.text
    finally:
        system.store.close()


def test_an_unexpected_error_shows_nothing_of_a_target(
    server: NotifyingServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.add_queue("defective")
    server.add_rule("defective", "kind.defective", "defective")
    server.record_event("kind.defective")
    status = server.wait_for(lambda: (view := server.get("/targets/defective"))["failures"] and view, 20)
    assert status["last_error"].startswith("the target defective failed with an internal error: ValueError")
    response = server.client.post("/targets/defective/test")
    assert response.status_code == 502
    assert "hide-me" not in response.text + caplog.text


def test_a_viewer_looks_and_changes_nothing(server: NotifyingServer) -> None:
    server.add_queue("guarded")
    admin = server.post("/principals", {"name": "root", "roles": ["admin"]})["token"]
    server.client.headers["Authorization"] = f"Bearer {admin}"
    server.post("/principals", {"name": "eve", "roles": ["viewer"]})
    viewer = server.post("/tokens", {"principal": "eve"})["text"]
    with httpx.Client(base_url=f"{server.url}/api/v1", headers={"Authorization": f"Bearer {viewer}"}) as client:
        for path in ("/rules", "/rules/default", "/targets", "/targets/guarded", "/targets/guarded/dead-letters"):
            assert client.get(path).status_code == 200
        document = json.dumps({"kind": "Target", "name": "guarded", "type": "log"})
        assert client.post("/apply", content=document).status_code == 403
        assert client.post("/targets/guarded/test").status_code == 403
        assert client.post("/targets/guarded/dead-letters/redeliver", json={}).status_code == 403
        assert client.delete("/targets/guarded").status_code == 403
        assert client.delete("/rules/default").status_code == 403


def test_a_target_is_notified_of_another_vulnerability_and_not_of_the_same_again(server: NotifyingServer) -> None:
    server.add_queue("news")
    server.add_rule("news", "verdict.changed", {"name": "news", "group": "1s"})
    image = server.plan_image("news", PlannedFindings())
    server.scan_may_end[image].set()
    server.notify_push(image, "push-news")
    planned_advisories = list(server.advisories.advisories)
    first = make_advisory("news", Severity.CRITICAL, "2")
    second = replace(first, id="CVE-2026-2")

    def publish_and_count(*published: Advisory) -> int:
        """Publishes advisories and lets rules match the change of the verdict; how many messages there are."""
        status = "Rejected" if published else "Approved"
        position = server.store.event_log.read_newest_seq()
        server.advisories.advisories = [*planned_advisories, *published]

        def is_changed() -> bool:
            server.use_cases.verdict_renewal.renew()
            events = server.store.event_log.read(position, 100)
            return any(event.body["detail"].get("status") == status for event in events)

        server.wait_for(is_changed, 60)
        server.wait_for_matching()
        server.clock.ahead += timedelta(seconds=5)
        server.use_cases.event_matcher.run()
        return len(server.store.event_cursor.list_groups()) + len(server.list_message_keys("news"))

    server.wait_for(lambda: server.store.images.list_inventories(image), 60)
    server.use_cases.verdict_renewal.renew()
    assert server.store.fleet_verdicts.list_of_policy("default")
    counts = [publish_and_count(*published) for published in ((first,), (), (first,), (), (second,), (), (second,))]
    server.wait_for(lambda: len(server.list_message_keys("news")) == 4, 60)
    assert counts[-1] == 4
    texts = [message.text for message in server.queue.list_messages("news").values()]
    expected = first.id, "Approved by default, before: Rejected", second.id, "Approved by default, before: Rejected"
    assert [words in text for words, text in zip(expected, texts, strict=True)] == [True] * 4
