"""Hosts for commands of the documentation: namespaces with names, and shells that keep their variables."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.scenarios.nodes import Network, run


@dataclass
class Host:
    """A host with its own network, name and /etc/hosts. Its shell has `environment` and what it exported before."""

    name: str
    folder: Path
    space: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    holder: "subprocess.Popen[bytes] | None" = None

    def enter(self, hosts: Path) -> None:
        """Make its namespaces. A process holds them until `end`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        script = f"hostname {self.name} && mount --bind {hosts} /etc/hosts && exec sleep infinity"
        net = ["nsenter", f"--net=/run/netns/{self.space}"] if self.space else []
        command = ["unshare", "--uts", "--mount", "--propagation=private", "sh", "-c", script]
        self.holder = subprocess.Popen([*net, *command], start_new_session=True)
        while Path(f"/proc/{self.holder.pid}/comm").read_text() != "sleep\n":
            assert self.holder.poll() is None, f"{self.name} has no namespaces"
            time.sleep(0.01)

    def make_command(self, script: str) -> Sequence[str]:
        """The command that runs a script of bash here, with the variables that earlier scripts exported."""
        assert self.holder is not None
        state = self.folder / "exported"
        state.touch()
        complete = f"set -euo pipefail\n. {state}\ncd {self.folder}\n{script}\nexport -p > {state}\n"
        return ["nsenter", f"--target={self.holder.pid}", "--net", "--uts", "--mount", "bash", "-c", complete]

    def list_variables(self) -> Mapping[str, str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKGATE_", "PG"))}
        return {**keep, "HOME": str(self.folder), **self.environment}

    def run(self, script: str, text: str = "", seconds: float = 120, code: int = 0) -> str:
        """Run a script with `text` as its input. Returns its output, that to standard error included."""
        result = subprocess.run(
            self.make_command(script),
            input=text,
            env=self.list_variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
            start_new_session=True,  # no terminal to ask for a password at
        )
        assert result.returncode == code, f"on {self.name}: {script}\n{result.stdout}"
        return result.stdout

    def start(self, script: str) -> "subprocess.Popen[str]":
        """Start a script that goes on."""
        with (self.folder / "started.log").open("a") as log:
            return subprocess.Popen(
                self.make_command(script),
                env=self.list_variables(),
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def end(self) -> None:
        """End everything that runs here."""
        if self.space is not None:
            for pid in run("ip", "netns", "pids", self.space).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        if self.holder is not None:
            self.holder.kill()
            self.holder.wait()


def read_address(network: Network, space: str) -> str:
    """The address of a namespace on the network's bridge."""
    text = run("ip", "-n", space, "-brief", "-4", "address", "show", "eth0")
    return text.split()[2].partition("/")[0]
