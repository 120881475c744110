"""A builder for tests: it pushes digests, not images."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dockgate.delivery.ports import BaseImage, BuildRequest, BuildResult, Registry
from dockgate.shared.digest import compute_digest, from_hex
from dockgate.shared.errors import BuildError, DockgateError

# (repository, tag, digest).
Push = Callable[[str, str, str], None]


class MemoryBuilder:
    """An image's digest is that of its context's files, so that the same source gives the same image.

    `digests` gives another one, and `failures` an error, by key or by repository; both may be changed at any time.
    `push` stores what was built where `registry` finds it. `fault` is called with "before build", "before push" and
    "after push", and may raise. `bases` are what every Dockerfile starts from.
    """

    def __init__(
        self,
        registry: Registry,
        push: Push,
        digests: Mapping[str, str] | None = None,
        failures: Mapping[str, DockgateError] | None = None,
        fault: Callable[[str], None] = lambda moment: None,
        bases: tuple[BaseImage, ...] = (),
    ) -> None:
        self._registry = registry
        self._push = push
        self.fault = fault
        self.digests = dict(digests or {})
        self.failures = dict(failures or {})
        self.bases = bases
        self._results: dict[str, BuildResult] = {}
        # The key of every build that was begun; one that had been pushed already is not built again.
        self.builds: list[str] = []

    def build(self, request: BuildRequest, log: Callable[[Sequence[str]], None]) -> BuildResult:
        pushed_digest = self._registry.resolve(request.repository, request.key)
        earlier_result = self._results.get(request.key)
        if earlier_result is not None and earlier_result.digest == pushed_digest:
            return earlier_result
        self.fault("before build")
        self.builds.append(request.key)
        log([f"building {request.repository}:{request.key}"])
        dockerfile = request.context / request.dockerfile
        if not dockerfile.is_file():
            raise BuildError(f"there is no {request.dockerfile} in the source", "Commit one.")
        for name in (request.key, request.repository):
            if name in self.failures:
                raise self.failures[name]
        digest = self.digests.get(request.key) or self.digests.get(request.repository) or _digest(request.context)
        result = BuildResult(digest, compute_digest(dockerfile.read_bytes()), self.bases, is_sandboxed=True)
        self._results[request.key] = result
        self.fault("before push")
        self._push(request.repository, request.key, digest)
        self.fault("after push")
        return result


def _digest(context: Path) -> str:
    content = hashlib.sha256()
    for file in sorted(path for path in context.rglob("*") if path.is_file()):
        content.update(f"{file.relative_to(context)}\0{file.stat().st_size}\0".encode())
        content.update(file.read_bytes())
    return from_hex(content.hexdigest())
