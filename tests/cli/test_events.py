"""`dockgate events`: event patterns tried without a server; events listed and followed."""

import io
import json
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Dockgate

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
    ran = dockgate("events", "test", "--pattern", MATCHING, "--event", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "Error" in ran.err or "event" in ran.err


def test_a_missing_file_is_an_error_with_advice(dockgate: Dockgate, tmp_path: Path) -> None:
    ran = dockgate("events", "test", "--pattern", str(tmp_path / "none\x1b[2J"), "--event", "{}")
    assert ran.code == 2
    assert "Name a file, or pass the JSON itself." in ran.err
    assert "\x1b" not in ran.err
