"""Reading an image: Dockgate's whole scan, findings included, beside Trivy's and Syft's SBOM alone, in the same run.

    python bench/scan.py [RUNS]

On the three images of `_images.py`, whole processes, the programs in turn, nothing cached and then again; medians, and
the most memory that any run took. Trivy looks jars up in an empty Java database, which takes it less time than the full
one (see `_peers.java_database`). Advisories come from the folder DOCKGATE_FEEDS (the layout of `dockgate db build`).
"""

import compileall
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import _images
import _peers

FEEDS = Path(os.environ.get("DOCKGATE_FEEDS", _images.HERE.parent.parent / "shared" / "data"))
DOCKGATE = Path(sys.executable).parent / "dockgate"


@dataclass
class Figures:
    """Seconds of each run, and the most memory of all, in MB."""

    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    failed: str = ""

    def __str__(self) -> str:
        if self.failed or not self.seconds:
            return f"fails ({self.failed})"
        low, high = min(self.seconds), max(self.seconds)
        return f"{statistics.median(self.seconds):.2f} s ({low:.2f}–{high:.2f}), {self.memory:.0f} MB"


def measure(command: list[str], environment: dict[str, str], figures: Figures) -> None:
    begin = time.perf_counter()
    null = subprocess.DEVNULL
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=null, stderr=subprocess.PIPE) as process:
        assert process.stderr
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        lines = said.decode(errors="replace").strip().splitlines() or ["no word"]
        figures.failed = f"exit {process.returncode}: {lines[-1][:120]}"
        return
    figures.seconds.append(time.perf_counter() - begin)
    figures.memory = max(figures.memory, usage.ru_maxrss / 1024)


def main(runs: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {runs} runs")
    images, work = _images.layouts(), _images.BUILD / "work"
    database = _images.BUILD / "data"
    # As pip leaves an installed package; an editable checkout may have no bytecode.
    compileall.compile_dir(_images.HERE.parent / "src", quiet=1)
    ours = {"DOCKGATE_DATA": str(database), "DOCKGATE_CACHE": str(work / "dockgate")}
    if not (database / "advisories.db").exists():
        subprocess.run([str(DOCKGATE), "db", "build", "--from", str(FEEDS)], env={**os.environ, **ours}, check=True)
    commands: dict[str, tuple[Callable[[Path], list[str]], dict[str, str]]] = {
        "Dockgate": (lambda image: [str(DOCKGATE), "scan", f"oci:{image}", "-o", "json=/dev/null"], ours),
        "Trivy": (lambda image: _peers.trivy(image, "cyclonedx", work / "trivy"), {}),
        "Syft": (lambda image: _peers.syft(image, "cyclonedx-json"), _peers.SYFT_ENVIRONMENT),
    }
    for name, image in images.items():
        cold = {program: Figures() for program in commands}
        again = {program: Figures() for program in commands if program != "Syft"}
        for _ in range(runs):
            for program, (command, environment) in commands.items():
                shutil.rmtree(work, ignore_errors=True)
                _peers.java_database(work / "trivy")
                if not cold[program].failed:
                    measure(command(image), environment, cold[program])
                if program in again and not cold[program].failed:
                    measure(command(image), environment, again[program])
        for program in commands:
            cached = f"; again {again[program]}" if program in again and not cold[program].failed else ""
            print(f"{name:7} {program:9} {cold[program]}{cached}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
