"""How long the scan path takes to import: a process that imports it, beside one that imports nothing, in turn.

python bench/import_time.py [RUNS]
"""

import compileall
import os
import platform
import statistics
import sys

import _images
import _measure

NOTHING = "pass"
SCAN = """
import dockgate.cli.main
dockgate.cli.main.reduce_garbage_collection()  # as the command does first of all
import dockgate.cli.scan, dockgate.services.images.image_inventory, dockgate.scanner.cache.parallel
from dockgate.scanner import ecosystems
ecosystems.load()
"""


def main(runs: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {runs} runs")
    # As pip leaves an installed package; an editable checkout may have no bytecode.
    compileall.compile_dir(_images.HERE.parent / "src", quiet=1)
    took: dict[str, list[float]] = {NOTHING: [], SCAN: []}
    for _ in range(runs):
        for program, times in took.items():
            times.append(_measure.measure_seconds([sys.executable, "-c", program], {}))
    print(f"nothing {_format_figures(took[NOTHING])}, the scan path {_format_figures(took[SCAN])}")
    print(f"import {statistics.median(took[SCAN]) - statistics.median(took[NOTHING]):.3f} s (bar 0.080 s)")


def _format_figures(times: list[float]) -> str:
    return f"{statistics.median(times):.3f} s ({min(times):.3f}–{max(times):.3f})"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 21)
