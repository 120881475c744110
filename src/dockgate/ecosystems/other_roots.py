"""Software of another root in the image: package databases below a folder, images, and file systems in one file.

Their packages are not judged, for nothing says whether anything of them runs; they are named, so that an image which
carries them is not taken for clean. Folders such as Nix' store are looked for by `core.other_roots`.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.core.errors import UncomparableError, UnreadableError, UsageError
from dockgate.core.model import Distribution, Package
from dockgate.core.other_roots import FOLDER_NAMES, store_of
from dockgate.core.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.core.purl import Purl

LIST_LIMIT = 16 * 1024 * 1024
"""Bytes of a container engine's list of images or layers."""

_DATABASES = (
    "/var/lib/dpkg/status",
    "/lib/apk/db/installed",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/Packages.db",
    "/usr/share/rpm/rpmdb.sqlite",
    "/var/db/pkg/local.sqlite",
    "/var/lib/pacman/local/ALPM_DB_VERSION",
)
_OWN = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
"""databases of the root itself that end as one of another does"""
_LAYOUT = "oci-layout"
_LISTS = ("/image/overlay2/repositories.json", "/overlay-layers/layers.json", "/vfs-layers/layers.json")
_FILE_SYSTEMS = {b"hsqs": "a squashfs file system, such as a snap", b"QFI\xfb": "a disk image of a virtual machine"}
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")


class OtherRoots:
    name = "other_roots"
    version = 1
    orders: tuple[str, ...] = ()
    optional_epoch = False
    optional_local_label = False
    purls: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    triggers = Triggers(
        names=(
            *sorted({path.rpartition("/")[2] for path in (*_DATABASES, *_LISTS)}),
            _LAYOUT,
            *FOLDER_NAMES,
        ),
        suffixes=tuple(sorted({"." + name.rpartition(".")[2] for name in _ARCHIVES})),
        magics=tuple(_FILE_SYSTEMS),
    )

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not head:
            return store_of(path) is not None
        if head[:4] in _FILE_SYSTEMS or path.lower().endswith(_ARCHIVES):
            return True
        return _is_database(path) or path.endswith(_LISTS) or path.rpartition("/")[2] == _LAYOUT

    def read(self, path: str, file: BinaryIO) -> Extract:
        """Raises UnreadableError for all that holds software; what turns out to hold none says nothing."""
        head = file.read(4)
        file.seek(0)
        if head in _FILE_SYSTEMS:
            raise UnreadableError(f"it is {_FILE_SYSTEMS[head]}, whose content is not read")
        if _is_database(path):
            if head:
                root = next(path[: -len(end)] for end in _DATABASES if path.endswith(end))
                raise UnreadableError(f"it is the package database of another root, {root.removesuffix('/usr')}")
        elif path.endswith(_LISTS):
            _read_list(file)
        elif path.rpartition("/")[2] == _LAYOUT:
            if b"imageLayoutVersion" in file.read(4096):
                raise UnreadableError("it is of an image layout, whose images are not read")
        elif path.lower().endswith(_ARCHIVES):
            from dockgate.ecosystems._tar_names import is_image

            if is_image(file):
                raise UnreadableError("it is an archive of an image, which is not read")
        return Extract()

    def settle(self, package: Package, distribution: Distribution) -> Package:
        return package

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        raise UsageError(f"{purl} is of no known type.", "Other roots have no package URLs.")

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        return ()

    def key(self, version: str) -> bytes:
        raise UncomparableError("Other roots have no versions.")


ECOSYSTEM: Ecosystem = OtherRoots()


def _is_database(path: str) -> bool:
    return path.endswith(_DATABASES) and path not in _OWN


def _read_list(file: BinaryIO) -> None:
    """A new store's list is empty."""
    from dockgate.ecosystems._text import json_value

    content = json_value(file, LIST_LIMIT)
    if content.get("Repositories", content) if isinstance(content, dict) else content:
        raise UnreadableError("it lists images of a container engine, which are not read")
