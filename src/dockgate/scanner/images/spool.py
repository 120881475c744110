"""Copy a stream into a temporary file, so that it can be read at any position."""

import os
import tempfile
from typing import TYPE_CHECKING, BinaryIO, cast

from dockgate.scanner.images.inflate import InflatedStream, LayerLimits
from dockgate.scanner.images.stream_reader import CountedSource, Source
from dockgate.shared.errors import UnavailableError

if TYPE_CHECKING:
    pass

_CHUNK = 2**20
# For large files, as /tmp is memory on many systems: file-hierarchy(7).
_ROOMY = "/var/tmp"  # noqa: S108 - the file has no name there


def spool(source: Source, name: str, bounds: LayerLimits | None = None) -> BinaryIO:
    """Copy a source into an unlinked temporary file in TMPDIR or /var/tmp.

    A gzip or zstd source is decompressed. `name` is for messages. Raises ImageError above the bounds and for invalid
    compression, UnavailableError if the source fails or the disk is full.
    """
    inflated_stream = InflatedStream(CountedSource(source, name), name, bounds or LayerLimits())
    file = _create_file(name)
    view = memoryview(bytearray(_CHUNK))
    try:
        while count := inflated_stream.readinto(view):
            _write(file, view[:count], name)
    except BaseException:
        file.close()
        raise
    return file


def find_large_file_folder() -> str | None:
    """Return the folder for large temporary files, None for the system's usual one."""
    return os.environ.get("TMPDIR") or (_ROOMY if os.access(_ROOMY, os.W_OK) else None)


def _create_file(name: str) -> BinaryIO:
    try:
        return cast(BinaryIO, tempfile.TemporaryFile(buffering=0, dir=find_large_file_folder()))
    except OSError as error:
        raise _make_full_error(name, error) from error


def _write(file: BinaryIO, data: memoryview, name: str) -> None:
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise _make_full_error(name, error) from error


def _make_full_error(name: str, error: OSError) -> UnavailableError:
    reason = f"{name} cannot be written to a temporary file: {error.strerror}"
    return UnavailableError(reason, "Set TMPDIR to a folder with free space.")
