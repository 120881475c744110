"""What a server uses while nothing happens, with more and more running services and approved images.

    python bench/idle.py [--database postgres] [--services 1,50,200] [--seconds 20]

Each service was deployed by a pipeline of its own, so its image is running and followed. Registry, builder and target
are memory adapters; the reconciler pauses as in production. The processor time is that of the server's process alone,
as a share of one core, over so many seconds.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests drive the same server
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.bootstrap.dependencies import PAUSE_SECONDS


def main(database: str, sizes: list[int], seconds: float) -> None:
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, on {database}")
    with (
        tempfile.TemporaryDirectory(prefix="dockgate-bench-") as folder,
        ServerSystem(Path(folder), database=database, sweep_seconds=PAUSE_SECONDS) as system,
    ):
        deployed_count = 0
        for size in sorted(sizes):
            while deployed_count < size:
                system.deploy_image(system.plan_image(f"service{deployed_count}", PlannedFindings()))
                deployed_count += 1
            time.sleep(PAUSE_SECONDS * 5)  # what the last deploys have changed is judged
            before = time.process_time()
            time.sleep(seconds)
            share = (time.process_time() - before) / seconds
            print(f"idle with {size} services: {share * 100:.1f} % of a core", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--services", default="1,50,200")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    main(options.database, [int(size) for size in options.services.split(",")], options.seconds)
