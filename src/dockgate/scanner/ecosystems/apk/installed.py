"""Read apk's database of installed packages."""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner.formats.content import decode_path, decode_text
from dockgate.scanner.model import THIRD_PARTY, Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import write_purl

LINE_LIMIT = 1024 * 1024  # bytes of one line
PACKAGES_LIMIT = 50_000
# Bytes of memory for all listed paths: a hostile database can list far more than its own size.
PATHS_LIMIT = 128 * 1024 * 1024
_PATH_COST = 64  # bytes of memory that a path takes besides its own
_FIELDS = b"PVATom"
_VIRTUAL = "virtual meta package"  # the description that `apk add --virtual` writes


def read_installed(path: str, file: BinaryIO) -> Extract:
    """Read the packages and their files; mark packages without an origin as a third party's.

    abuild (`prepare_metafiles`) and melange write an origin into every package, nfpm (apk/apk.go) into none. If most
    packages have none, the origins were removed, and nothing is marked.
    """
    packages: list[Package] = []
    owns: dict[str, tuple[str, ...]] = {}
    without_origin: list[int] = []
    for count, (line, fields, files) in enumerate(_read_entries(file)):
        if count == PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        name, version = fields.get("P", ""), fields.get("V", "")
        if not name or not version:
            raise UnreadableError(f"line {line}: the entry that begins here has no {'V' if name else 'P'}")
        if fields.get("T") == _VIRTUAL and not files:
            # A virtual package is a name for a list of packages, each of which has an entry of its own.
            continue
        package = Package(
            name=name,
            version=version,
            purl="",
            ecosystem="",
            source_name=fields.get("o", "") or name,
            source_version=version,
            path=path,
            arch=fields.get("A") or None,
            vendor=fields.get("m") or None,
        )
        if not fields.get("o"):
            without_origin.append(len(packages))
        packages.append(replace(package, purl=write_package_url(package, "", None)))
        if files:
            owns[name] = tuple(files)
    if 2 * len(without_origin) <= len(packages):
        for index in without_origin:
            packages[index] = replace(packages[index], vendor=THIRD_PARTY + (packages[index].vendor or ""))
    return Extract(packages=tuple(packages), owns=owns)


def _read_entries(file: BinaryIO) -> Iterator[tuple[int, dict[str, str], list[str]]]:
    """Yield the first line number, the fields and the files of each entry (apk-tools, src/database.c).

    A line is a letter, a colon and a value; "F:" is a folder, "R:" a file in the last folder.
    """
    first_line, count, paths_size, folder = 0, 0, 0, ""
    fields: dict[str, str] = {}
    files: list[str] = []
    while line := file.readline(LINE_LIMIT):
        count += 1
        if line[-1:] != b"\n":
            raise UnreadableError(f"line {count} has no end, or is longer than {LINE_LIMIT} bytes")
        if line == b"\n":
            if first_line:
                yield first_line, fields, files
            first_line, folder, fields, files = 0, "", {}, []
            continue
        if line[1:2] != b":" or not line[:1].isalpha():
            raise UnreadableError(f"line {count} is not a field, {decode_text(line[:60].rstrip())!r}")
        first_line = first_line or count
        letter = line[0]
        if letter == 0x52:
            path = folder + decode_path(line[2:-1])
            paths_size += len(path) + _PATH_COST
            if paths_size > PATHS_LIMIT:
                raise UnreadableError(f"line {count}: it lists too many or too long paths")
            files.append(path)
        elif letter == 0x46:
            folder = decode_path(line[2:-1]).strip("/")
            folder = folder + "/" if folder else ""
        elif letter in _FIELDS:
            name = chr(letter)
            if name in fields:
                raise UnreadableError(f"line {count}: {name} occurs twice in one entry")
            fields[name] = decode_text(line[2:-1].strip())
    if first_line:
        yield first_line, fields, files


def write_package_url(package: Package, namespace: str, distro: str | None, vendor: str | None = None) -> str:
    """Write the package URL, with the origin as `upstream` if it differs."""
    upstream = package.source_name if package.source_name != package.name else None
    qualifiers = {"arch": package.arch, "distro": distro, "upstream": upstream, "vendor": vendor}
    return write_purl("apk", namespace, package.name, package.version, qualifiers)
