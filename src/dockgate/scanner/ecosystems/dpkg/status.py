"""Read dpkg's database: the status file, and the lists of the files that packages own."""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from dockgate.scanner import vendors
from dockgate.scanner.formats.content import decode_path, decode_text
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import write_purl

STATUS = "var/lib/dpkg/status"
LINE_LIMIT = 1024 * 1024  # bytes of one line
_FIELDS = {b"package", b"version", b"status", b"architecture", b"source", b"maintainer", b"vendor", b"origin"}
_REMOVED_STATES = {"config-files", "not-installed"}
_SIGNED_KERNEL = "linux-signed"
_SIGNED_ARCHITECTURES = ("-amd64", "-arm64", "-i386")  # ends of the names of Debian's signed kernels' sources


def read_status(path: str, file: BinaryIO) -> Extract:
    """Read the packages of a status file, or of one in status.d. Raises UnreadableError."""
    is_status_file = path == STATUS
    packages: list[Package] = []
    removed_names: list[str] = []
    for line, fields in _read_stanzas(file, is_strict=is_status_file):
        name, status = fields.get(b"package", ""), fields.get(b"status", "")
        if not name:
            raise UnreadableError(f"line {line}: the entry that begins here has no Package")
        if is_status_file and len(status.split()) != 3:
            raise UnreadableError(f"line {line}: the entry of {name} has no complete Status")
        if status and status.split()[-1] in _REMOVED_STATES:
            removed_names.append(name)
            continue
        version = fields.get(b"version", "")
        if not version:
            raise UnreadableError(f"line {line}: the entry of {name} has no Version")
        source, _, source_version = fields.get(b"source", "").partition("(")
        source, source_version = source.strip() or name, source_version.strip(" )") or version
        source, source_version = find_advisory_source(source, source_version, version)
        package = Package(
            name=name,
            version=version,
            purl="",
            ecosystem="",
            source_name=source,
            source_version=source_version,
            path=path,
            arch=fields.get(b"architecture") or None,
            vendor=vendors.mark_stated(fields.get(b"origin") or fields.get(b"vendor"))
            or fields.get(b"maintainer")
            or None,
        )
        packages.append(replace(package, purl=write_package_url(package, "", None)))
    if not is_status_file and not packages and not removed_names:
        raise UnreadableError("it has no entry")
    return Extract(packages=tuple(packages), removed_names=tuple(removed_names))


def find_advisory_source(source: str, source_version: str, version: str) -> tuple[str, str]:
    """Return the source package that advisories name, and its version.

    Signed kernels have sources of their own (Debian's linux-signed-amd64, Ubuntu's linux-signed-hwe-6.8), with the
    version of the kernel that was signed.
    """
    if source != _SIGNED_KERNEL and not source.startswith(f"{_SIGNED_KERNEL}-"):
        return source, source_version
    kernel = source.replace(_SIGNED_KERNEL, "linux", 1)
    for arch in _SIGNED_ARCHITECTURES:
        kernel = kernel.removesuffix(arch)
    return kernel, version


def _read_stanzas(file: BinaryIO, *, is_strict: bool) -> Iterator[tuple[int, dict[bytes, str]]]:
    """Yield line number and fields of each entry (deb822(5)); `is_strict`: the last line ends with a newline."""
    start, count, has_ended = 0, 0, True
    fields: dict[bytes, str] = {}
    while line := file.readline(LINE_LIMIT):
        count += 1
        has_ended = line.endswith(b"\n")
        if not has_ended and len(line) == LINE_LIMIT:
            raise UnreadableError(f"line {count} is longer than {LINE_LIMIT} bytes")
        if line[0] in b" \t":
            if not start:
                raise UnreadableError(f"line {count}: a continuation line follows no field")
            continue
        if line in (b"\n", b"\r\n"):
            if start:
                yield start, fields
            start, fields = 0, {}
            continue
        name, colon, value = line.partition(b":")
        name = name.rstrip().lower()
        if not colon or not name or b" " in name or b"\0" in line:
            raise UnreadableError(f"line {count} is not a field, {decode_text(line[:60].rstrip())!r}")
        start = start or count
        if name in _FIELDS:
            if name in fields:
                raise UnreadableError(f"line {count}: {decode_text(name)} occurs twice in one entry")
            fields[name] = decode_text(value.strip())
    if is_strict and not has_ended:
        raise UnreadableError(f"line {count}: the file ends in the middle of a line")
    if start:
        yield start, fields


def list_paths(lines: Iterator[bytes]) -> tuple[str, ...]:
    """Read the paths of a list, without folders that the next line shows to be folders."""
    paths: list[str] = []
    for line in lines:
        path = decode_path(line).lstrip("/").removeprefix("./")
        if paths and path.startswith(paths[-1] + "/"):
            paths.pop()
        if path and path != ".":
            paths.append(path)
    return tuple(paths)


def has_copyright(name: str, paths: tuple[str, ...]) -> bool:
    """Return whether the list has the copyright file of Debian Policy 12.5, or a link to another's.

    The list also names files that the system's `path-exclude` did not unpack.
    """
    documents = f"usr/share/doc/{name.partition(':')[0]}"
    return f"{documents}/copyright" in paths or documents in paths


def write_package_url(package: Package, namespace: str, distro: str | None, vendor: str | None = None) -> str:
    """Write the package URL, with the source as `upstream` if it differs, because advisories name it."""
    source: str | None = None
    if package.source_version != package.version:
        source = f"{package.source_name}@{package.source_version}"
    elif package.source_name != package.name:
        source = package.source_name
    qualifiers = {"arch": package.arch, "distro": distro, "upstream": source, "vendor": vendor}
    return write_purl("deb", namespace, package.name, package.version, qualifiers)
