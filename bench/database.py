"""The advisory database of all feeds in a folder: how long it takes to build, how much memory, how much room.

    python bench/database.py [RUNS]

The folder is DOCKGATE_FEEDS (the layout of `dockgate db build`). A run more counts the memory.
"""

import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

import _images
import _measure

FEEDS = Path(os.environ.get("DOCKGATE_FEEDS", _images.HERE.parent.parent / "shared" / "data"))


def main(runs: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {runs} runs")
    size = sum(path.stat().st_size for path in FEEDS.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as folder:
        database = Path(folder) / "advisories.db"
        dockgate = str(Path(sys.executable).parent / "dockgate")
        command = [dockgate, "db", "build", "--from", str(FEEDS), "--database", str(database)]
        times = [_measure.measure_seconds(command, {}) for _ in range(runs)]
        memory = _measure.measure_memory(command, {})
        built_size = database.stat().st_size
    spread = f"{min(times):.1f}–{max(times):.1f}"
    print(f"feeds {size / 1e6:.0f} MB, built in {statistics.median(times):.1f} s ({spread}; bar 60)")
    print(f"memory {memory:.0f} MB (bar 400), on disk {built_size / 1e6:.0f} MB (bar 150)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
