"""A folder that is the root of a system, as an image of one layer.

Everything is opened relative to the folder above it and never through a link, so that nothing outside is read, even
if the folder changes meanwhile. Other file systems that are mounted in it belong to it, but those that the
kernel makes up (proc, sysfs and the like) do not: they hold no files.
"""

import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dockgate.scanner.images.blobs import FileSlice
from dockgate.scanner.images.oci_image import OciImage, host_platform
from dockgate.scanner.images.tar_layer import CONTENT_LIMIT, HEAD
from dockgate.scanner.ports import Entry, ImageMetadata, Kind
from dockgate.shared.errors import ImageError, UnavailableError, UnreadableError, UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PSEUDO_FILESYSTEMS = frozenset(
    {
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs",
        "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs",
        "tracefs",
    }
)  # fmt: skip
_MOUNTS = Path("/proc/self/mountinfo")
_ENTRIES = 4_000_000
# In one folder: they are sorted in memory, in about 100 MB.
_NAMES = 1_000_000
# Nested folders, each of which stays open while it is walked.
_DEPTH = 256
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def folder_image(path: Path, platforms: Sequence[str] | None) -> tuple[OciImage, Callable[[], None]]:
    """The folder as an image, and what closes it.

    A folder does not tell its platform: it is the one asked for, this machine's for none or "all". It has no digest
    either, "".

    Raises UsageError for several platforms, UnavailableError when the folder may not be read.
    """
    names = [name for name in platforms or () if name != "all"]
    if len(names) > 1:
        raise UsageError(f"{path} is a folder, which is of one platform.", "Name one.")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error.strerror}.") from error
    layer = FolderLayer(descriptor, str(path))
    return OciImage("", names[0] if names else host_platform(), (layer,), None, ImageMetadata()), partial(
        os.close, descriptor
    )


@dataclass(slots=True)
class FolderLayer:
    """A folder as a layer (see `scanner.ports.Layer`). `descriptor` is the open folder's.

    Its content may change at any time, so its digest is "", under which nothing may be cached.

    What cannot be opened is an entry all the same, whose `open` raises UnreadableError. So has a folder an `open`, and
    only then, whose content cannot be listed.
    """

    descriptor: int
    where: str
    digest: str = ""
    mounts: Path = _MOUNTS
    media_type: str = ""
    compression: str = ""
    content_digest: str = ""

    def hash_content(self) -> str:
        """Nothing: a folder is no blob."""
        return ""

    def entries(self, *, hashed: bool = False) -> Iterator[Entry]:
        """See `scanner.ports.Layer`, in the order of names. Raises ImageError when there is no end of them."""
        walk = _Walk(_pseudo_devices(self.mounts))
        try:
            yield Entry("", "directory", mode=stat.S_IMODE(os.fstat(self.descriptor).st_mode))
            walk.enter(os.open(".", _FOLDER, dir_fd=self.descriptor), "")
            for count, entry in enumerate(walk):
                if count == _ENTRIES:
                    raise ImageError(f"{self.where} has more than {_ENTRIES} files.")
                yield entry
        except OSError as error:
            raise UnavailableError(f"{self.where} cannot be read: {error.strerror}.") from error
        except UnreadableError as error:
            raise ImageError(f"{self.where} cannot be read: {error}.") from error
        finally:
            walk.close()


class _Walk:
    """All below a folder, each folder before its content. `skipped` are devices whose folders are not entered."""

    def __init__(self, skipped: frozenset[int]) -> None:
        self._skipped = skipped
        self._open: list[tuple[int, str, Iterator[str]]] = []

    def enter(self, descriptor: int, prefix: str) -> None:
        """Goes on with the content of a folder, and takes care of its descriptor. Raises OSError, UnreadableError."""
        try:
            names: list[str] = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    names.append(entry.name)
                    if len(names) > _NAMES:
                        raise UnreadableError(f"it has more than {_NAMES} entries")
            if len(self._open) == _DEPTH:
                raise UnreadableError(f"it lies in more than {_DEPTH} folders")
        except BaseException:
            os.close(descriptor)
            raise
        self._open.append((descriptor, prefix, iter(sorted(names))))

    def __iter__(self) -> Iterator[Entry]:
        while self._open:
            parent, prefix, names = self._open[-1]
            name = next(names, None)
            if name is None:
                os.close(self._open.pop()[0])
                continue
            path = prefix + name
            try:
                kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
                if stat.S_ISDIR(kind):
                    yield self._folder(parent, name, path)
                elif stat.S_ISREG(kind):
                    yield from _file(parent, name, path)
                elif stat.S_ISLNK(kind):
                    yield Entry(path, "symlink", mode=0o777, target=os.readlink(name, dir_fd=parent))
                else:
                    yield Entry(path, "other", mode=stat.S_IMODE(kind))
            except OSError as error:
                yield _unreadable(path, "file", error)

    def close(self) -> None:
        for descriptor, _, _ in self._open:
            os.close(descriptor)
        self._open.clear()

    def _folder(self, parent: int, name: str, path: str) -> Entry:
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=parent)
            status = os.fstat(descriptor)
            if status.st_dev in self._skipped:
                os.close(descriptor)
            else:
                self.enter(descriptor, f"{path}/")
        except (OSError, UnreadableError) as error:
            return _unreadable(path, "directory", error)
        return Entry(path, "directory", mode=stat.S_IMODE(status.st_mode))


def _file(parent: int, name: str, path: str) -> Iterator[Entry]:
    """Its entry, with the file open until the next is asked for. Raises OSError."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            yield Entry(path, "other", mode=stat.S_IMODE(status.st_mode))
            return
        content = _Content(descriptor, path, status.st_size)
        mode = stat.S_IMODE(status.st_mode)
        try:
            yield Entry(path, "file", status.st_size, mode, head=os.pread(descriptor, HEAD, 0), open=content.open)
        finally:
            content.close()
    finally:
        os.close(descriptor)


class _Content:
    """A file's content while its entry is the current one."""

    __slots__ = ("_descriptor", "_opened_files", "_path", "_size")

    def __init__(self, descriptor: int, path: str, size: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = size
        self._opened_files: list[BinaryIO] = []

    def open(self) -> BinaryIO:
        """A file at position 0. UnreadableError: it is not read."""
        if self._size > CONTENT_LIMIT:
            raise UnreadableError(f"{self._path} has {self._size} bytes; at most {CONTENT_LIMIT} are read.")
        file = io.BufferedReader(_Source(self._descriptor, 0, self._size))
        self._opened_files.append(file)
        return file

    def close(self) -> None:
        for file in self._opened_files:
            file.close()


class _Source(FileSlice):
    """A file's content, whose faults are its own and not the image's."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise UnreadableError(f"{error.strerror}") from error


def _unreadable(path: str, kind: Kind, error: OSError | UnreadableError) -> Entry:
    """An entry that is there and cannot be opened or listed."""
    reason = f"{error.strerror}" if isinstance(error, OSError) else str(error)

    def refuse() -> BinaryIO:
        raise UnreadableError(reason) from error

    return Entry(path, kind, open=refuse)


def _pseudo_devices(mounts: Path) -> frozenset[int]:
    """The devices of the file systems that hold no files: proc(5), "/proc/pid/mountinfo"; none where there is none."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    devices: set[int] = set()
    for line in lines:
        fields, _, of = line.partition(" - ")
        if of.partition(" ")[0] in _PSEUDO_FILESYSTEMS:
            major, _, minor = fields.split(" ")[2].partition(":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)
