"""Runs of health checks against servers that behave badly."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from dockgate.delivery.targets._health import OUTPUT_LIMIT, LastProbes, Outcome, format_output_end, probe_http


@contextmanager
def serve_response(*pieces: bytes, pause: float = 0) -> Iterator[int]:
    """The port of a server that answers one request with these pieces, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                        time.sleep(pause)
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("pieces", "is_healthy", "output"),
    [
        ([b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nfine"], True, "HTTP/1.1 200 OK"),
        ([b"HTTP/1.1 ", b"302 Found\r\n\r\n"], True, "HTTP/1.1 302 Found"),
        (
            [b"HTTP/1.1 503 Unavailable\r\n\r\n", b"no database"],
            False,
            "HTTP/1.1 503 Unavailable\n\nno database",
        ),
        ([b"HTTP/1.1 500 \x1b[31mred\x1b[0m\x07\r\n"], False, "HTTP/1.1 500 red"),
        ([b"SSH-2.0-OpenSSH\r\n"], False, "SSH-2.0-OpenSSH"),
        ([], False, "no HTTP answer within 5 s"),
    ],
)
def test_the_output_is_the_status_and_the_reason_of_a_refusal(
    pieces: Sequence[bytes], is_healthy: bool, output: str
) -> None:
    with serve_response(*pieces) as port:
        assert probe_http("127.0.0.1", port, "/health", 5) == Outcome(is_healthy, output)


def test_a_server_that_answers_byte_by_byte_is_given_up_in_time() -> None:
    with serve_response(*[b"x"] * 8, pause=0.1) as port:
        begin = time.monotonic()
        assert not probe_http("127.0.0.1", port, "/", 0.3).is_healthy
        assert time.monotonic() - begin < 2


def test_the_body_of_a_refusal_is_read_up_to_a_limit() -> None:
    with serve_response(b"HTTP/1.1 500 Error\r\n\r\n" + b"y" * 100_000) as port:
        assert len(probe_http("127.0.0.1", port, "/", 5).output or "") <= OUTPUT_LIMIT


def test_a_port_without_a_server_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert probe_http("127.0.0.1", port, "/", 1).output == "no HTTP answer: Connection refused"


def test_the_end_of_the_output_stays_without_control_characters() -> None:
    assert format_output_end(b"a\x1b[1;31mb\x1b]0;title\x07\tc\r\nd\x00\xff") == "ab0;title\tc\nd\ufffd"
    assert format_output_end(b"x" * 10_000) == "x" * OUTPUT_LIMIT


def test_failures_in_a_row_are_counted_until_the_check_passes() -> None:
    probes = LastProbes()
    for is_healthy in (False, False):
        probes.record("web", "1", Outcome(is_healthy, "no"), "2026-01-01T00:00:00Z", 0.25)
    failing = probes.get("web", "1")
    assert failing
    assert (failing.failures, failing.output, failing.seconds) == (2, "no", 0.25)
    probes.record("web", "1", Outcome(True), "2026-01-01T00:00:01Z", 0.1)
    passing = probes.get("web", "1")
    assert passing
    assert passing.failures == 0


def test_tasks_that_are_gone_are_forgotten() -> None:
    probes = LastProbes()
    for task in ("1", "2"):
        probes.record("web", task, Outcome(True), "2026-01-01T00:00:00Z", 0.1)
    probes.forget_other_tasks("web", {"2"})
    assert probes.get("web", "1") is None
    assert probes.get("web", "2")
