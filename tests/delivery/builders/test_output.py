"""The output of a build's process: all of it, in order and bounded, however slow the log is."""

import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from dockgate.delivery.builders.sandbox.output import BuildLog, watch
from dockgate.shared.errors import BuildError

MIB = 2**20


def run(program: str, log: Callable[["subprocess.Popen[bytes]", Sequence[str]], None], limit: int = 16 * MIB) -> str:
    """Run a Python program whose lines `log` takes, with its process. Returns the last lines."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    build_log = BuildLog(lambda lines: log(process, lines), limit)
    watch(process, build_log, 60, process.kill)
    return build_log.last_lines


def test_a_process_ends_before_a_slow_log_has_its_lines_and_none_is_lost() -> None:
    lines: list[str] = []

    def log(process: "subprocess.Popen[bytes]", new_lines: Sequence[str]) -> None:
        process.wait(30)  # a process that waits for the log would never end
        lines.extend(new_lines)

    run("for number in range(200_000): print('line', number)\nprint('FATAL the reason', end='')", log)
    assert lines == [*(f"line {number}" for number in range(200_000)), "FATAL the reason"]


@pytest.mark.parametrize("text", ["y" * 63 + "\\n", "\\n", "y"])
def test_endless_output_ends_the_process_at_the_limit(text: str) -> None:
    lines: list[str] = []
    with pytest.raises(BuildError, match=f"more than {MIB} bytes of log"):
        run(f"while True: print('{text}' * 1000, end='')", lambda process, new_lines: lines.extend(new_lines), MIB)
    assert sum(max(len(line) + 1, 64) for line in lines) <= MIB
    assert "".join(lines).strip("y") == ""
    assert lines


def test_long_lines_are_split_and_carriage_returns_end_no_line() -> None:
    lines: list[str] = []
    last_lines = run(
        r"print('x' * 40_000 + '\n1 %\r2 %\r\n\n\xe4')", lambda process, new_lines: lines.extend(new_lines)
    )
    assert [len(line) for line in lines[:-3]] == [16384, 16384, 40_000 - 2 * 16384]
    assert lines[-3:] == ["1 %\r2 %", "", "ä"]
    assert last_lines == "\n".join(lines)
