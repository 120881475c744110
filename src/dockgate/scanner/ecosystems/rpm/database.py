"""Read rpm's database (SQLite, ndb or Berkeley DB), or the manifest that replaces it."""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.scanner import vendors
from dockgate.scanner.ecosystems.rpm.package import RpmPackage, build_packages, parse_module_stream
from dockgate.scanner.formats.content import decode_text
from dockgate.scanner.formats.order import is_digits
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

DATABASE_NAMES = ("rpmdb.sqlite", "Packages.db", "Packages")
PACKAGES_LIMIT = 50_000
# Bytes of memory for all listed paths; those of Fedora's 3,000 packages take 50 million.
PATHS_LIMIT = 128 * 1024 * 1024
UNREAD_LIMIT = 20  # unreadable headers; with more of them the whole database is unreadable
KEY_PACKAGE = "gpg-pubkey"  # a key that rpm stores like a package


def read_database(path: str, file: BinaryIO) -> Extract:
    """Read packages and files; a few unreadable headers are unread parts.

    Raises UnreadableError if damaged.
    """
    from dockgate.scanner.ecosystems.rpm import berkeley_db, headers, ndb

    readers = _read_sqlite_headers, ndb.read_headers, berkeley_db.read_headers
    read_headers = dict(zip(DATABASE_NAMES, readers, strict=True))[path.rpartition("/")[2]]
    size = file.seek(0, 2)
    file.seek(0)
    rows: list[RpmPackage] = []
    files: dict[str, list[str]] = {}
    unread_parts: list[tuple[str, str]] = []
    total_size = paths_size = 0
    for count, blob in enumerate(read_headers(file, size, headers.SIZE_LIMIT), 1):
        total_size += len(blob)
        if count > PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        if total_size > size:
            raise UnreadableError("its packages overlap")
        try:
            header = headers.parse_header(blob, PATHS_LIMIT - paths_size)
        except UnreadableError as error:
            unread_parts.append((f"package {count}", str(error)))
            if len(unread_parts) > UNREAD_LIMIT:
                raise UnreadableError(f"more than {UNREAD_LIMIT} of its packages cannot be read: {error}") from error
            continue
        if header.name == KEY_PACKAGE:
            continue
        version_release = f"{header.version}-{header.release}" if header.release else header.version
        evr = f"{header.epoch}:{version_release}" if header.epoch else version_release
        module = parse_module_stream(header.module) if header.module else None
        vendor = header.vendor or vendors.UNKNOWN_VENDOR
        rows.append(RpmPackage(header.name, evr, header.arch, header.source_rpm, module, vendor))
        if header.files:
            paths_size += sum(map(len, header.files)) + headers.PATH_COST * len(header.files)
            files.setdefault(f"{header.name}:{header.arch or ''}", []).extend(header.files)
    owned_paths = {name: tuple(paths) for name, paths in files.items()}
    return Extract(build_packages(rows, path), owned_paths, unread_parts=tuple(unread_parts))


def _read_sqlite_headers(file: BinaryIO, size: int, limit: int) -> Iterator[bytes]:
    from dockgate.scanner.formats.sqlite import read_rows

    return (row[1] if len(row) > 1 else b"" for _, row in read_rows(file, size, "Packages", limit))


def read_manifest(file: BinaryIO) -> Iterator[RpmPackage]:
    """Read a distroless manifest, one package a line, written by `rpm --query` with the image.

    Fields by tabs, "(none)" if absent: name, version-release, two times, vendor, epoch, size, arch, epoch, SOURCERPM.
    """
    for count, line in enumerate(file, 1):
        text = decode_text(line.rstrip(b"\r\n"))
        fields = [None if field in ("", "(none)") else field for field in text.split("\t")]
        if fields == [None]:
            continue
        if len(fields) < 10 or not fields[0] or not fields[1]:
            raise UnreadableError(f"line {count} is not a package: {decode_text(line[:60])!r}")
        if count > PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        name, version_release, vendor = fields[0], fields[1], fields[4]
        arch, epoch, source_rpm = fields[7:10]
        if name != KEY_PACKAGE:
            evr = f"{epoch}:{version_release}" if epoch and is_digits(epoch) and epoch.strip("0") else version_release
            yield RpmPackage(name, evr, arch, source_rpm, None, vendor or vendors.UNKNOWN_VENDOR)
