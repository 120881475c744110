"""Callbacks over HTTP: who is called, who is not, and that no receiver keeps us longer than it may."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dockgate.events.webhooks.http import HttpWebhooks
from dockgate.shared.addresses import explain_refusal
from dockgate.shared.errors import ReceiverGoneError, UnavailableError, UsageError


@contextmanager
def open_receiver(*pieces: bytes, pause: float = 0) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each connection with these pieces, a pause before each; gives its URL and what it was sent."""
    got: list[bytes] = []
    has_ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    got.append(_request(connection))
                    try:
                        for piece in pieces:
                            if has_ended.wait(pause):
                                return
                            connection.sendall(piece)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/answers", got
        has_ended.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _request(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        head = b"".join(iter(file.readline, b"\r\n"))
        (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return head + b"\r\n" + file.read(length)


def format_response(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 0", *headers, "", ""]).encode()


def test_a_body_is_posted_with_its_headers() -> None:
    with open_receiver(format_response("204 No Content")) as (url, got):
        HttpWebhooks(is_loopback_allowed=True).call(url, {"webhook-id": "msg_1"}, b"{}")
    head = got[0].split(b"\r\n")
    assert head[0] == b"POST /answers HTTP/1.1"
    assert b"webhook-id: msg_1" in head
    assert head[-1] == b"{}"


def test_a_redirect_is_not_followed() -> None:
    with (
        open_receiver(format_response("200 OK")) as (target_url, target_requests),
        open_receiver(format_response("302 Found", f"Location: {target_url}")) as (url, _),
    ):
        with pytest.raises(UnavailableError, match="302"):
            HttpWebhooks(is_loopback_allowed=True).call(url, {}, b"")
        assert target_requests == []


def test_an_error_may_be_tried_again_and_gone_may_not() -> None:
    with (
        open_receiver(format_response("503 Service Unavailable")) as (url, _),
        pytest.raises(UnavailableError, match="503"),
    ):
        HttpWebhooks(is_loopback_allowed=True).call(url, {}, b"")
    with open_receiver(format_response("410 Gone")) as (url, _), pytest.raises(ReceiverGoneError, match="410") as error:
        HttpWebhooks(is_loopback_allowed=True).call(url, {}, b"")
    # The URL is that of an approval's callback or of a target.
    assert "URL" in str(error.value.advice)
    assert "callback" not in error.value.full_message


def test_a_receiver_that_drips_or_never_ends_is_left() -> None:
    begin = time.monotonic()
    with open_receiver(*[b"H"] * 100, pause=0.1) as (url, _), pytest.raises(UnavailableError):
        HttpWebhooks(is_loopback_allowed=True, whole_seconds=0.5).call(url, {}, b"")
    endless = format_response("200 OK").replace(b"Content-Length: 0\r\n", b"")
    with open_receiver(endless, *[b"x" * 65536] * 1000) as (url, _):
        HttpWebhooks(is_loopback_allowed=True).call(url, {}, b"")
    assert time.monotonic() - begin < 5


def test_an_unreachable_receiver_is_reported_as_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_listener:
        port = closed_listener.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}"):
        HttpWebhooks(is_loopback_allowed=True).call(f"http://127.0.0.1:{port}/", {}, b"")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "0.0.0.0",  # noqa: S104 - an address that is refused
        "::",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_that_are_never_called(address: str) -> None:
    assert explain_refusal(address, is_loopback_allowed=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_called_by_a_server_on_loopback_alone(address: str) -> None:
    assert explain_refusal(address, is_loopback_allowed=True) is None
    assert explain_refusal(address, is_loopback_allowed=False)


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.1", "8.8.8.8", "2001:4860:4860::8888"])
def test_hosts_of_ones_own_network_and_elsewhere_are_called(address: str) -> None:
    assert explain_refusal(address, is_loopback_allowed=False) is None


def test_a_name_is_looked_at_when_it_is_called() -> None:
    """A name that stood for another address when the callback was given."""
    with open_receiver(format_response("200 OK")) as (url, got):
        port = url.rpartition(":")[2]
        caller = HttpWebhooks(is_loopback_allowed=False, resolve=lambda host, port: ["127.0.0.1"])
        caller.check(f"http://rebound.example:{port}")
        with pytest.raises(UnavailableError, match="this machine"):
            caller.call(f"http://rebound.example:{port}", {}, b"")
        assert got == []


def test_the_error_of_an_address_that_is_not_allowed_says_to_give_another_host() -> None:
    with pytest.raises(UnavailableError, match="where clouds keep credentials") as error_info:
        HttpWebhooks(is_loopback_allowed=False).call("http://169.254.169.254/latest", {}, b"")
    assert error_info.value.next_step == "This address is not allowed: give a URL of another host."


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "file:///etc/passwd",
        "https:///path",
        "https://user:password@a.example/",
        "a.example/answers",
        "http://a.example:99999/",
        "https://a.example/\r\nX: y",
        "https://ä.example/",
    ],
)
def test_an_invalid_webhook_url_is_refused_before_the_call(url: str) -> None:
    with pytest.raises(UsageError) as error_info:
        HttpWebhooks(is_loopback_allowed=True).check(url)
    assert "password@" not in error_info.value.full_message


def test_hosts_may_be_limited_to_a_list() -> None:
    caller = HttpWebhooks(("ci.example.org", "*.internal"), is_loopback_allowed=True)
    caller.check("https://CI.example.org/answers")
    caller.check("http://jenkins.internal:8080/")
    for url in ("https://example.org/", "https://ci.example.org.evil.test/", "https://internal/"):
        with pytest.raises(UsageError, match="not allowed"):
            caller.check(url)
