"""A server that is killed in the middle of two executions: `python -m tests.scenarios.server_until_killed FOLDER`.

It has deployed `done`, scans `waits` for an approval, and builds `builds` when it prints "ready".
"""

import sys
import threading
from pathlib import Path

from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

NAMES = ("done", "waits", "builds")


def main(folder: Path) -> None:
    with ServerSystem(folder) as server:
        images = {name: server.plan_image(name, PlannedFindings()) for name in NAMES}
        server.deploy_image(images["done"])
        server.request_approval(images["waits"])
        is_building = threading.Event()

        def hang_forever(_moment: str) -> None:
            is_building.set()
            threading.Event().wait()

        server.builder.fault = hang_forever
        server.post("/pipelines/builds/executions")
        is_building.wait()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
