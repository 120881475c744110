"""`dockgate delivery`: deliveries that failed are listed, and sent again by name or all."""

from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

ENTRY = {
    "kind": "webhook",
    "receiver": "ci.example",
    "key": "external/one",
    "due_since": "2026-11-28T12:00:00.000Z",
    "attempts": 9,
    "error": "no connection",
    "next_at": None,
}


def test_failed_deliveries_are_listed_with_what_names_them(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /deliveries"] = [ENTRY, ENTRY | {"key": "external/two", "next_at": "2026-11-28T12:00:00.000Z"}]
    lines = dockgate("delivery", "list", "--state", "given-up", "--kind", "webhook").out.splitlines()
    assert lines[1].split()[:3] == ["webhook", "ci.example", "external/one"]
    assert "given up" in lines[1]
    assert "given up" not in lines[2]
    assert {"state": "given-up", "kind": "webhook"}.items() <= server.requests[-1].query.items()


def test_deliveries_are_sent_again_by_their_keys_or_all(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /deliveries/redeliver"] = {"count": 1}
    output = dockgate("delivery", "redeliver", "webhook", "ci.example", "external/one").out
    assert output == "ci.example: sending 1 message again\n"
    assert server.requests[-1].parse_body() == {"kind": "webhook", "receiver": "ci.example", "keys": ["external/one"]}
    dockgate("delivery", "redeliver", "webhook", "ci.example", "--all")
    assert server.requests[-1].parse_body() == {"kind": "webhook", "receiver": "ci.example", "keys": None}


def test_neither_nothing_nor_keys_and_all_are_sent_again(dockgate: Dockgate, server: FakeServer) -> None:
    for arguments in ((), ("external/one", "--all")):
        assert dockgate("delivery", "redeliver", "webhook", "ci.example", *arguments).code == 2
    assert server.requests == []


def test_deliveries_are_dismissed_for_a_reason(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /deliveries/dismiss"] = {"count": 2}
    arguments = ("delivery", "dismiss", "webhook", "ci.example", "--all")
    assert dockgate(*arguments).code == 2  # without a reason
    assert dockgate(*arguments, "external/one", "--reason", "x").code == 2
    assert server.requests == []
    assert dockgate(*arguments, "--reason", "gone").out == "ci.example: 2 messages dismissed\n"
    body = {"kind": "webhook", "receiver": "ci.example", "keys": None, "reason": "gone"}
    assert server.requests[-1].parse_body() == body
    dismissal = {"dismissed_at": "2026-11-28T12:00:00.000Z", "dismissed_by": "ada", "dismissal_reason": "gone"}
    server.answers["GET /deliveries"] = [ENTRY | dismissal]
    line = dockgate("delivery", "list", "--state", "dismissed").out.splitlines()[1]
    assert "dismissed by ada: gone" in line
    assert "given up" not in line
