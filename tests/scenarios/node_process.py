"""A server or worker of several nodes, for tests: builds and deploys are stand-ins that all nodes see.

Run as `python -m tests.scenarios.node_process up` or `... worker QUEUES [LABELS]`. Beside the settings it reads
DOCKGATE_TEST_LEASE, the seconds of a lease, and DOCKGATE_TEST_DEPLOY, half of those of a deploy. Images of the
repository "slow" take SLOW_SECONDS to read. In the shared folder it keeps a record of every effect, build and task:
`faults/effects`, lines of time, node, process and moment.
"""

import fcntl
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import httpx
from tests.docker_registry import Running
from tests.fakes.target import MemoryTarget
from tests.scanner.images.make import make_image
from tests.scenarios.live import OS_RELEASE

from dockgate.bootstrap import serve
from dockgate.bootstrap.dependencies import Adapters
from dockgate.config import Settings, from_environment
from dockgate.delivery.labels import parse_labels
from dockgate.delivery.ports import BuildRequest, BuildResult, Registry
from dockgate.delivery.registries.tokens import RegistryTokens
from dockgate.delivery.service_model import Service, Task, TaskDefinition, TaskState
from dockgate.scanner.model import ScannedPlatform
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UnavailableError
from dockgate.workflows.leases import LeaseTimes
from dockgate.workflows.queues import parse_queues

SLOW_SECONDS = 3
EFFECTS = "faults/effects"


class Record:
    """A file that all processes of all nodes append lines to."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a", buffering=1)

    def write(self, moment: str) -> None:
        self._file.write(
            f"{time.clock_gettime(time.CLOCK_BOOTTIME):.3f} {socket.gethostname()} {os.getpid()} {moment}\n"
        )

    def has(self, moment: str) -> bool:
        """Whether any process has written this moment."""
        return any(line.endswith(f" {moment}") for line in self._path.read_text().splitlines())


class SlowBuilder:
    """Builds an image of one package, whose version and seconds of building are in the file `plan` of the source.

    No two builds give the same digest, as with the times in real ones.
    """

    def __init__(self, registry: Registry, tokens: RegistryTokens, record: Record, results: Path) -> None:
        self._registry = registry
        self._tokens = tokens
        self._record = record
        self._results = results
        results.mkdir(parents=True, exist_ok=True)

    def build(self, request: BuildRequest, log: Callable[[str], None]) -> BuildResult:
        result_file = self._results / request.key
        pushed_digest = self._registry.resolve(request.repository, request.key)
        if pushed_digest is not None and result_file.exists() and result_file.read_text() == pushed_digest:
            end = f"end build {request.repository} {request.key} {pushed_digest}"
            if not self._record.has(end):  # the process was killed between its push and this line
                self._record.write(end)
            return self._make_result(request, pushed_digest)
        version, seconds = (request.context / "plan").read_text().split()
        self._record.write(f"begin build {request.repository} {request.key}")
        log(f"building {request.repository}")
        time.sleep(float(seconds))
        new_image = make_image(
            [
                {
                    "etc/os-release": OS_RELEASE.encode(),
                    "var/lib/dpkg/status": f"Package: demo\nStatus: install ok installed\nArchitecture: amd64\n"
                    f"Version: {version}\nDescription: a package\n".encode(),
                    "nonce": uuid.uuid4().bytes,
                }
            ]
        )
        request.fence()
        result_file.write_text(new_image.digest)
        token = self._tokens.issue_repository_token(request.repository, "pull,push")
        running = Running(
            self._registry.address, f"http://{self._registry.address}", {"Authorization": f"Bearer {token}"}
        )
        try:
            running.push(request.repository, request.key, new_image)
        except httpx.HTTPError as error:
            raise UnavailableError(f"the registry does not take the image: {error}") from error
        self._record.write(f"end build {request.repository} {request.key} {new_image.digest}")
        return self._make_result(request, new_image.digest)

    def _make_result(self, request: BuildRequest, digest: str) -> BuildResult:
        return BuildResult(digest, compute_digest((request.context / request.dockerfile).read_bytes()))


class SharedTarget:
    """Tasks in a file that all nodes see, as those of a cluster elsewhere."""

    def __init__(self, folder: Path, record: Record, seconds: float) -> None:
        self._folder = folder
        self._record = record
        self._seconds = seconds
        folder.mkdir(parents=True, exist_ok=True)

    def deploy(self, service: Service, definition: TaskDefinition, previous: TaskDefinition | None) -> Sequence[Task]:
        self._record.write(f"begin deploy {service.name} {definition.revision}")
        time.sleep(self._seconds)
        with self._open_target(service.name) as target:
            tasks = target.deploy(service, definition, previous)
            for task in target.started_tasks:
                self._record.write(f"start {task}")
        time.sleep(self._seconds)
        self._record.write(f"end deploy {service.name} {definition.revision}")
        return tasks

    def list_tasks(self, service: str) -> Sequence[Task]:
        with self._open_target(service) as target:
            return target.list_tasks(service)

    def restart(self, service: str, task: str) -> bool:
        with self._open_target(service) as target:
            return target.restart(service, task)

    def read_log(self, service: str, task: str, lines: int) -> str | None:
        with self._open_target(service) as target:
            return target.read_log(service, task, lines)

    @contextmanager
    def _open_target(self, service: str) -> Iterator[MemoryTarget]:
        target = MemoryTarget()
        with (self._folder / service).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            for row in json.loads(file.read() or "[]"):
                row.update(state=TaskState(row["state"]), ports=tuple(tuple(pair) for pair in row["ports"]))
                target._tasks[row["id"]] = Task(**row)
            before = dict(target._tasks)
            yield target
            if target._tasks != before:
                file.truncate(0)
                file.write(json.dumps([asdict(task) for task in target._tasks.values()]))


def make_hooks(settings: Settings) -> serve.ProcessHooks:
    record = Record(settings.shared_data / EFFECTS)

    def replace_adapters(adapters: Adapters) -> Adapters:
        tokens = RegistryTokens(settings.shared_data / "keys")
        builder = SlowBuilder(adapters.registry, tokens, record, settings.shared_data / "faults/builds")
        target = SharedTarget(
            settings.shared_data / "faults/tasks", record, float(os.environ.get("DOCKGATE_TEST_DEPLOY", "0"))
        )

        def read(repository: str, digest: str) -> Sequence[ScannedPlatform]:
            if repository.startswith("slow/"):
                time.sleep(SLOW_SECONDS)
            return adapters.read_image(repository, digest)

        return replace(adapters, read_image=read, builder=builder, targets={"podman": target})

    lease = float(os.environ.get("DOCKGATE_TEST_LEASE", "6"))
    return serve.ProcessHooks(record.write, replace_adapters, LeaseTimes(heartbeat=lease / 6, lease=lease))


def main(kind: str, queues: str = "", labels: str = "") -> None:
    settings = from_environment()
    if kind == "up":
        serve.run(settings, make_hooks(settings))
    else:
        serve.run_worker(settings, parse_queues(queues), parse_labels([labels]), make_hooks(settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
