"""The interface by which the commands of builds run, what it gets and what it returns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from dockgate.delivery.builders.failure_reason import find_last_line
from dockgate.delivery.ports import BuildRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one build: seconds, processes, and bytes of memory, disk and log.

    Disk includes the repository's cache.
    """

    seconds: float = 3600
    memory: int = 4 * 2**30
    processes: int = 4096
    disk: int = 20 * 2**30
    log: int = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths that the commands of a build use.

    `podman` begins podman's command lines, `scratch` is the folder of the Dockerfile and of the base images, `layout`
    the folder to save the image in, `archive` a tar file of it. `tag` names the layers of the repository's last build,
    which the next build may reuse.
    """

    podman: Sequence[str]
    context: str
    scratch: str
    layout: str
    archive: str
    ca_bundle: str
    tag: str = "localhost/dockgate-build:latest"


@dataclass(frozen=True, slots=True)
class Job:
    """Commands to run one after another until one fails.

    `commands` whose index is in `silent` have no output in the log. `read_only` are files and folders of the host with
    their paths in the box.
    """

    commands: Sequence[Sequence[str]]
    read_only: Sequence[tuple[Path, str]]
    silent: frozenset[int] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job.

    `failed_command` is the index of the command that failed, None if all succeeded; then `result` is the requested
    file, if it is a file. `last_lines` has the last lines of output. `is_full`: the disk was full.
    """

    failed_command: int | None
    last_lines: str
    result: IO[bytes] | None = None
    is_full: bool = False

    @property
    def last_line(self) -> str:
        """The last line of output, shortened."""
        return find_last_line(self.last_lines) or "no output"


class Runner(Protocol):
    """A runner of builds' commands: in a box (`sandbox.Sandbox`), or on the host (`unboxed.Host`).

    `folder` is the repository's, which no build can read or write.
    """

    limits: Limits
    is_sandboxed: bool

    def has_disk(self, folder: Path) -> bool:
        """Return whether the disk of earlier builds of the repository can be used."""
        ...

    def make_disk(self, folder: Path) -> None:
        """Replace the disk by an empty one."""
        ...

    def make_paths(self, request: BuildRequest, scratch: Path, ca_bundle: Path | None) -> Paths:
        """Return the paths that the commands of a build use."""
        ...

    def run(self, job: Job, folder: Path, log: Callable[[Sequence[str]], None]) -> Outcome:
        """Run the commands.

        Raises BuildError for a passed limit, UnavailableError if this host cannot run them.
        """
        ...
