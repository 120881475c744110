"""Pipelines elsewhere ask for approvals: each is answered once, however it waits, and whatever comes first."""

import json
import re
import socket
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, table
from standardwebhooks import Webhook
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import SERVICE
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

from dockgate.delivery.approval_request import ApprovalRequest
from dockgate.delivery.model import Approval, ApprovalId
from dockgate.gate.model import Status
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Principal
from dockgate.shared.timestamps import format_time as text
from dockgate.web.threads import Threads

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://ci.example/answers"
BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
ASSIGNMENT = """\
kind: PolicyAssignment
name: passing
repositories: [elsewhere.example/app]
policy: default
allowed:
  - policies: [passing]
"""
# Seconds that a poll lasts when no answer comes; the client waits for 30.
POLL = 25


@pytest.fixture(scope="module", params=FACTORIES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param) as system:
        yield system


def ask(server: ServerSystem, name: str, execution: str = "1", key: str = "", **fields: Any) -> Any:
    body = {"pipeline": "shop", "stage": "gate", "execution": execution, "image": f"elsewhere.example/app:{name}"}
    headers = {"Idempotency-Key": key} if key else {}
    answer = server.client.post("/approvals", json={**body, **fields}, headers=headers)
    assert answer.is_success, answer.text
    return answer.json()


def answer(server: ServerSystem, request: Any, wait: float = 0) -> Any:
    return server.get(f"/approvals/{request['approval']['id']}/answer?wait={wait}")


def count_polls(server: ServerSystem) -> int:
    """How many requests are being answered."""
    return len(server.web.server_state.tasks)


def let_scan_end(server: ServerSystem, image: str) -> None:
    server.scan_may_end[image].set()


def list_callbacks(server: ServerSystem, request: Any) -> list[tuple[str, dict[str, str], bytes]]:
    """The callbacks with this approval's answer: other approvals share the server."""
    return [call for call in server.webhooks.calls if json.loads(call[2])["id"] == request["approval"]["id"]]


@limit_to_sqlite("server")
def test_a_tag_is_resolved_when_the_approval_is_requested(server: ServerSystem) -> None:
    image = server.plan_foreign_image("tagged", PlannedFindings())
    request = ask(server, "tagged")
    assert request["approval"]["image"] == image
    assert request["approval"]["repository"] == "elsewhere.example/app"
    assert request["approval"]["state"] == "Waiting"
    assert request["approval"]["id"].startswith("external/shop/1/gate/")
    assert request["token"]
    let_scan_end(server, image)
    assert answer(server, request, 20)["state"] == "Approved"


def test_a_repeated_request_returns_the_same_approval(server: ServerSystem) -> None:
    image = server.plan_foreign_image("twice", PlannedFindings({"CRITICAL": 1}))
    first, second = ask(server, "twice"), ask(server, "twice")
    assert first == second
    assert ask(server, "twice", execution="2")["approval"]["id"] != first["approval"]["id"]
    let_scan_end(server, image)
    assert answer(server, first, 20)["state"] == "Rejected"
    third = ask(server, "twice")
    assert (third["approval"]["state"], third["token"]) == ("Rejected", first["token"])


@pytest.mark.parametrize("key", ["", "shared"])
@limit_to_sqlite("server")
def test_another_principals_request_gets_no_existing_approval(server: ServerSystem, key: str) -> None:
    """Else a question asked in advance, while the image passes, would answer another pipeline's later one, and its
    callback's secret would be known to every caller of the same request."""
    image = server.plan_foreign_image(f"whose{key}", PlannedFindings())
    let_scan_end(server, image)
    question = ApprovalRequest("shop", "gate", "43", f"elsewhere.example/app:whose{key}", callback_url=URL, key=key)
    first, repeated_request, second = (
        server.services.approvals.requests.request_external(question, Principal(name, ()))
        for name in ("ana", "ana", "mallory")
    )
    assert first.id == repeated_request.id
    assert first.id != second.id
    assert first.token != second.token
    callbacks = [server.store.approvals.find_callback(approval.id) for approval in (first, second)]
    assert len({callback.secret for callback in callbacks if callback}) == 2


def test_an_idempotency_key_returns_the_first_approval_after_the_tag_moved(server: ServerSystem) -> None:
    image = server.plan_foreign_image("keyed", PlannedFindings())
    first = ask(server, "keyed", key="one")
    server.plans[image] = ("moved", PlannedFindings())
    assert ask(server, "keyed", key="one") == first
    body = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": "elsewhere.example/app:another"}
    second_response = server.client.post("/approvals", json=body, headers={"Idempotency-Key": "one"})
    assert second_response.status_code == 409
    assert "idempotency key 'one'" in second_response.json()["error"]


@limit_to_sqlite("server")
def test_an_idempotency_key_works_after_its_policy_was_removed(server: ServerSystem) -> None:
    image = server.plan_foreign_image("outlived", PlannedFindings())
    server.client.put("/policies/passing", content="max_findings:\n  HIGH: 0\n").raise_for_status()
    server.apply(ASSIGNMENT)
    first = ask(server, "outlived", key="outlived", policy="passing")
    let_scan_end(server, image)
    assert answer(server, first, 20)["state"] == "Approved"
    assert server.client.delete("/policies/passing").status_code == 409  # the assignment names it
    server.client.delete("/policy-assignments/passing").raise_for_status()
    server.client.delete("/policies/passing").raise_for_status()
    repeated_request = ask(server, "outlived", key="outlived", policy="passing")
    assert (repeated_request["approval"]["id"], repeated_request["approval"]["state"]) == (
        first["approval"]["id"],
        "Approved",
    )


@limit_to_sqlite("server")
def test_a_scanned_image_is_answered_at_once(server: ServerSystem) -> None:
    image = server.plan_image("earlier", PlannedFindings({"HIGH": 1}))
    server.end_scan(image)
    wait_until(lambda: server._scan_state(image) == "Done")
    request = ask(server, "", image="", digest=image, repository="earlier/app")
    assert request["approval"]["state"] == "Rejected"
    assert request["approval"]["repository"] == "earlier/app"
    assert server.get(f"/verdicts/{request['approval']['verdict']}")["status"] == "Rejected"


@limit_to_sqlite("server")
def test_a_requester_cannot_choose_the_repository_of_an_image(server: ServerSystem) -> None:
    """Waivers and baselines may be of one repository alone."""
    image = server.plan_foreign_image("special", PlannedFindings({"CRITICAL": 1}))
    let_scan_end(server, image)
    assert answer(server, ask(server, "special"), 20)["state"] == "Rejected"
    waiver = {"package": "pkg:**", "repository": "empty.example/app", "until": "2099-01-01"}
    server.client.post("/waivers", json={**waiver, "owner": "ana", "reason": "r"}).raise_for_status()
    body = {"pipeline": "shop", "stage": "gate", "execution": "1"}
    response = server.client.post("/approvals", json={**body, "image": f"empty.example/app@{image}"})
    assert response.status_code == 404
    assert "no image empty.example/app@" in response.json()["error"]
    promoted_request = server.client.post("/approvals", json={**body, "image": f"promoted.example/app@{image}"}).json()
    assert promoted_request["approval"]["state"] == "Rejected"


@limit_to_sqlite("server")
def test_a_poll_ends_with_the_decision_or_its_timeout(server: ServerSystem) -> None:
    image = server.plan_foreign_image("polled", PlannedFindings())
    request = ask(server, "polled")
    begin = time.monotonic()
    assert answer(server, request, 0.2)["state"] == "Waiting"
    assert 0.2 <= time.monotonic() - begin < POLL
    with ThreadPoolExecutor(1) as pool:
        begin = time.monotonic()
        poll = pool.submit(answer, server, request, POLL)
        wait_until(lambda: count_polls(server) == 1)
        let_scan_end(server, image)
        assert poll.result()["state"] == "Approved"
    assert time.monotonic() - begin < POLL


@limit_to_sqlite("server")
def test_polls_hold_no_threads(server: ServerSystem) -> None:
    image = server.plan_foreign_image("crowded", PlannedFindings())
    requests = [ask(server, "crowded", execution=f"{number}") for number in range(45)]
    with ThreadPoolExecutor(45) as pool:
        begin = time.monotonic()
        answers = [pool.submit(answer, server, request, POLL) for request in requests]
        wait_until(lambda: count_polls(server) == 45)
        # Each of Starlette's threads (40 at most) would be busy until the first poll's end if a poll occupied a thread.
        assert server.get("/status")
        assert time.monotonic() - begin < POLL
        let_scan_end(server, image)
        assert {poll.result()["state"] for poll in answers} == {"Approved"}


@limit_to_sqlite("server")
def test_a_poll_ends_when_its_client_hangs_up(server: ServerSystem) -> None:
    server.plan_foreign_image("abandoned", PlannedFindings())
    approval_id = ask(server, "abandoned")["approval"]["id"]
    host, _, port = server.url.removeprefix("http://").partition(":")
    for path in (f"/api/v1/approvals/{approval_id}/answer?wait={POLL}", f"/api/v1/events?after={1 << 40}&wait=60"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            wait_until(lambda: server.web.server_state.tasks)
        wait_until(lambda: not server.web.server_state.tasks)
    assert count_polls(server) == 0


@limit_to_sqlite("server")
def test_a_caller_with_many_polls_leaves_the_server_to_others(server: ServerSystem) -> None:
    image = server.plan_foreign_image("many", PlannedFindings())
    approval_id = ask(server, "many")["approval"]["id"]
    usual = server.app.state.threads
    server.app.state.threads = Threads(max_requests=8)

    def poll() -> bool:
        return server.client.get(f"/approvals/{approval_id}/answer?wait={POLL}").status_code != 429

    try:
        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(wait_until, poll)
            wait_until(lambda: server.client.get("/status").status_code == 429)
            assert server.client.get("/health").status_code == 200
            let_scan_end(server, image)
    finally:
        server.app.state.threads = usual


def test_a_decision_is_posted_once_and_signed(server: ServerSystem) -> None:
    image = server.plan_foreign_image("posted", PlannedFindings({"CRITICAL": 1}))
    request = ask(server, "posted", callback={"url": URL, "secret": SECRET})
    assert request["callback_secret"] == SECRET
    let_scan_end(server, image)
    ((url, headers, body),) = wait_until(lambda: list_callbacks(server, request))
    assert url == URL
    event = Webhook(SECRET).verify(body, headers)
    assert (event["specversion"], event["type"]) == ("1.0", "dev.dockgate.approval.settled")
    assert (event["subject"], event["id"]) == (image, request["approval"]["id"])
    assert event["data"]["state"] == "Rejected"
    assert event["data"]["verdict"].startswith("sha256:")
    assert headers["content-type"].startswith("application/cloudevents+json")
    later = ask(server, "posted", execution="later", callback={"url": URL, "secret": SECRET})
    wait_until(lambda: list_callbacks(server, later))
    assert len(list_callbacks(server, request)) == 1


@limit_to_sqlite("server")
def test_a_webhook_without_secret_gets_one(server: ServerSystem) -> None:
    image = server.plan_foreign_image("unsaid", PlannedFindings())
    request = ask(server, "unsaid", callback={"url": URL})
    assert request == ask(server, "unsaid", callback={"url": URL})
    let_scan_end(server, image)
    ((_, headers, body),) = wait_until(lambda: list_callbacks(server, request))
    assert Webhook(request["callback_secret"]).verify(body, headers)["data"]["state"] == "Approved"


@limit_to_sqlite("server")
def test_secrets_are_never_returned_later(server: ServerSystem) -> None:
    server.plan_foreign_image("secret", PlannedFindings())
    request = ask(server, "secret", callback={"url": URL, "secret": SECRET})
    for document in (server.get("/approvals"), answer(server, request)):
        assert SECRET not in repr(document)
        assert request["token"] not in repr(document)


@limit_to_sqlite("server")
def test_an_undecided_approval_expires(server: ServerSystem) -> None:
    image = server.plan_foreign_image("late", PlannedFindings())
    request = ask(server, "late", timeout=1)
    assert answer(server, request, 20)["state"] == "Expired"
    let_scan_end(server, image)
    wait_until(lambda: server._scan_state(image) == "Done")
    assert ask(server, "late", execution="2")["approval"]["state"] == "Approved"
    assert answer(server, request)["state"] == "Expired"


def test_an_approval_without_a_scan_request_gets_one(server: ServerSystem) -> None:
    """The server died between the two."""
    image = server.plan_foreign_image("halved", PlannedFindings())
    let_scan_end(server, image)
    now, later = text(server.clock()), "2999-01-01T00:00:00.000Z"
    server.store.approvals.add(
        Approval(
            ApprovalId("external/a/1/b/c"),
            "t",
            image,
            "elsewhere.example/app",
            PolicyReference("default"),
            "",
            now,
            later,
        )
    )
    wait_until(lambda: server.get("/approvals/external/a/1/b/c/answer")["state"] == "Approved", seconds=20)


def test_no_row_of_the_database_shows_a_callback(server: ServerSystem) -> None:
    """Neither before nor after its answer and the next verdict: backups of the database answer no pipeline."""
    url = f"{URL}/of-a-pipeline"
    image = server.plan_foreign_image("encrypted", PlannedFindings())
    request = ask(server, "encrypted", callback={"url": url, "secret": SECRET})
    assert list_readable_texts(server, "encrypted", request["approval"]["id"])
    assert list_readable_texts(server, url, SECRET) == []
    let_scan_end(server, image)
    wait_until(lambda: list_callbacks(server, request))
    followed_image = {row.image: row for row in server.store.followed_images.list()}[image]
    verdict, now = followed_image.verdict, followed_image.changed_at
    server.store.followed_images.change(followed_image, Status.REJECTED, verdict, "", now)
    assert list_readable_texts(server, url, SECRET) == []


def list_readable_texts(server: ServerSystem, *wanted_texts: str) -> list[str]:
    """The texts that a value of any table contains, as it is or in base64 as dbos stores objects."""
    values: list[bytes] = []
    with server.store.database.read() as connection:
        inspector = inspect(connection)
        tables = [
            (schema, name) for schema in inspector.get_schema_names() for name in inspector.get_table_names(schema)
        ]
        for schema, name in tables:
            for row in connection.execute(select("*").select_from(table(name, schema=schema))):
                values += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    values += [b64decode(value) for value in values if BASE64.fullmatch(value)]
    return [text for text in wanted_texts if any(text.encode() in value for value in values)]


@limit_to_sqlite("server")
@pytest.mark.parametrize(
    ("wrong", "status", "expected"),
    [
        ({"image": "elsewhere.example/app:nothing"}, 404, "nothing"),
        ({"image": "down.example/app:1"}, 502, "down.example cannot be reached"),
        ({"image": ""}, 400, "missing or given twice"),
        ({"digest": "sha256:" + "0" * 64}, 400, "missing or given twice"),
        ({"pipeline": ""}, 422, "pipeline"),
        ({"stage": "a\nb"}, 400, "stage"),
        ({"timeout": 0}, 422, "timeout"),
        ({"policy": "anything-goes"}, 404, "anything-goes"),
        ({"service": "no-such"}, 404, "Services: earlier."),
        ({"callback": {"url": "file:///etc/passwd"}}, 400, "file:///etc/passwd"),
        ({"callback": {"url": URL, "secret": "hunter2"}}, 400, "Standard Webhooks"),
    ],
)
def test_an_invalid_request_is_refused(server: ServerSystem, wrong: dict[str, Any], status: int, expected: str) -> None:
    server.plan_foreign_image("asked", PlannedFindings())
    server.apply(SERVICE.format(name="earlier", count=1))
    body = {"pipeline": "shop", "stage": "gate", "execution": "9", "image": "elsewhere.example/app:asked", **wrong}
    response = slow_http.post(f"{server.url}/api/v1/approvals", json=body)
    assert response.status_code == status, response.text
    assert expected in response.json()["error"] + response.json()["advice"]
    assert "hunter2" not in response.text
