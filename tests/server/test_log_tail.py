"""The end of a log holds what this start printed, and nothing of earlier ones."""

from pathlib import Path

from dockgate.server.log_tail import read_last_lines, read_size


def test_only_what_came_since_the_start_is_returned(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert (read_size(log), read_last_lines(log, 5, 0)) == (0, [])
    log.write_text("error: address already in use\n")
    start = read_size(log)
    assert read_last_lines(log, 5, start) == []
    with log.open("a") as file:
        file.write("one\ntwo\nthree\n")
    assert read_last_lines(log, 2, start) == ["two", "three"]


def test_a_replaced_log_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("new\n")
    assert read_last_lines(log, 5, 1000) == ["new"]


def test_a_long_log_is_read_at_its_end_only(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"x" * 1_000_000 + b"\nlast\n")
    first, last = read_last_lines(log, 5, 0)
    assert (len(first) < 70_000, last) == (True, "last")
