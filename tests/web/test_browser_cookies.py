"""Every cookie of the console is out of reach of scripts, and over TLS bound to TLS and host."""

import re
from pathlib import Path

import pytest
from fastapi import Request, Response

from dockgate import web
from dockgate.web.browser_sessions import clear_cookie, read_cookie, set_cookie

SOURCE = Path(web.__file__).parent


def make_request(scheme: str, *cookies: str) -> Request:
    headers = [(b"cookie", "; ".join(cookies).encode())]
    server = ("gate.example", 443)
    return Request(
        {"type": "http", "scheme": scheme, "path": "/", "query_string": b"", "server": server, "headers": headers}
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cookie_is_secure_over_tls(scheme: str) -> None:
    response = Response()
    set_cookie(make_request(scheme), response, "name", "value", 60)
    header = response.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(header.split("; "))
    assert ("Secure" in header.split("; ")) == (scheme == "https")
    assert header.startswith("__Host-name=" if scheme == "https" else "name=")
    assert read_cookie(make_request(scheme, header.partition(";")[0]), "name") == "value"
    cleared_response = Response()
    clear_cookie(make_request(scheme), cleared_response, "name")
    cleared_header = cleared_response.headers["set-cookie"]
    assert cleared_header.startswith(header.partition("=")[0])
    assert "Max-Age=0" in cleared_header
    assert ("Secure" in cleared_header) == (scheme == "https")


def test_over_tls_a_cookie_of_plain_http_does_not_count() -> None:
    assert read_cookie(make_request("https", "name=value"), "name") is None


def test_cookies_are_set_and_read_in_one_place() -> None:
    users = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if re.search(r"\.(set_cookie|delete_cookie)\(|\.cookies\b", file.read_text())
    }
    assert users == {"browser_sessions.py"}
