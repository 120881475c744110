"""A host and a port are read from text and written as in a URL."""

import pytest

from dockgate.shared.host_port import HostPort


@pytest.mark.parametrize(
    ("text", "host_port"),
    [
        ("10.0.0.7:7422", HostPort("10.0.0.7", 7422)),
        ("gate.example.org:1", HostPort("gate.example.org", 1)),
        ("[::1]:65535", HostPort("::1", 65535)),
    ],
)
def test_a_host_and_a_port_are_read_and_written(text: str, host_port: HostPort) -> None:
    assert HostPort.parse(text) == host_port
    assert str(host_port) == text


@pytest.mark.parametrize(
    "text", ["", "host", ":7422", "host:", "host:0", "host:65536", "host:x", "::1:80", "[]:80", "[a]:80"]
)
def test_other_text_is_no_host_and_port(text: str) -> None:
    assert HostPort.parse(text) is None
