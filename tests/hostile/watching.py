"""A command in a child process, whose use of time and memory is written down."""

import json
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def watch(arguments: Sequence[str], environment: Mapping[str, str], folder: str, patience: int) -> None:
    """Run `dockgate`, its output in FOLDER/out and FOLDER/err, and write FOLDER/usage.

    That holds its exit code, the processor's seconds and the peak of its memory in KB. It is killed after `patience`
    seconds.
    """
    child = os.fork()
    if child == 0:
        _run_command(arguments, environment, folder)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(patience)
    _, status, usage = os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    report = [os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss]
    Path(folder, "usage").write_text(json.dumps(report), "utf-8")


def _run_command(arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dockgate", *arguments]
    runpy.run_module("dockgate", run_name="__main__", alter_sys=True)
