"""Artifacts as files named by their content: `sha256/<64 hex digits>`."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dockgate.config import DEFAULT_BLOBS_LIMIT
from dockgate.shared.digest import from_hex, get_hex, hash_file, is_digest
from dockgate.shared.errors import DiskFullError, NotFoundError, UnavailableError
from dockgate.shared.files import flush
from dockgate.shared.interfaces import override


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """An artifact: its digest, its size in bytes, and when it was stored last, in seconds since 1970."""

    digest: str
    size: int
    stored_at: float


class Blobs(Protocol):
    """Artifacts, content-addressed. `FileBlobs` keeps them in a folder, `s3.S3Blobs` in a bucket."""

    def put(self, write: Callable[[Path], object]) -> str:
        """Store the file that `write` fills, and return its digest.

        DiskFullError beyond the limit: nothing is kept.
        """
        ...

    def count_free_bytes(self) -> int:
        """The bytes that may still be written, at least 1, without those that are being written now.

        Writers ask before and while they write. Raises DiskFullError when no room is left.
        """
        ...

    def get_path(self, digest: str) -> Path:
        """A file with the content of this digest, which must not be written to. It is hashed each time.

        NotFoundError without one, UnavailableError if its content is another.
        """
        ...

    def list(self) -> Iterator[StoredBlob]:
        """Every artifact, in any order."""
        ...

    def delete(self, digest: str, before: float) -> bool:
        """Delete an artifact that was stored before that time, in seconds since 1970. Returns whether it did."""
        ...


class FileBlobs(Blobs):
    """Artifacts in a folder. A blob appears complete and on disk, or not at all."""

    def __init__(self, folder: Path, limit: int = DEFAULT_BLOBS_LIMIT) -> None:
        """`limit` is in bytes, of all blobs together."""
        self._blobs, self._incoming = make_folders(folder)
        self._limit = limit

    @override
    def put(self, write: Callable[[Path], object]) -> str:
        self._require_room(0)  # before anything is written
        with create_temporary_blob(self._incoming, write) as (new, name):
            if not (self._blobs / name).exists():
                self._require_room(new.stat().st_size)
            flush(new)
            new.replace(self._blobs / name)
        flush(self._blobs)  # a rename survives a power cut only after its folder was written
        return from_hex(name)

    @override
    def count_free_bytes(self) -> int:
        used_bytes = self._count_used_bytes()
        free = self._limit - used_bytes - count_folder_bytes(self._incoming)
        if free <= 0:
            raise self._make_full_error(used_bytes)
        return free

    def _require_room(self, size: int) -> None:
        used_bytes = self._count_used_bytes()
        if used_bytes + size > self._limit:
            raise self._make_full_error(used_bytes)

    def _count_used_bytes(self) -> int:
        return sum(entry.stat().st_size for entry in os.scandir(self._blobs))

    def _make_full_error(self, used_bytes: int) -> DiskFullError:
        return DiskFullError(
            f"artifacts in {self._blobs} use {used_bytes >> 20} of {self._limit >> 20} MiB",
            "Raise DOCKGATE_BLOBS_LIMIT, or keep artifacts in S3: DOCKGATE_BLOBS.",
        )

    @override
    def get_path(self, digest: str) -> Path:
        """A file of the store, which must not be written to."""
        path = self._blobs / make_blob_name(digest)
        if not path.is_file():
            raise make_unknown_artifact_error(digest)
        if (actual := hash_file(path)) != get_hex(digest):
            raise make_damaged_artifact_error(str(path), actual)
        return path

    @override
    def list(self) -> Iterator[StoredBlob]:
        for entry in os.scandir(self._blobs):
            with suppress(FileNotFoundError):  # deleted by another process
                if is_digest(from_hex(entry.name)):
                    status = entry.stat()
                    yield StoredBlob(from_hex(entry.name), status.st_size, status.st_mtime)

    @override
    def delete(self, digest: str, before: float) -> bool:
        """Delete an artifact. It is moved away first: one that was stored again in this moment is moved back."""
        name = make_blob_name(digest)
        with tempfile.TemporaryDirectory(dir=self._incoming) as folder:
            removed_file = Path(folder, "removed")
            try:
                (self._blobs / name).replace(removed_file)
            except FileNotFoundError:
                return False
            if removed_file.stat().st_mtime >= before:
                removed_file.replace(self._blobs / name)
                return False
        return True


def make_folders(folder: Path) -> tuple[Path, Path]:
    """The folder of blobs and the folder in which they are written, created if missing.

    Files that a killed process left behind are deleted after a day: another process may write one now.
    """
    blobs, incoming = folder / "sha256", folder / "incoming"
    for path in (folder, blobs, incoming):
        path.mkdir(mode=0o700, exist_ok=True)
    for leftover in incoming.iterdir():
        if leftover.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(leftover, ignore_errors=True)
    return blobs, incoming


@contextmanager
def create_temporary_blob(incoming: Path, write: Callable[[Path], object]) -> Iterator[tuple[Path, str]]:
    """A new file filled by `write`, and the hex digits of its SHA-256.

    The file is deleted at the end, unless it was moved.
    """
    with tempfile.TemporaryDirectory(dir=incoming) as folder:
        new = Path(folder, "blob")
        write(new)
        yield new, hash_file(new)


def count_folder_bytes(folder: Path) -> int:
    """The size of all files below a folder. Files may disappear meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size if not path.is_dir() else 0
    return total


def make_blob_name(digest: str) -> str:
    """A blob's name by its digest.

    NotFoundError for anything but a digest, which could be a path elsewhere.
    """
    if not is_digest(digest):
        raise make_unknown_artifact_error(digest)
    return get_hex(digest)


def make_unknown_artifact_error(digest: str) -> NotFoundError:
    """The error for a digest without an artifact."""
    return NotFoundError(f"there is no artifact {digest!r}", "`dockgate pipeline retry` builds it again.")


def make_damaged_artifact_error(name: str, actual: str) -> UnavailableError:
    """The error for an artifact whose content has other hex digits than its name."""
    return UnavailableError(
        f"the artifact {name} is damaged: it contains {from_hex(actual)}",
        "Start its pipeline again: the artifact is then written again.",
    )
