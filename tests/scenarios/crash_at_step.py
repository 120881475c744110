"""A server that is killed at a chosen moment: before or after the first time that it does a step.

Run as `python -m tests.scenarios.crash_at_step`. DOCKGATE_CRASH_AT names the moment ("before build"), as the effects'
observer is notified of it; DOCKGATE_STEPS is a file for the moments that the server survived. Reading an image of the
repository `slow` takes long, so that an approval can wait out its time.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from dockgate.bootstrap import serve
from dockgate.bootstrap.dependencies import Adapters
from dockgate.config import from_environment
from dockgate.scanner.model import ScannedPlatform

SLOW_SECONDS = 6


def crash_at(moment: str) -> None:
    if moment == os.environ.get("DOCKGATE_CRASH_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    with open(os.environ["DOCKGATE_STEPS"], "a") as steps:
        steps.write(f"{moment}\n")


def with_slow_scans(adapters: Adapters) -> Adapters:
    def read(repository: str, digest: str) -> Sequence[ScannedPlatform]:
        if repository.startswith("slow/"):
            time.sleep(SLOW_SECONDS)
        return adapters.read_image(repository, digest)

    return replace(adapters, read_image=read)


if __name__ == "__main__":
    serve.run(from_environment(), serve.ProcessHooks(observe=crash_at, replace_adapters=with_slow_scans))
