"""Read rpm's database in its three formats: SQLite, ndb and Berkeley DB."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from dockgate.scanner.ecosystems.rpm.package import RpmPackage, build_packages, module_stream
from dockgate.scanner.formats import vendors
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

FORMS = ("rpmdb.sqlite", "Packages.db", "Packages")
PACKAGES_LIMIT = 50_000
# Bytes of memory for all listed paths; those of Fedora's 3,000 packages take 50 million.
PATHS_LIMIT = 128 * 1024 * 1024
# Unreadable headers; with more of them the whole database is unreadable.
UNREAD_LIMIT = 20
# A key that rpm stores like a package.
KEY_PACKAGE = "gpg-pubkey"


def read_database(path: str, file: BinaryIO) -> Extract:
    """Read the packages and their files; single unreadable headers are unread parts.

    Raises UnreadableError if the database is damaged or too large.
    """
    from dockgate.scanner.ecosystems.rpm import headers

    size = file.seek(0, 2)
    file.seek(0)
    rows: list[RpmPackage] = []
    owns: dict[str, list[str]] = {}
    unread: list[tuple[str, str]] = []
    taken = paths = 0
    for count, blob in enumerate(_form_reader(path)(file, size, headers.SIZE_LIMIT), 1):
        taken += len(blob)
        if count > PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        if taken > size:
            raise UnreadableError("its packages overlap")
        try:
            header = headers.parse(blob, PATHS_LIMIT - paths)
        except UnreadableError as error:
            unread.append((f"package {count}", str(error)))
            if len(unread) > UNREAD_LIMIT:
                raise UnreadableError(f"more than {UNREAD_LIMIT} of its packages cannot be read: {error}") from error
            continue
        if header.name == KEY_PACKAGE:
            continue
        release = f"{header.version}-{header.release}" if header.release else header.version
        version = f"{header.epoch}:{release}" if header.epoch else release
        rows.append(
            RpmPackage(
                header.name,
                version,
                header.arch,
                header.source,
                module_stream(header.module),
                header.vendor or vendors.UNKNOWN,
            )
        )
        if header.files:
            paths += sum(map(len, header.files)) + headers.PATH_COST * len(header.files)
            owns.setdefault(f"{header.name}:{header.arch}", []).extend(header.files)
    return Extract(
        build_packages(rows, path), {name: tuple(files) for name, files in owns.items()}, unread=tuple(unread)
    )


def _form_reader(path: str) -> Callable[[BinaryIO, int, int], Iterator[bytes]]:
    from dockgate.scanner.ecosystems.rpm import bdb, ndb

    forms = dict(zip(FORMS, (_sqlite_blobs, ndb.blobs, bdb.blobs), strict=True))
    return forms[path.rpartition("/")[2]]


def _sqlite_blobs(file: BinaryIO, size: int, limit: int) -> Iterator[bytes]:
    from dockgate.scanner.formats.sqlite import rows

    return (row[1] if len(row) > 1 else b"" for _, row in rows(file, size, "Packages", limit))
