"""From `git push` to the verdict, without the build: a real server, podman, registry, and a database of one feed.

    python bench/push_to_verdict.py [RUNS]

Each run pushes a new commit. Figures come from the server's own clock: from the push's event to the settled approval,
less the time that the build action took; and the push itself as git sees it.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests drive the same real server
from tests.scenarios import advisories
from tests.scenarios.live import Clone, Live, application


def compute_seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def main(runs: int) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="dockgate-bench-") as folder:
        live = Live(Path(folder))
        advisories.write(live.folder / "feed", advisories.DEMO)
        live.run_dockgate("db", "build", "--from", str(live.folder / "feed"))
        live.start()
        try:
            live.set_up(count=0)
            clone = Clone(live, "web", live.folder / "clone")
            clone.create_data()
            figures = [measure(live, clone, number) for number in range(1, runs + 1)]
        finally:
            live.purge()
    for name, values in zip(
        ("push", "event to verdict", "of it build", "without the build"), zip(*figures, strict=True), strict=True
    ):
        print(
            f"{name:18}  median {statistics.median(values):.2f} s  ({min(values):.2f} to {max(values):.2f}, n={runs})"
        )


def measure(live: Live, clone: Clone, number: int) -> tuple[float, float, float, float]:
    application(clone, "1.0", greeting=str(number))
    clone.commit(str(number))
    begin = time.monotonic()
    clone.push()
    push = time.monotonic() - begin
    execution = live.wait_for_execution(f"Web-{number}")
    build, approval = execution["stages"][1]["actions"][0], execution["stages"][2]["actions"][0]["approval"]
    total = compute_seconds(execution["execution"]["started_at"], approval["settled_at"])
    build_seconds = compute_seconds(build["started_at"], build["finished_at"])
    return push, total, build_seconds, total - build_seconds


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
