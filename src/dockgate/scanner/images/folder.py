"""Read a folder that is the root of a system as an image of one layer.

Everything is opened relative to its parent folder and never through a link, so nothing outside is read, even if the
folder changes meanwhile. File systems mounted in it are included, except virtual ones (proc, sysfs), which have no
files.
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
from dockgate.scanner.images.oci_image import OciImage
from dockgate.scanner.images.tar_layer import CONTENT_LIMIT, HEAD
from dockgate.scanner.ports import Entry, ImageMetadata, Kind, Layer
from dockgate.shared.errors import ImageError, UnavailableError, UnreadableError, UsageError
from dockgate.shared.host_platform import detect_host_platform
from dockgate.shared.interfaces import override

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
_ADVICE = "Check the folder and its permissions."
_ENTRIES = 4_000_000
# In one folder: they are sorted in memory, in about 100 MB.
_NAMES = 1_000_000
# Nested folders, each of which stays open while it is walked.
_DEPTH = 256
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_folder_image(path: Path, platforms: Sequence[str] | None) -> tuple[OciImage, Callable[[], None]]:
    """Open a folder as an image. Returns the image and the function that closes it.

    The platform is the requested one, for None and "all" this machine's. The image has no digest.

    Raises UsageError for several platforms, UnavailableError if the folder cannot be read.
    """
    names = [name for name in platforms or () if name != "all"]
    if len(names) > 1:
        raise UsageError(f"{path} is a folder, which has one platform", "Pass --platform once.")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error.strerror}", _ADVICE) from error
    layer = FolderLayer(descriptor, str(path))
    return OciImage(None, names[0] if names else detect_host_platform(), (layer,), None, ImageMetadata()), partial(
        os.close, descriptor
    )


@dataclass(slots=True)
class FolderLayer(Layer):
    """A folder as a layer. `descriptor` is of the open folder.

    Its content may change at any time, so it has no digest and is never cached.

    The `open` of a file that cannot be opened raises UnreadableError. A folder has `open` only if it cannot be listed;
    it raises the same.
    """

    descriptor: int
    name: str
    digest: str | None = None
    mounts: Path = _MOUNTS
    media_type: str | None = None
    compression: str | None = None
    content_digest: str | None = None

    @override
    def hash_content(self) -> str | None:
        """Return None: a folder is not a blob."""
        return None

    @override
    def read_entries(self, *, should_hash: bool = False) -> Iterator[Entry]:
        """Yield the entries, sorted by name. Raises ImageError for too many entries."""
        walk = _Walk(_list_pseudo_devices(self.mounts))
        try:
            yield Entry("", "directory", mode=stat.S_IMODE(os.fstat(self.descriptor).st_mode))
            walk.enter(os.open(".", _FOLDER, dir_fd=self.descriptor), "")
            for count, entry in enumerate(walk):
                if count == _ENTRIES:
                    raise ImageError(f"{self.name} has more than {_ENTRIES} files")
                yield entry
        except OSError as error:
            raise UnavailableError(f"{self.name} cannot be read: {error.strerror}", _ADVICE) from error
        except UnreadableError as error:
            raise ImageError(f"{self.name} cannot be read: {error}") from error
        finally:
            walk.close()


class _Walk:
    """Entries below a folder, each folder before its content.

    Folders on the `skipped_devices` are not entered.
    """

    def __init__(self, skipped_devices: frozenset[int]) -> None:
        self._skipped_devices = skipped_devices
        self._open_folders: list[tuple[int, str, Iterator[str]]] = []

    def enter(self, descriptor: int, prefix: str) -> None:
        """Continue with the content of a folder, and own its descriptor. Raises OSError, UnreadableError."""
        try:
            names: list[str] = []
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    names.append(entry.name)
                    if len(names) > _NAMES:
                        raise UnreadableError(f"it has more than {_NAMES} entries")
            if len(self._open_folders) == _DEPTH:
                raise UnreadableError(f"it is nested in more than {_DEPTH} folders")
        except BaseException:
            os.close(descriptor)
            raise
        self._open_folders.append((descriptor, prefix, iter(sorted(names))))

    def __iter__(self) -> Iterator[Entry]:
        while self._open_folders:
            parent, prefix, names = self._open_folders[-1]
            name = next(names, None)
            if name is None:
                os.close(self._open_folders.pop()[0])
                continue
            path = prefix + name
            try:
                kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
                if stat.S_ISDIR(kind):
                    yield self._open_folder(parent, name, path)
                elif stat.S_ISREG(kind):
                    yield from _open_file(parent, name, path)
                elif stat.S_ISLNK(kind):
                    yield Entry(path, "symlink", mode=0o777, target=os.readlink(name, dir_fd=parent))
                else:
                    yield Entry(path, "other", mode=stat.S_IMODE(kind))
            except OSError as error:
                yield _make_unreadable_entry(path, "file", error)

    def close(self) -> None:
        for descriptor, _, _ in self._open_folders:
            os.close(descriptor)
        self._open_folders.clear()

    def _open_folder(self, parent: int, name: str, path: str) -> Entry:
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=parent)
            status = os.fstat(descriptor)
            if status.st_dev in self._skipped_devices:
                os.close(descriptor)
            else:
                self.enter(descriptor, f"{path}/")
        except (OSError, UnreadableError) as error:
            return _make_unreadable_entry(path, "directory", error)
        return Entry(path, "directory", mode=stat.S_IMODE(status.st_mode))


def _open_file(parent: int, name: str, path: str) -> Iterator[Entry]:
    """Yield the entry of a file, which stays open until the next one. Raises OSError."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            yield Entry(path, "other", mode=stat.S_IMODE(status.st_mode))
            return
        content = _Content(descriptor, status.st_size)
        mode = stat.S_IMODE(status.st_mode)
        try:
            yield Entry(path, "file", status.st_size, mode, head=os.pread(descriptor, HEAD, 0), open=content.open)
        finally:
            content.close()
    finally:
        os.close(descriptor)


class _Content:
    """A file's content while its entry is the current one."""

    __slots__ = ("_descriptor", "_opened_files", "_size")

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._opened_files: list[BinaryIO] = []

    def open(self) -> BinaryIO:
        """Open the content at position 0. Raises UnreadableError if it is too large."""
        if self._size > CONTENT_LIMIT:
            raise UnreadableError(f"it has {self._size} bytes; at most {CONTENT_LIMIT} are read")
        file = io.BufferedReader(_Source(self._descriptor, 0, self._size))
        self._opened_files.append(file)
        return file

    def close(self) -> None:
        for file in self._opened_files:
            file.close()


class _Source(FileSlice):
    """The content of a file. An error makes only this file unread, not the image."""

    @override
    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise UnreadableError(f"{error.strerror}") from error


def _make_unreadable_entry(path: str, kind: Kind, error: OSError | UnreadableError) -> Entry:
    """Return an entry that exists and cannot be opened or listed."""
    reason = f"{error.strerror}" if isinstance(error, OSError) else str(error)

    def refuse() -> BinaryIO:
        raise UnreadableError(reason) from error

    return Entry(path, kind, open=refuse)


def _list_pseudo_devices(mounts: Path) -> frozenset[int]:
    """Return the devices of virtual file systems (proc(5), "/proc/pid/mountinfo"); none without /proc."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    devices: set[int] = set()
    for line in lines:
        fields, _, file_system = line.partition(" - ")
        if file_system.partition(" ")[0] in _PSEUDO_FILESYSTEMS:
            major, _, minor = fields.split(" ")[2].partition(":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)
