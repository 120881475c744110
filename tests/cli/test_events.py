"""`dockgate events`: event patterns tried without a server; events listed and followed."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer, RecordedRequest

EVENT = {"source": "dockgate", "detail-type": "image.judged", "detail": {"status": "Rejected"}}
MATCHING = '{"detail": {"status": ["Rejected"]}}'


@pytest.fixture
def event(tmp_path: Path) -> str:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(EVENT))
    return str(path)


@pytest.mark.parametrize(("pattern", "code"), [(MATCHING, 0), ('{"source": ["aws.ecr"]}', 1), ('{"source": "x"}', 2)])
def test_the_exit_code_says_whether_a_pattern_matches(
    dockgate: Dockgate, tmp_path: Path, event: str, pattern: str, code: int
) -> None:
    path = tmp_path / "pattern.json"
    path.write_text(pattern)
    in_file = dockgate("events", "test", "--pattern", str(path), "--event", event)
    assert in_file == dockgate("events", "test", "--pattern", pattern, "--event", event)
    assert in_file.code == code
    if code == 2:
        assert "source: neither a list nor an object\n       Values are always in a list" in in_file.err


def test_an_event_is_read_from_standard_input(dockgate: Dockgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(EVENT)))
    assert dockgate("events", "test", "--pattern", MATCHING, "--event", "-").code == 0


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_an_event_that_cannot_be_read_is_an_error(dockgate: Dockgate, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(content)
    result = dockgate("events", "test", "--pattern", MATCHING, "--event", str(path))
    assert (result.code, result.out) == (2, "")
    assert "Error" in result.err or "event" in result.err


def test_a_missing_file_is_an_error_with_advice(dockgate: Dockgate, tmp_path: Path) -> None:
    result = dockgate("events", "test", "--pattern", str(tmp_path / "none\x1b[2J"), "--event", "{}")
    assert result.code == 2
    assert "Name a file, or pass the JSON itself." in result.err
    assert "\x1b" not in result.err


def test_events_after_a_number_are_listed_page_by_page(dockgate: Dockgate, server: FakeServer) -> None:
    def answer(request: RecordedRequest) -> dict[str, Any]:
        number = int(request.query["after"]) + 1
        event = {**EVENT, "seq": number, "time": "2026-11-28T12:00:00.000Z"}
        return {"events": [event], "after": number, "has_more": number < 9}

    server.answers["GET /events"] = answer
    result = dockgate("events", "list", "--after", "6", "--pattern", MATCHING, "-o", "json")
    assert [event["seq"] for event in json.loads(result.out)] == [7, 8, 9]
    assert {request.query["pattern"] for request in server.requests} == {MATCHING}
    assert len(json.loads(dockgate("events", "list", "--after", "6", "--limit", "2", "-o", "json").out)) == 2


def test_events_are_followed_from_now_on_in_their_order(dockgate: Dockgate, server: FakeServer) -> None:
    """Until the server refuses: a person would interrupt it."""
    pages = {"7": [8, 9], "9": [], "10": [11]}

    def answer(request: RecordedRequest) -> object:
        if "after" not in request.query:
            return {"events": [], "after": 7}
        numbers = pages.pop(request.query["after"], None)
        if numbers is None:
            return 403, {"error": "no permission", "advice": "Ask."}
        events = [{**EVENT, "seq": number, "time": "2026-11-28T12:00:00.000Z"} for number in numbers]
        return {"events": events, "after": max(numbers, default=10)}

    server.answers["GET /events"] = answer
    result = dockgate("events", "tail", "--pattern", MATCHING, "-o", "json")
    assert [json.loads(line)["seq"] for line in result.out.splitlines()] == [8, 9, 11]
    assert "no permission" in result.err
    assert all(request.query["pattern"] == MATCHING and request.query["wait"] for request in server.requests[1:])
    dockgate("events", "tail", "--after", "3")
    assert server.requests[-1].query["after"] == "3"
    wrong = dockgate("events", "tail", "--pattern", '{"source": "x"}')
    assert (wrong.code, len(server.requests)) == (2, 6)
