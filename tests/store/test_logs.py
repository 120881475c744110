"""Contract of the store: logs."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.factories import FACTORIES, make_key, open_store_of_kind

from dockgate.config import DiskLimits
from dockgate.delivery.model import ActionKey, ExecutionId
from dockgate.store import Store
from dockgate.store.logs import CUT_OFF, Logs


@pytest.fixture(params=FACTORIES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store_of_kind(request.param, tmp_path) as store:
        yield store


def test_reading_a_log_continues_from_an_offset(store: Store) -> None:
    assert store.logs.read(make_key("Build"), 0) == (b"", 0)
    store.logs.append(make_key("Build"), "first", "ünd \udce4")
    text, offset = store.logs.read(make_key("Build"), 0)
    assert text == "first\nünd \\udce4\n".encode()
    assert store.logs.read(make_key("Build"), offset) == (b"", offset)
    store.logs.append(make_key("Build"), "third")
    assert store.logs.read(make_key("Build"), offset) == (b"third\n", offset + 6)
    assert store.logs.read(make_key("Build", 2), 0) == (b"", 0)


def test_the_end_of_a_log_has_complete_lines(store: Store) -> None:
    assert store.logs.read_end(make_key("Build"), 9) == b""
    store.logs.append(make_key("Build"), "first", "second", "end")
    assert store.logs.read_end(make_key("Build"), 16) == b"second\nend\n"
    assert store.logs.read_end(make_key("Build"), 99) == b"first\nsecond\nend\n"


def test_a_long_log_comes_in_parts_of_whole_lines(store: Store) -> None:
    line = "x" * 99_999
    for _ in range(12):
        store.logs.append(make_key("Build"), line)
    first, offset = store.logs.read(make_key("Build"), 0)
    assert (len(first), offset) == (1_000_000, 1_000_000)
    assert store.logs.read(make_key("Build"), offset) == (2 * (line + "\n").encode(), 1_200_000)


def test_a_line_longer_than_a_part_is_read_through(store: Store) -> None:
    store.logs.append(make_key("Build"), "x" * 1_500_000)
    first, offset = store.logs.read(make_key("Build"), 0)
    remaining_text, end = store.logs.read(make_key("Build"), offset)
    assert (len(first), first + remaining_text, end) == (1 << 20, b"x" * 1_500_000 + b"\n", 1_500_001)


def test_log_files_of_different_actions_never_collide_or_leave_the_folder(store: Store, tmp_path: Path) -> None:
    names = ["..", ".", "a+b", "a", "b", "A/../..", "%2E"]
    keys = [ActionKey(ExecutionId(stage), action, name, 1) for stage in names for action in names for name in names]
    for number, action_key in enumerate(keys):
        store.logs.append(action_key, str(number))
    assert [store.logs.read(action_key, 0)[0] for action_key in keys] == [
        f"{number}\n".encode() for number in range(len(keys))
    ]
    folder = tmp_path / "data" / "logs"
    assert {path for path in tmp_path.rglob("*.log") if folder not in path.parents} == set()


def test_a_log_beyond_its_limit_is_cut_off_and_says_so_once(tmp_path: Path) -> None:
    logs = Logs(tmp_path, DiskLimits(log=100))
    for _ in range(5):
        logs.append(make_key("Build"), "x" * 70)
    text, end = logs.read(make_key("Build"), 0)
    assert text == b"x" * 70 + b"\n" + b"x" * 29 + f"\n{CUT_OFF}\n".encode()
    assert logs.read(make_key("Build"), end) == (b"", end)
    logs.append(make_key("Build", 2), "another")
    assert logs.read(make_key("Build", 2), 0)[0] == b"another\n"


def test_beyond_the_limit_of_all_logs_the_oldest_are_deleted_but_none_of_the_last_day(tmp_path: Path) -> None:
    logs = Logs(tmp_path, DiskLimits(logs=1000))
    keys = [ActionKey(ExecutionId(f"web-{number}"), "Build", "Build", 1) for number in range(4)]
    for action_key in keys:
        logs.append(action_key, "x" * 399)
    assert all(logs.read(action_key, 0)[0] for action_key in keys)
    for age, action_key in enumerate(reversed(keys[:3]), 2):
        folder = tmp_path / "executions" / action_key.execution
        os.utime(folder, (time.time() - age * 86_400,) * 2)
    logs.append(keys[3], "x" * 99)
    assert [bool(logs.read(action_key, 0)[0]) for action_key in keys] == [False, False, True, True]


def test_logs_of_executions_are_listed_by_age_and_deleted(store: Store) -> None:
    for execution in ("web-1", "web/../2"):
        store.logs.append(ActionKey(ExecutionId(execution), "Build", "Build", 1), "first")
    assert store.logs.list_executions(time.time() - 60) == {}
    assert store.logs.list_executions(time.time() + 60) == {"web-1": 6, "web/../2": 6}
    for _ in range(2):
        store.logs.delete("web/../2")
    assert store.logs.list_executions(time.time() + 60) == {"web-1": 6}
    assert store.logs.read(ActionKey(ExecutionId("web-1"), "Build", "Build", 1), 0)[0] == b"first\n"
