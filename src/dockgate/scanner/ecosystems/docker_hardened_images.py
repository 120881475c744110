"""Software that Docker compiles into its hardened images: an SPDX document for each component.

These are not packages of the distribution; they have package URLs of the type "dhi" (anchore/syft,
syft/pkg/cataloger/dhi). No feed covers them, so their versions have no order: they are listed, and never reported as
clean. Anything else in a document (the image, built-in parts) is found by its own files, or is not a package.
"""

from typing import BinaryIO

from dockgate.scanner.formats.content import read_json_object
from dockgate.scanner.formats.spdx import read_packages
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, check_purl
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

FILE_LIMIT = 8 * 1024 * 1024  # bytes of a document; most have one thousand

_ROOT = "opt/docker/sbom/"


class Dhi(StandaloneEcosystem):
    """Docker's own builds in hardened images, covered by no feed."""

    name = "docker_hardened_images"
    version = 1
    purl_types: tuple[str, ...] = ("dhi",)
    triggers = Triggers(prefixes=(_ROOT,))
    # Nothing in such an image installs them.
    upgrade_line = UpgradeLine("+-._", "# Build on a newer image of Docker's, with {list} or later.")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Match documents in folders of components; next to these is a link to the image's own."""
        folder, _, name = path.removeprefix(_ROOT).rpartition("/")
        return path.startswith(_ROOT) and bool(folder) and name.startswith(".spdx.") and name.endswith(".json")

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        content = read_json_object(file, FILE_LIMIT)
        packages, unread_parts = read_packages(
            content, "dhi", lambda name, version, _: _make_package(name, version, path), should_ignore_invalid=True
        )
        return Extract(tuple(packages.values()), unread_parts=unread_parts)

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:dhi/NAME@VERSION")
        return _make_package(purl.name, purl.version, "")


ECOSYSTEM: Ecosystem = Dhi()


def _make_package(name: str, version: str, path: str) -> Package:
    return Package(name, version, write_purl("dhi", "", name, version), "DHI", name, version, path)
