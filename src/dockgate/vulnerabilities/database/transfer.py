"""Export the database as one signed file, and import it.

It is for machines without network, or for short jobs. It is a zstd file (RFC 8878). One skippable frame is the header,
another one its signature, and the frames after them are the database file, so that its parts keep the times of their
checks. Nothing is unpacked before the header is trusted: a trusted key signed it, or it has the expected digest.
"""

import hashlib
import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import BinaryIO

from dockgate.shared import canonical
from dockgate.shared.digest import hash_file
from dockgate.shared.errors import ConflictError, DatabaseError, UnavailableError
from dockgate.shared.files import flush
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.schema import FORMAT, TABLES
from dockgate.vulnerabilities.database.writer import lock_database

KIND = "dockgate advisories"
# Bytes of the database in a file.
SIZE_LIMIT = 8 * 1024**3
_LEVEL = 10
# The kinds of skippable frames of the header and the signature; zstd has sixteen.
_MAGIC, _SIGNATURE_MAGIC = 0x184D2A5D, 0x184D2A5E
_START = struct.Struct("<II")
_HEADER_LIMIT = 64 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """The header: `digest` of the database, `content` the SHA-256 (hex) of the `size` bytes of its file."""

    kind: str
    format: int
    digest: str
    content: str
    size: int


# The header's bytes -> an envelope that signs them.
Sign = Callable[[bytes], bytes]
# (the header's bytes, the header, its envelope or b"") -> nothing. Raises DeniedError if it is not trusted.
Trust = Callable[[bytes, Header, bytes], None]


def pack(path: Path, into: Path, sign: Sign) -> Header:
    """Export the database at `path` to the file `into`, signed and atomically.

    Raises DatabaseError if there is no database, UnavailableError if the file cannot be written.
    """
    import zstandard

    with Database.open(path) as database:
        digest = database.digest
    # The file is never changed in place: an open file stays the same when another replaces it.
    with path.open("rb") as source:
        header = Header(KIND, FORMAT, digest, hash_file(path), os.fstat(source.fileno()).st_size)
        header_bytes = canonical.encode(header)
        part = into.with_name(into.name + ".part")
        try:
            with part.open("wb") as file:
                envelope = sign(header_bytes)
                file.write(_START.pack(_MAGIC, len(header_bytes)) + header_bytes)
                file.write(_START.pack(_SIGNATURE_MAGIC, len(envelope)) + envelope)
                compressor = zstandard.ZstdCompressor(_LEVEL, write_checksum=True, threads=-1)
                compressor.copy_stream(source, file, size=header.size)
            os.replace(part, into)
        except OSError as error:
            raise UnavailableError(f"{into} cannot be written: {error.strerror}", "Name another place.") from error
        finally:
            part.unlink(missing_ok=True)
    return header


def unpack(file: Path, path: Path, trust: Trust, *, can_be_older: bool = False) -> Header:
    """Import the database in `file` to `path`, atomically.

    Raises the errors of `trust`, DatabaseError for a file of another format or that does not match its header, and
    unless `can_be_older` ConflictError if any part is older than in the present database. Also ConflictError while
    another process writes the database, and UnavailableError if the file cannot be read.
    """
    new_path = path.with_name(path.name + ".new")
    try:
        with file.open("rb") as source, lock_database(path):
            header_bytes = _read_frame(source, _MAGIC) or b""
            header = _parse_header(header_bytes, file)
            trust(header_bytes, header, _read_frame(source, _SIGNATURE_MAGIC) or b"")
            try:
                _inflate(source, new_path, header, file)
                _check(new_path, header, file)
                if not can_be_older:
                    _require_newer(new_path, path, file)
                flush(new_path)
                os.replace(new_path, path)
                flush(path.parent)
            finally:
                new_path.unlink(missing_ok=True)
    except OSError as error:
        if error.filename == str(file) or error.errno == EIO:
            raise UnavailableError(f"{file} cannot be read: {error.strerror or error}", "Check the file.") from error
        advice = "Is there room for it, and is the folder writable?"
        raise UnavailableError(f"{path} cannot be written: {error.strerror or error}", advice) from error
    return header


def _read_frame(source: BinaryIO, magic: int) -> bytes | None:
    """Read the next skippable frame if it is of this kind. Otherwise None, and nothing is read."""
    position = source.tell()
    start = source.read(_START.size)
    found_magic, size = _START.unpack(start) if len(start) == _START.size else (0, 0)
    if found_magic != magic or size > _HEADER_LIMIT:
        source.seek(position)
        return None
    return source.read(size)


def _parse_header(header_line: bytes, file: Path) -> Header:
    if not header_line:
        raise _make_refusal(file, "`dockgate db export` did not write it")
    try:
        header = canonical.decode(Header, header_line)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _make_refusal(file, f"its header cannot be read: {error}") from error
    if header.kind != KIND or not isinstance(header.size, int) or not 0 < header.size <= SIZE_LIMIT:
        raise _make_refusal(file, "it contains something else")
    if header.format != FORMAT:
        raise _make_refusal(file, f"it has format {header.format}, this version reads {FORMAT}")
    return header


def _inflate(source: BinaryIO, new: Path, header: Header, file: Path) -> None:
    import zstandard

    sha256, size = hashlib.sha256(), 0
    try:
        with new.open("wb") as into, zstandard.ZstdDecompressor().stream_reader(source) as frames:
            while chunk := frames.read(_CHUNK):
                size += len(chunk)
                if size > header.size:
                    break
                sha256.update(chunk)
                into.write(chunk)
    except zstandard.ZstdError as error:
        raise _make_refusal(file, f"it is damaged: {error}") from error
    if size != header.size or sha256.hexdigest() != header.content:
        raise _make_refusal(file, "it does not match the digest in its header")


def _check(new: Path, header: Header, file: Path) -> None:
    """Check that it has exactly our tables: a view in their place would run inside our queries."""
    with Database.open(new) as database, closing(sqlite3.connect(":memory:")) as new_tables:
        if database.digest != header.digest:
            raise _make_refusal(file, "its database has another digest than its header says")
        new_tables.executescript(TABLES)
        has_same_tables = database.list_tables() == Database(new, new_tables, "").list_tables()
    if not has_same_tables:
        raise _make_refusal(file, "its tables are not those of its format")


def _require_newer(new: Path, path: Path, file: Path) -> None:
    """Raise ConflictError if the present database has a feed that the new one lacks, or a later check of it.

    An old export, even a signed one, would hide what became known since.
    """
    try:
        with Database.open(path) as present_database:
            before = {part.title: part.checked_at for part in present_database.list_parts()}
    except DatabaseError:
        return  # there is no usable database
    with Database.open(new) as database:
        after = {part.title: part.checked_at for part in database.list_parts()}
    older = sorted(title for title, checked_at in before.items() if after.get(title, "") < checked_at)
    if older:
        omission = f" and {len(older) - 3} more" if len(older) > 3 else ""
        raise ConflictError(
            f"{file} is older than the present database: {', '.join(older[:3])}{omission} missing or older",
            "Export it again, or import it with --allow-older.",
        )


def _make_refusal(file: Path, reason: str) -> DatabaseError:
    return DatabaseError(f"{file} cannot be imported: {reason}", "Export it again, with the same version of Dockgate.")
