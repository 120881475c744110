"""The programs of a server in a process that can be killed as a server would be.

Run as `python -m tests.server.programs_process DATA PORT REGISTRY_PORT`. It prints "ready".
"""

import sys
import time
from pathlib import Path

from dockgate.config import Settings
from dockgate.server.local_programs import LocalPrograms


def main(data: Path, port: int, registry_port: int) -> None:
    settings = Settings(data, data / "cache", port=port, registry_port=registry_port)
    with LocalPrograms(settings, "secret", "http://127.0.0.1:9"):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
