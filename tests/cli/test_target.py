"""What the commands say of targets that get no messages."""

from typing import Any

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

TARGET: dict[str, Any] = {
    "name": "hook",
    "type": "webhook",
    "address": "hook.example",
    "enabled": True,
    "recipients": [],
    "quiet_hours": None,
    "summary": None,
    "version": 1,
    "changed_at": "2026-11-28T12:00:00.000Z",
    "changed_by": "ann",
    "waiting": 0,
    "dead": 2,
    "failures": 0,
    "is_failing": False,
    "paused_until": None,
    "last_error": None,
    "gone_at": None,
    "given_up": 0,
    "deleted": 0,
}


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "ok"),
        ({"last_error": "too large"}, "refused: too large"),
        ({"failures": 1, "last_error": "503"}, "retrying"),
        ({"failures": 5, "is_failing": True, "last_error": "503"}, "failing: 503"),
        ({"gone_at": "2026-11-28T12:00:00.000Z", "last_error": "wants no more (410)"}, ": wants no more (410)"),
    ],
)
def test_the_state_of_a_target_says_why_it_gets_nothing(
    dockgate: Dockgate, server: FakeServer, change: dict[str, Any], state: str
) -> None:
    server.answers |= {"GET /targets": [TARGET | change], "GET /targets/hook": TARGET | change}
    assert state in dockgate("target", "list").out
    output = dockgate("target", "show", "hook").out
    assert state in output
    assert ("dockgate target test hook" in output) == ("gone_at" in change)
    assert ("gone " in output) == ("gone_at" in change)


def test_messages_that_wait_are_listed_with_their_attempts(dockgate: Dockgate, server: FakeServer) -> None:
    message = {"key": "ops/7", "position": 7, "events": 2, "attempts": 3, "error": "503"}
    server.answers["GET /targets/hook/waiting-messages"] = [message | {"next_at": "2026-11-28T12:00:00.000Z"}]
    assert dockgate("target", "waiting", "hook").out.splitlines()[1].split()[:4] == ["7", "ops/7", "2", "3"]


def test_delivered_messages_are_listed(dockgate: Dockgate, server: FakeServer) -> None:
    message = {"key": "ops/7", "position": 7, "attempts": 3, "delivered_at": "2026-11-28T12:00:00.000Z"}
    server.answers["GET /targets/hook/delivered-messages"] = [message]
    assert dockgate("target", "delivered", "hook").out.splitlines()[1].split()[:3] == ["7", "ops/7", "3"]
