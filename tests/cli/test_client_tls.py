"""Errors of commands: TLS to a plain server, plain HTTP to a TLS server, untrusted certificates."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

from dockgate.shared.errors import UsageError
from dockgate.shared.tls import can_speak_tls, create_client_context


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Quiet."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A handshake that fails is what the tests are about."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "1", "-subj", "/CN=gate", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextmanager
def serve_tls(certificate: Path, key: Path) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with _Quiet(("127.0.0.1", 0), _Empty) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def tls_port(certificate: tuple[Path, Path]) -> Iterator[int]:
    with serve_tls(*certificate) as port:
        yield port


def test_plain_http_to_a_tls_port_names_the_https_url(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, tls_port: int
) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", f"http://127.0.0.1:{tls_port}")
    result = dockgate("pipeline", "list")
    assert result.code == 2
    assert f"http://127.0.0.1:{tls_port} accepts only TLS" in result.err
    assert f"Set DOCKGATE_SERVER to https://127.0.0.1:{tls_port}." in result.err


def test_a_400_of_a_tls_proxy_names_the_https_url(dockgate: Dockgate, server: FakeServer, tls_port: int) -> None:
    """A TLS proxy answers 400; a 400 of a server without TLS is reported unchanged."""
    server.answers["GET /pipelines"] = (400, b"Client sent an HTTP request to an HTTPS server.")
    result = dockgate("pipeline", "list")
    assert "answered 400" in result.err
    assert not can_speak_tls("127.0.0.1", int(server.url.rpartition(":")[2]))
    assert can_speak_tls("127.0.0.1", tls_port)


def test_tls_to_a_plain_http_port_names_the_http_url(
    dockgate: Dockgate, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", server.url.replace("http:", "https:"))
    result = dockgate("pipeline", "list")
    assert result.code == 2
    assert "does not use TLS" in result.err
    assert f"set DOCKGATE_SERVER to {server.url}" in result.err


def test_a_certificate_that_is_not_trusted_names_the_setting(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, tls_port: int, certificate: tuple[Path, Path]
) -> None:
    monkeypatch.setenv("DOCKGATE_SERVER", f"https://127.0.0.1:{tls_port}")
    result = dockgate("pipeline", "list")
    assert "is not trusted" in result.err
    assert "DOCKGATE_CA_BUNDLE" in result.err
    monkeypatch.setenv("DOCKGATE_CA_BUNDLE", str(certificate[0]))
    assert "not trusted" not in dockgate("pipeline", "list").err


@pytest.mark.parametrize("content", [None, "no certificate\n"])
@pytest.mark.parametrize("command", [("pipeline", "list"), ("db", "update"), ("up", "--detach")])
def test_a_ca_bundle_that_cannot_be_used_is_named_with_its_setting(
    dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...], content: str | None
) -> None:
    bundle = tmp_path / "authorities.pem"
    if content is not None:
        bundle.write_text(content)
    for name, value in {"CA_BUNDLE": bundle, "DATA": tmp_path / "data", "SERVER": "https://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"DOCKGATE_{name}", str(value))
    result = dockgate(*command)
    assert result.code == 2
    assert f"the CA bundle {bundle} cannot be used: " in result.err
    assert "Set DOCKGATE_CA_BUNDLE to the PEM file of your authorities, or unset it." in result.err


def test_a_folder_as_ca_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        create_client_context(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "", "a" * 300, "host.invalid"])
def test_a_closed_port_does_not_use_tls(host: str, unused_port: int) -> None:
    assert not can_speak_tls(host, unused_port)
