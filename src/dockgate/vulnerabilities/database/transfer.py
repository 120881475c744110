"""The database as one file to carry elsewhere: where there is no network, or into a job that wants it at once.

It is a zstd file (RFC 8878): a skippable frame says what is in it, another one signs that, and the frames after them
are the database as it stands, so that its parts keep the times of their checks. Nothing is unpacked before the header
is known to be one that a trusted key signed, or one that states the expected digest.
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
from dockgate.shared.errors import ConflictError, DatabaseError, UnavailableError
from dockgate.vulnerabilities.database.database import Database
from dockgate.vulnerabilities.database.schema import FORMAT, TABLES
from dockgate.vulnerabilities.database.writer import content, exclusively, flush

KIND = "dockgate advisories"
# Bytes of the database that a file may claim to hold.
SIZE_LIMIT = 8 * 1024**3
_LEVEL = 10
# Of the header's and the signature's skippable frames; zstd knows sixteen kinds.
_MAGIC, _SIGNATURE_MAGIC = 0x184D2A5D, 0x184D2A5E
_START = struct.Struct("<II")
_HEADER_LIMIT = 64 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: `digest` is the database's, `content` the SHA-256 (hex) of its `size` bytes."""

    kind: str
    format: int
    digest: str
    content: str
    size: int


# The header's bytes -> an envelope that signs them.
Sign = Callable[[bytes], bytes]
# (the header's bytes, the header, its envelope or b"") -> nothing; raises DeniedError for what is not to be trusted.
Trust = Callable[[bytes, Header, bytes], None]


def pack(path: Path, into: Path, sign: Sign) -> Header:
    """Writes the database at `path` into the file `into`, signed, whole or not at all.

    Raises DatabaseError when there is none, UnavailableError when the file cannot be written.
    """
    import zstandard

    with Database.open(path) as database:
        digest = database.digest
    # The file is never changed in place, so what is opened stays what it is, whatever takes its name.
    with path.open("rb") as source:
        header = Header(KIND, FORMAT, digest, content(path), os.fstat(source.fileno()).st_size)
        stated = canonical.encode(header)
        part = into.with_name(into.name + ".part")
        try:
            with part.open("wb") as file:
                envelope = sign(stated)
                file.write(_START.pack(_MAGIC, len(stated)) + stated)
                file.write(_START.pack(_SIGNATURE_MAGIC, len(envelope)) + envelope)
                compressor = zstandard.ZstdCompressor(_LEVEL, write_checksum=True, threads=-1)
                compressor.copy_stream(source, file, size=header.size)
            os.replace(part, into)
        except OSError as error:
            raise UnavailableError(f"{into} cannot be written: {error.strerror}.", "Name another place.") from error
        finally:
            part.unlink(missing_ok=True)
    return header


def unpack(file: Path, path: Path, trust: Trust, *, allow_older: bool = False) -> Header:
    """Puts the database that `file` holds in place at `path`, whole or not at all.

    Raises what `trust` does, DatabaseError for a file that holds none of this format or does not match what it says of
    itself, and unless `allow_older` ConflictError for one that is older than the present database in any part. Also
    ConflictError while another process writes the database, UnavailableError when the file cannot be read.
    """
    new = path.with_name(path.name + ".new")
    try:
        with file.open("rb") as source, exclusively(path):
            stated = _frame(source, _MAGIC) or b""
            header = _header(stated, file)
            trust(stated, header, _frame(source, _SIGNATURE_MAGIC) or b"")
            try:
                _inflate(source, new, header, file)
                _check(new, header, file)
                if not allow_older:
                    _require_newer(new, path, file)
                flush(new)
                os.replace(new, path)
                flush(path.parent)
            finally:
                new.unlink(missing_ok=True)
    except OSError as error:
        if error.filename == str(file) or error.errno == EIO:
            raise UnavailableError(f"{file} cannot be read: {error.strerror or error}.", "Check the file.") from error
        advice = "Is there room for it, and is the folder writable?"
        raise UnavailableError(f"{path} cannot be written: {error.strerror or error}.", advice) from error
    return header


def _frame(source: BinaryIO, magic: int) -> bytes | None:
    """The skippable frame of this kind that comes next, None (and nothing read) where another one or none does."""
    here = source.tell()
    start = source.read(_START.size)
    found, size = _START.unpack(start) if len(start) == _START.size else (0, 0)
    if found != magic or size > _HEADER_LIMIT:
        source.seek(here)
        return None
    return source.read(size)


def _header(stated: bytes, file: Path) -> Header:
    if not stated:
        raise _refused(file, "it is none that `dockgate db export` wrote")
    try:
        header = canonical.decode(Header, stated)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _refused(file, f"its header cannot be read: {error}") from error
    if header.kind != KIND or not isinstance(header.size, int) or not 0 < header.size <= SIZE_LIMIT:
        raise _refused(file, "its header is of something else")
    if header.format != FORMAT:
        raise _refused(file, f"it has format {header.format}, and this version reads {FORMAT}")
    return header


def _inflate(source: BinaryIO, new: Path, header: Header, file: Path) -> None:
    import zstandard

    found, size = hashlib.sha256(), 0
    try:
        with new.open("wb") as into, zstandard.ZstdDecompressor().stream_reader(source) as frames:
            while chunk := frames.read(_CHUNK):
                size += len(chunk)
                if size > header.size:
                    break
                found.update(chunk)
                into.write(chunk)
    except zstandard.ZstdError as error:
        raise _refused(file, f"it is damaged: {error}") from error
    if size != header.size or found.hexdigest() != header.content:
        raise _refused(file, "it does not match the digest in its header")


def _check(new: Path, header: Header, file: Path) -> None:
    """That it is a database of ours down to its tables: a view in their place would run as a query of ours."""
    with Database.open(new) as database, closing(sqlite3.connect(":memory:")) as fresh:
        if database.digest != header.digest:
            raise _refused(file, "its database has another digest than its header says")
        fresh.executescript(TABLES)
        same = database.tables() == Database(new, fresh, "").tables()
    if not same:
        raise _refused(file, "its tables are not those of its format")


def _require_newer(new: Path, path: Path, file: Path) -> None:
    """ConflictError where the present database knows a feed that the new one lacks, or checked it later: whoever hands
    over an old export, signed as it may be, would hide what has become known since."""
    try:
        with Database.open(path) as present:
            before = {part.title: part.checked_at for part in present.parts()}
    except DatabaseError:
        return  # there is none, or none that is of use
    with Database.open(new) as database:
        after = {part.title: part.checked_at for part in database.parts()}
    older = sorted(title for title, checked_at in before.items() if after.get(title, "") < checked_at)
    if older:
        more = f" and {len(older) - 3} more" if len(older) > 3 else ""
        raise ConflictError(
            f"{file} is older than the present database: {', '.join(older[:3])}{more} lacking, or checked earlier.",
            "Export it again, or take it all the same with --allow-older.",
        )


def _refused(file: Path, reason: str) -> DatabaseError:
    return DatabaseError(f"{file} cannot be imported: {reason}.", "Export it again, with the same version of Dockgate.")
