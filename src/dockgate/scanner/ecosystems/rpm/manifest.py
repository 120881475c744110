"""Read the manifest of a distroless image, which replaces rpm's database."""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.scanner.ecosystems.rpm.database import KEY_PACKAGE, PACKAGES_LIMIT
from dockgate.scanner.ecosystems.rpm.package import RpmPackage
from dockgate.scanner.formats import vendors
from dockgate.scanner.formats.content import decode
from dockgate.scanner.formats.order import is_digits
from dockgate.shared.errors import UnreadableError


def read_manifest(file: BinaryIO) -> Iterator[RpmPackage]:
    """Read a distroless manifest, one package a line, written by `rpm --query` with the image.

    Fields, separated by tabs, "(none)" if absent: name, version-release, two times, vendor, epoch, size, arch, epoch as
    a number, SOURCERPM.
    """
    for count, line in enumerate(file, 1):
        fields = ["" if field == "(none)" else field for field in decode(line.rstrip(b"\r\n")).split("\t")]
        if fields == [""]:
            continue
        if len(fields) < 10 or not fields[0] or not fields[1]:
            raise UnreadableError(f"line {count} is not a package: {decode(line[:60])!r}")
        if count > PACKAGES_LIMIT:
            raise UnreadableError(f"it has more than {PACKAGES_LIMIT} packages")
        name, release, vendor, arch, epoch, source = fields[0], fields[1], fields[4], fields[7], fields[8], fields[9]
        if name != KEY_PACKAGE:
            version = f"{epoch}:{release}" if is_digits(epoch) and epoch.strip("0") else release
            yield RpmPackage(name, version, arch, source, "", vendor or vendors.UNKNOWN)
