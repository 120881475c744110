"""What a request may send: bounded bodies, from callers who may, and nothing that can be read in two ways."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.server import SECRET, ServerSystem

from dockgate.web.request_limits import MAX_BODY, MAX_OPEN_FORM, MAX_UPLOAD
from dockgate.web.threads import MAX_DOCUMENTS_EACH, MAX_OPEN_FORMS_EACH, Threads

NOTHING = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def send_head(server: ServerSystem, method: str, path: str, *headers: str) -> bytes:
    """The first line of the answer to a request that announces a body and sends nothing of it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", *headers]
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.makefile("rb").readline().strip()


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/v1/apply", MAX_BODY),
        ("/api/v1/approvals", MAX_BODY),
        ("/api/v1/vex", MAX_UPLOAD),
        (f"/api/v1/images/{NOTHING}/findings", MAX_UPLOAD),
        ("/registry/events", MAX_UPLOAD),
    ],
)
def test_a_body_beyond_the_limit_is_refused(server: ServerSystem, path: str, limit: int) -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    header_lines = [f"{name}: {value}" for name, value in headers.items()]
    assert send_head(server, "POST", path, *header_lines, f"Content-Length: {limit + 1}").split()[1] == b"413"

    def send_unannounced() -> Iterator[bytes]:
        for _ in range(limit // 65536 + 1):
            yield b" " * 65536

    answer = slow_http.post(server.url + path, content=send_unannounced(), headers=headers)
    assert answer.status_code == 413, answer.text
    assert answer.json()["advice"]


def test_repeated_headers_and_parameters_are_refused(server: ServerSystem) -> None:
    status = "/api/v1/status"
    for headers in (
        ("Authorization: Bearer a", "Authorization: Bearer b"),
        ("Content-Length: 0", "Transfer-Encoding: chunked"),
        ("Idempotency-Key: a", "Idempotency-Key: b"),
        ("Origin: http://a.example", f"Origin: {server.url}"),
        ("Host: a.example",),
    ):
        assert send_head(server, "GET", status, *headers).split()[1] == b"400", headers
    assert send_head(server, "GET", "/api/v1/approvals?limit=1&limit=2").split()[1] == b"400"
    assert send_head(server, "GET", "/api/v1/approvals?limit=1&state=Waiting").split()[1] == b"200"


def test_a_compressed_body_is_refused(server: ServerSystem) -> None:
    answer = slow_http.post(f"{server.url}/api/v1/apply", content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


def test_without_principals_requests_through_a_proxy_are_refused(server: ServerSystem) -> None:
    for header in ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"):
        assert slow_http.get(f"{server.url}/api/v1/status", headers={header: "127.0.0.1"}).status_code == 401


def test_the_openapi_document_is_readable_before_there_are_principals(server: ServerSystem) -> None:
    assert "paths" in server.get("/openapi.json")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"reason": "' + "\\ud800" + '"}', "[" + "1" * 100_000, '{"reason": "' + "\\u0000" + '"}'],
)
def test_hostile_json_is_refused(server: ServerSystem, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = slow_http.post(f"{server.url}/api/v1/executions/none-1/stop", content=text, headers=headers)
    assert answer.status_code in (400, 422), answer.text


OPEN_FORM = ("Sec-Fetch-Site: same-origin", "Content-Type: application/x-www-form-urlencoded")


def list_input_lists(document: dict[str, Any], schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas of all lists in a schema of the OpenAPI document."""
    if isinstance(schema, list):
        for part in schema:
            yield from list_input_lists(document, part)
    elif isinstance(schema, dict):
        if reference := schema.get("$ref"):
            yield from list_input_lists(document, document["components"]["schemas"][reference.rpartition("/")[2]])
        if schema.get("type") == "array":
            yield schema
        for part in schema.values():
            yield from list_input_lists(document, part)


def test_every_list_in_a_request_is_bounded(server: ServerSystem) -> None:
    """Each wrong entry of a list is an error that is made before the request is refused."""
    document = server.get("/openapi.json")
    bodies = [
        call["requestBody"] for path in document["paths"].values() for call in path.values() if "requestBody" in call
    ]
    lists = [schema for body in bodies for schema in list_input_lists(document, body)]
    assert lists
    assert [schema for schema in lists if "maxItems" not in schema] == []


def test_documents_that_are_not_read_are_few(server: ServerSystem) -> None:
    """A client that asks for many large documents and reads none of them fills no memory."""
    statement = {
        "vulnerability": "CVE-2026-1",
        "products": ["pkg:npm/a"],
        "status": "affected",
        "action_statement": "x",
    }
    openvex = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "a",
        "author": "b",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    vex = {**openvex, "version": 1, "statements": [statement], "note": "x" * (7 << 20)}
    document = server.post("/vex", vex)["document"]
    former_threads = server.app.state.threads
    server.app.state.threads = Threads(wait_seconds=0.01)
    host, _, port = server.url.removeprefix("http://").partition(":")
    request = f"GET /api/v1/documents/{document} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    try:
        with ExitStack() as stack:
            for _ in range(MAX_DOCUMENTS_EACH):
                connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
                connection.sendall(request)
                assert connection.recv(12) == b"HTTP/1.1 200"
            response = slow_http.get(f"{server.url}/api/v1/documents/{document}")
            assert response.status_code == 429, response.text[:200]
            assert f"already sends {MAX_DOCUMENTS_EACH} documents of yours" in response.json()["error"]
        wait_until(lambda: slow_http.get(f"{server.url}/api/v1/documents/{document}").status_code == 200)
    finally:
        server.app.state.threads = former_threads


def test_a_form_without_a_session_is_small(server: ServerSystem) -> None:
    length_header = f"Content-Length: {MAX_OPEN_FORM + 1}"
    assert send_head(server, "POST", "/signin", *OPEN_FORM, length_header).split()[1] == b"413"


def test_forms_that_stall_are_few_at_one_address(server: ServerSystem) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    head = "\r\n".join(["POST /signin HTTP/1.1", f"Host: {host}:{port}", *OPEN_FORM, "Content-Length: 9", "", ""])
    with ExitStack() as stack:
        for _ in range(MAX_OPEN_FORMS_EACH):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            connection.sendall(head.encode())
        assert send_head(server, "POST", "/signin", *OPEN_FORM, "Content-Length: 9").split()[1] == b"429"
        assert server.get("/health")
