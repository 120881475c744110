"""Dockerfiles built by the podman CLI, and pushed to our registry."""

import fcntl
import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dockgate.core import canonical
from dockgate.core.adapters import BuildRequest, BuildResult, Registry
from dockgate.core.errors import BuildError, UnavailableError

_LAST_WORDS = 12
"""lines of output in an error"""
_DOCKERFILE_LIMIT = 2**20
"""bytes, of a Dockerfile or of the ignore file beside it"""
_LONGEST_LINE = 16 * 1024
"""characters; a longer line of output is handed on in pieces"""

_CA_ARGUMENTS = ("PIP_CERT", "SSL_CERT_FILE")


class PodmanBuilder:
    """`command` is the beginning of podman's command line, best one that ends with the server: nobody would take up
    what it builds. `environment` is its whole environment. `folder` is for files that builders share, in all processes
    that work on the same storage.

    With `ca_bundle` (PEM) a Dockerfile that declares `ARG PIP_CERT` or `ARG SSL_CERT_FILE` gets the path `ca_mount`,
    where its RUN instructions find that bundle; nothing of it stays in the image but, where `ca_mount` is no place
    that podman clears itself, an empty file. A build may take `timeout` seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        registry: Registry,
        folder: Path,
        ca_bundle: Path | None = None,
        ca_mount: str = "/run/.containerenv",
        timeout: float = 3600,
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._registry = registry
        self._lock = folder / "builds.lock"
        self._ca_bundle = ca_bundle
        self._ca_mount = ca_mount
        self._timeout = timeout
        self._scratch = folder / "scratch"
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    def build(self, request: BuildRequest, log: Callable[[str], None]) -> BuildResult:
        name = f"{request.repository}:{request.key}"
        dockerfile = _inside(request.context, request.dockerfile)
        content = canonical.digest(_content(dockerfile, request.dockerfile))
        pushed = self._registry.resolve(request.repository, request.key)
        if pushed is not None:
            log(f"{name} is in the registry already: {pushed}")
            return BuildResult(pushed, content)
        with self._lock.open("a") as lock, tempfile.TemporaryDirectory(dir=self._scratch) as scratch:
            fcntl.flock(lock, fcntl.LOCK_SH)
            image, digest = Path(scratch, "image"), Path(scratch, "digest")
            plain = _copied(request, dockerfile, Path(scratch))
            code, last = self._run(self._build_arguments(request, plain, image), log)
            if code:
                # A registry that went away in the meantime is not the Dockerfile's fault.
                self._registry.resolve(request.repository, request.key)
                raise BuildError(
                    f"{request.dockerfile} of {name} does not build:\n{last}",
                    "Mend what the last lines say, commit and push again.",
                )
            # A build under a name would tell of whatever another build has put under it meanwhile. The name keeps the
            # layers of the repository's last build.
            keep = ["tag", image.read_text().strip(), f"localhost/dockgate-build/{request.repository}:latest"]
            self._run(keep, log)
            destination = f"docker://{self._registry.address}/{name}"
            push = ["push", f"--digestfile={digest}", image.read_text().strip(), destination]
            code, last = self._run(push, log)
            if code:
                raise UnavailableError(
                    f"{name} could not be pushed to {self._registry.address}:\n{last}",
                    "See logs/registry.log in the data folder.",
                )
            self._prune(lock.fileno())
            return BuildResult(digest.read_text().strip(), content)

    def _build_arguments(self, request: BuildRequest, dockerfile: Path, image: Path) -> list[str]:
        arguments = dict(request.args)
        options = [
            "build",
            "--isolation=chroot",
            "--http-proxy=true",  # RUN instructions reach out the way the host does
            "--pull=newer",
            f"--file={dockerfile}",
            f"--iidfile={image}",
        ]
        if self._ca_bundle is not None:
            options.append(f"--volume={self._ca_bundle}:{self._ca_mount}:ro")
            text = dockerfile.read_text(encoding="utf-8", errors="replace")
            # podman warns of an argument that nobody declares.
            arguments = {name: self._ca_mount for name in _CA_ARGUMENTS if name in text} | arguments
        return [
            *options,
            *(f"--build-arg={name}={value}" for name, value in sorted(arguments.items())),
            str(request.context),
        ]

    def _run(self, arguments: Sequence[str], log: Callable[[str], None]) -> tuple[int, str]:
        """Exit code and last words."""
        last: deque[str] = deque(maxlen=_LAST_WORDS)
        with self._process(arguments) as process:
            output = process.stdout
            assert output is not None  # noqa: S101 - it is a pipe
            for line in iter(lambda: output.readline(_LONGEST_LINE), ""):
                last.append(line.rstrip("\n"))
                log(last[-1])
            code = process.wait()
        return code, "\n".join(last)

    @contextmanager
    def _process(self, arguments: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
        """A running podman, that is killed with all it has started when the block fails or takes too long."""
        try:
            process = subprocess.Popen(
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=self._environment,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise UnavailableError(
                f"the program {error.filename} is not installed", "Install it: apt-get install podman util-linux"
            ) from error
        late = threading.Timer(self._timeout, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        try:
            with process:
                try:
                    yield process
                except BaseException:
                    os.killpg(process.pid, signal.SIGKILL)
                    raise
        finally:
            late.cancel()
        if process.returncode == -signal.SIGKILL:
            raise BuildError(
                f"podman {arguments[0]} was killed: it took longer than {self._timeout:g} s, or too much memory",
                f"By hand: {shlex.join([*self._command, *arguments])}",
            )

    def _prune(self, lock: int) -> None:
        """Removes layers that no repository's last build is made of, and what killed builds left; unless another build
        is under way, whose newest layers nobody names yet."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        self._run(["image", "prune", "--force", "--external"], lambda line: None)


def _copied(request: BuildRequest, dockerfile: Path, scratch: Path) -> Path:
    """A copy of the Dockerfile under a name of ours: podman runs one called *.in through the C preprocessor, whose
    #include reads this machine's files. An ignore file beside it (containerignore(5)) goes with it."""
    plain = scratch / "Dockerfile"
    plain.write_bytes(_content(dockerfile, request.dockerfile))
    for suffix in (".containerignore", ".dockerignore"):
        beside = dockerfile.with_name(dockerfile.name + suffix)
        if beside.exists():
            name = str(beside.relative_to(request.context.resolve()))
            plain.with_name(plain.name + suffix).write_bytes(_content(_inside(request.context, name), name))
    return plain


def _content(path: Path, name: str) -> bytes:
    with path.open("rb") as file:
        content = file.read(_DOCKERFILE_LIMIT + 1)
    if len(content) > _DOCKERFILE_LIMIT:
        raise BuildError(f"{name} is larger than {_DOCKERFILE_LIMIT} bytes", "Put what it holds into files of its own.")
    return content


def _inside(context: Path, dockerfile: str) -> Path:
    """The Dockerfile's real path. Raises BuildError when there is none within the context."""
    path = (context / dockerfile).resolve()
    if not path.is_relative_to(context.resolve()):
        raise BuildError(f"the Dockerfile {dockerfile} is outside the source", "Name one inside the repository.")
    if not path.is_file():
        raise BuildError(
            f"there is no {dockerfile} in the source", "Commit one, or name it in the build action's `dockerfile`."
        )
    return path
