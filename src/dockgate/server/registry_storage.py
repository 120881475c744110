"""The storage of the local registry, and the deletion of blobs that no manifest names.

The registry's own program deletes them.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dockgate.delivery.ports import RegistryStorage, UnreferencedBlob
from dockgate.server.supervisor import end_with_thread, find
from dockgate.shared.digest import PATTERN, get_hex
from dockgate.shared.errors import UnavailableError
from dockgate.shared.interfaces import override

# A collection that takes longer is ended. The next one goes on.
COLLECT_SECONDS = 1800.0
_ELIGIBLE = re.compile(rf"^blob eligible for deletion: ({PATTERN})$", re.MULTILINE)
# What the program prints for a storage in which nothing was ever pushed.
_EMPTY = re.compile(r"Path not found: /?docker/registry/v2/repositories")
_ROOT = Path("docker", "registry", "v2")


class DistributionStorage(RegistryStorage):
    """The storage of CNCF Distribution, by `docker-registry garbage-collect`.

    `configuration` is the file that the registry runs with. `folder` is where it stores blobs, None for S3. The program
    reads credentials of S3 from `environment`.
    """

    def __init__(
        self, configuration: Path, folder: Path | None, environment: Mapping[str, str], seconds: float = COLLECT_SECONDS
    ) -> None:
        self._configuration = configuration
        self._folder = folder
        self._environment = dict(environment)
        self._seconds = seconds

    @override
    def list_unreferenced_blobs(self) -> Sequence[UnreferencedBlob]:
        """Return the blobs that no manifest names. Sizes and times are not known in S3."""
        return [self._read_blob(digest) for digest in _ELIGIBLE.findall(self._run("--dry-run"))]

    @override
    def collect(self) -> None:
        """Delete the blobs that no manifest names, and links to them in the folder.

        The program leaves the links of layers and the folders of manifests behind, two inodes each.
        """
        self._run()
        if self._folder is not None:
            _prune(self._folder / _ROOT)

    def _read_blob(self, digest: str) -> UnreferencedBlob:
        if self._folder is not None:
            with suppress(OSError):
                status = _make_data_path(self._folder / _ROOT, get_hex(digest)).stat()
                return UnreferencedBlob(digest, status.st_size, status.st_mtime)
        return UnreferencedBlob(digest, None, None)

    def _run(self, *options: str) -> str:
        if self._folder is not None and not (self._folder / _ROOT / "repositories").is_dir():
            return ""
        program = find("docker-registry", "docker-registry")
        command = end_with_thread("KILL", [program, "garbage-collect", *options, str(self._configuration)])
        # Its REGISTRY_* variables would overrule the configuration.
        environment = {"PATH": os.environ.get("PATH", os.defpath), **self._environment}
        try:
            result = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(
                f"the registry's blobs were not collected within {self._seconds:.0f} s",
                "Run `dockgate gc --yes` again: it continues.",
            ) from None
        if result.returncode and not _EMPTY.search(result.stderr):
            lines = result.stderr.strip().splitlines()[-3:]
            raise UnavailableError(
                f"the registry's blobs cannot be collected: {' / '.join(lines) or f'code {result.returncode}'}",
                f"By hand, while nothing is pushed: docker-registry garbage-collect --dry-run {self._configuration}",
            )
        return result.stdout


def _prune(root: Path) -> None:
    """Delete the links to layers whose blob is gone, and empty folders of deleted manifests."""
    for repository in _iterate_repositories(root / "repositories"):
        for link in _list_folders(repository / "_layers" / "sha256"):
            if not _make_data_path(root, link.name).exists():
                shutil.rmtree(link, ignore_errors=True)
        for revision in _list_folders(repository / "_manifests" / "revisions" / "sha256"):
            with suppress(OSError):  # it is not empty: the manifest is there
                revision.rmdir()


def _iterate_repositories(folder: Path) -> Iterator[Path]:
    """The folders of all repositories below a folder: they have folders whose names begin with "_"."""
    for entry in _list_folders(folder):
        if not entry.name.startswith("_"):
            yield entry
            yield from _iterate_repositories(entry)


def _list_folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _make_data_path(root: Path, name: str) -> Path:
    """The file of a blob, by the hexadecimal digits of its digest."""
    return root / "blobs" / "sha256" / name[:2] / name / "data"
