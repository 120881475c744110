"""Programs of Python in processes that are forked from one that has imported the server.

A new interpreter spends most of its start with imports: forked, a server answers in a tenth of the processor's time.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.namespaces import enter_network, take_host_name

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded", "tests.hostile.watching", "tests.workflows.engine_process"])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process is started in.

    Its output is appended to `log`, its errors to `errors` or to `log`, too. `network` is a namespace of `ip netns`.
    """

    environment: Mapping[str, str]
    log: Path
    network: str | None = None
    host_name: str | None = None
    errors: Path | None = None


class ForkedProcess:
    """A module that runs as `python -m MODULE ARGUMENTS` would, with the methods of `subprocess.Popen`."""

    def __init__(self, module: str, arguments: Sequence[str], surroundings: Surroundings) -> None:
        self._module = module
        self._process = FORKS.Process(target=_run, args=(module, tuple(arguments), surroundings, Path.cwd()))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; subprocess.TimeoutExpired when it goes on for longer than `timeout` seconds."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired(self._module, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(
    module: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a module to its end, as `subprocess.run` would run `python -m MODULE ARGUMENTS`."""
    with NamedTemporaryFile() as output, NamedTemporaryFile() as errors:
        surroundings = Surroundings(environment, Path(output.name), errors=Path(errors.name))
        code = ForkedProcess(module, arguments, surroundings).wait()
        return subprocess.CompletedProcess(module, code, output.read().decode(), errors.read().decode())


def _run(module: str, arguments: Sequence[str], surroundings: Surroundings, folder: Path) -> None:
    gc.freeze()  # what was imported is no garbage
    os.setsid()
    with surroundings.log.open("ab") as log, (surroundings.errors or surroundings.log).open("ab") as errors:
        os.dup2(log.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    if surroundings.network is not None:
        enter_network(surroundings.network)
    if surroundings.host_name is not None:
        take_host_name(surroundings.host_name)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(surroundings.environment)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
