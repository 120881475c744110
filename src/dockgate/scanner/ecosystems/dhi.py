"""Software that Docker compiles into its hardened images: an SPDX document for each component.

These are not packages of the distribution; they have package URLs of the type "dhi" (anchore/syft,
syft/pkg/cataloger/dhi). No feed covers them, so their versions have no order: they are listed, and never reported as
clean. Anything else in a document (the image, built-in parts) is found by its own files, or is not a package.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.formats.content import json_object
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.spdx import read_packages
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UncomparableError
from dockgate.shared.purl import Purl, write

# Bytes of a document; most have one thousand.
FILE_LIMIT = 8 * 1024 * 1024

_ROOT = "opt/docker/sbom/"
_PURL = "pkg:dhi/"


class Dhi(StandaloneEcosystem):
    """Docker's own builds in hardened images, covered by no feed."""

    name = "dhi"
    version = 1
    purl_types: tuple[str, ...] = ("dhi",)
    triggers = Triggers(prefixes=(_ROOT,))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Each component has a folder; next to the folders is a link to the image's own document."""
        folder, _, name = path.removeprefix(_ROOT).rpartition("/")
        return path.startswith(_ROOT) and bool(folder) and name.startswith(".spdx.") and name.endswith(".json")

    def read(self, path: str, file: BinaryIO) -> Extract:
        content = json_object(file, FILE_LIMIT)
        packages, unread = read_packages(content, _PURL, lambda purl: _package_of(purl, path), ignore_invalid=True)
        return Extract(tuple(packages.values()), unread=unread)

    def package_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:dhi/NAME@VERSION")
        return _package(purl.name, purl.version, "")

    def upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Nothing in such an image installs them."""
        return upgrade_command(upgrades, "+-._", "# Build on a newer image of Docker's, with {list} or later.")

    def version_key(self, version: str) -> bytes:
        raise UncomparableError(f"Versions of what Docker compiles are not ordered, such as {version[:80]!r}.")


ECOSYSTEM: Ecosystem = Dhi()


def _package(name: str, version: str, path: str) -> Package:
    return Package(name, version, write("dhi", "", name, version), "DHI", name, version, path)


def _package_of(purl: str, path: str) -> Package | None:
    from urllib.parse import unquote

    name, _, version = purl.removeprefix(_PURL).partition("#")[0].partition("?")[0].rpartition("@")
    return _package(unquote(name), unquote(version), path) if name and version else None
