"""Reading an image: Dockgate's whole scan, findings included, beside Trivy's and Syft's SBOM alone, in the same run.

    python bench/scan.py [RUNS [COLD]]

On the three images of `_images.py`, whole processes, the programs in turn, nothing cached and then again; medians, and
the most memory in a run of its own, children included. With COLD only so many of the runs begin with nothing cached.
Trivy looks jars up in an empty Java database, which takes it less time than the full one (see `_peers.java_database`).
Advisories come from the folder DOCKGATE_FEEDS (the layout of `dockgate db build`).
"""

import compileall
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import _advisories
import _images
import _measure
import _peers


@dataclass
class Figures:
    """Seconds of each run, and the most memory, in MB."""

    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    failed: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def run(self, command: list[str], environment: dict[str, str]) -> None:
        if self.failed:
            return
        try:
            self.seconds.append(_measure.measure_seconds(command, environment))
        except _measure.FailedError as error:
            self.failed = str(error)

    def count(self, command: list[str], environment: dict[str, str]) -> None:
        if not self.failed:
            self.memory = _measure.measure_memory(command, environment)

    def __str__(self) -> str:
        if self.failed or not self.seconds:
            return f"fails ({self.failed})"
        return f"{self.median:.2f} s ({min(self.seconds):.2f}–{max(self.seconds):.2f}), {self.memory:.0f} MB"


def empty(work: Path, program: str) -> None:
    """Nothing of the program's cached."""
    shutil.rmtree(work / program.lower(), ignore_errors=True)
    _peers.write_java_database(work / "trivy")


def list_ratios(name: str, cold: dict[str, Figures], warm: dict[str, Figures]) -> Iterator[str]:
    """Each beside its bar (docs/explanation/performance.md)."""
    dockgate_figures, peer, part = cold["Dockgate"], *(("Syft", 0.1) if name == "large" else ("Trivy", 0.5))
    if not cold[peer].failed:
        yield f"of {peer}'s time: {dockgate_figures.median / cold[peer].median:.2f} (bar {part})"
    if not warm["Trivy"].failed:
        yield f"again: Trivy's time and {warm['Dockgate'].median - warm['Trivy'].median:+.2f} s (bar +0.05 s)"
    yield f"memory: {dockgate_figures.memory:.0f} MB (bar {300 if name == 'large' else 150} MB)"


def main(runs: int, colds: int) -> None:
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {runs} runs, {colds} with nothing cached")
    images, work = _images.make_layouts(), _images.BUILD / "work"
    # As pip leaves an installed package; an editable checkout may have no bytecode.
    compileall.compile_dir(_images.HERE.parent / "src", quiet=1)
    dockgate_environment = {
        "DOCKGATE_DATA": str(_advisories.get_data_folder()),
        "DOCKGATE_CACHE": str(work / "dockgate"),
    }
    commands: dict[str, tuple[Callable[[Path], list[str]], dict[str, str]]] = {
        "Dockgate": (
            lambda image: [str(_advisories.DOCKGATE), "scan", f"oci:{image}", "-o", "json=/dev/null"],
            dockgate_environment,
        ),
        "Trivy": (lambda image: _peers.make_trivy_command(image, "cyclonedx", work / "trivy"), {}),
        "Syft": (lambda image: _peers.make_syft_command(image, "cyclonedx-json"), _peers.SYFT_ENVIRONMENT),
    }
    for name, image in images.items():
        cold = {program: Figures() for program in commands}
        warm_figures = {program: Figures() for program in commands if program != "Syft"}
        for at in range(runs):
            for program, (command, environment) in commands.items():
                if at < colds:
                    empty(work, program)
                    cold[program].run(command(image), environment)
                if program in warm_figures:
                    warm_figures[program].run(command(image), environment)
        for program, (command, environment) in commands.items():
            empty(work, program)
            cold[program].count(command(image), environment)
            if program in warm_figures:
                warm_figures[program].count(command(image), environment)
            warm_text = f"; again {warm_figures[program]}" if program in warm_figures else ""
            print(f"{name:7} {program:9} {cold[program]}{warm_text}")
        print(f"{name:7} {'; '.join(list_ratios(name, cold, warm_figures))}", flush=True)


if __name__ == "__main__":
    counts = [int(argument) for argument in sys.argv[1:]] or [5]
    main(counts[0], counts[-1])
