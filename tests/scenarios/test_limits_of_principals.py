"""What a server with principals refuses before it reads a body, and its OpenAPI document."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios import slow_http
from tests.scenarios.server import ServerSystem

NOTHING = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def server_with_people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    """A server with principals; its client has an admin's token."""
    with ServerSystem(Path(tmp_path_factory.mktemp("named"))) as system:
        token = system.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
        system.client.headers["Authorization"] = f"Bearer {token}"
        yield system


def send_head(server: ServerSystem, method: str, path: str, *headers: str) -> bytes:
    """The first line of the answer to a request that announces a body and sends nothing of it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", *headers]
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.makefile("rb").readline().strip()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/apply", b"401"),
        ("POST", "/api/v1/approvals", b"401"),
        ("POST", "/api/v1/principals", b"401"),
        ("POST", "/api/v1/vex", b"401"),
        ("POST", f"/api/v1/images/{NOTHING}/findings", b"401"),
        ("PUT", "/api/v1/policies/p", b"401"),
        ("POST", "/registry/events", b"403"),
        ("POST", "/registry/harbor/r.example.org", b"403"),
        ("POST", "/git/web.git/git-upload-pack", b"401"),
        ("POST", "/git/web.git/git-receive-pack", b"401"),
    ],
)
def test_a_caller_without_a_right_is_refused_before_the_body_is_read(
    server_with_people: ServerSystem, method: str, path: str, status: bytes
) -> None:
    response = send_head(server_with_people, method, path, "Content-Length: 1000", "Content-Type: application/json")
    assert response.split()[1] == status


def test_the_openapi_document_needs_a_token_once_there_are_principals(server_with_people: ServerSystem) -> None:
    assert slow_http.get(f"{server_with_people.url}/api/v1/openapi.json").status_code == 401
    assert "paths" in server_with_people.get("/openapi.json")
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert slow_http.get(server_with_people.url + path).status_code == 404
    for answer in (server_with_people.client.get("/nothing"), server_with_people.client.post("/approvals", json={})):
        assert "openapi" not in answer.text
