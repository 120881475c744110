"""Software of another root in the image: package databases, images, file systems in one file.

Nothing tells whether any of it runs, so its packages are not judged. It is reported as unread, so that an image that
contains it is not called clean. The same holds for databases of package managers that are not supported, in the image's
own root too. `scanner.unsupported_stores` finds folders such as Nix' store.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.formats.executable import ELF
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem
from dockgate.scanner.unsupported_stores import DRIVERS, FOLDER_NAMES, describe_store
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl

LIST_LIMIT = 16 * 1024 * 1024  # bytes of a container engine's list of images or layers

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
# Databases of the image's own root, which end like those of another root.
_OWN_DATABASES = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_LAYOUT = "oci-layout"
# Databases, in one file, of unsupported package managers, also in the image's own root. Those in folders are in
# `scanner.unsupported_stores`.
_OTHER_MANAGERS = {"/opkg/status": "opkg", "/ipkg/status": "ipkg", "/var/lib/pkg/db": "CRUX"}
# Lists of images and layers, of Docker and podman, each with the ends of its folder.
_LISTS = {
    "repositories.json": tuple(f"/image/{name}" for name in (*DRIVERS, "overlayfs", "windowsfilter")),
    "layers.json": tuple(f"/{name}-layers" for name in DRIVERS),
    "volatile-layers.json": tuple(f"/{name}-layers" for name in DRIVERS),
    "images.json": tuple(f"/{name}-images" for name in DRIVERS),
}
_FILE_SYSTEMS = {
    b"hsqs": "a squashfs file system, such as a snap",
    b"QFI\xfb": "a disk image of a virtual machine",
    b"KDMV": "a disk image of a virtual machine",
    b"vhdx": "a disk image of a virtual machine",
    b"\x45\x3d\xcd\x28": "a cramfs file system",
}
_SHEBANG = b"#!/u"
# Magic of Singularity images, after a line for the shell, and of AppImages, in free bytes of the ELF header.
_SIF, _APP_IMAGE = b"SIF_MAGIC", b"AI\x02"
_DISKS = (".img", ".iso", ".raw", ".erofs", ".ext2", ".ext3", ".ext4", ".btrfs", ".xfs")
# Offsets and magic numbers from libmagic and the kernel's headers.
_DISK_MAGICS = (
    (0, b"XFSB", "an XFS file system"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (1080, b"\x53\xef", "an ext file system"),
    (32769, b"CD001", "an ISO 9660 file system"),
    (65600, b"_BHRfS_M", "a btrfs file system"),
)
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")


class OtherRoots(StandaloneEcosystem):
    """Software of other roots, which is only reported as unread."""

    name = "other_roots"
    version = 2
    purl_types: tuple[str, ...] = ()
    triggers = Triggers(
        names=(
            *sorted({path.rpartition("/")[2] for path in (*_DATABASES, *_OTHER_MANAGERS)}),
            *_LISTS,
            _LAYOUT,
            *FOLDER_NAMES,
        ),
        suffixes=(*sorted({"." + name.rpartition(".")[2] for name in _ARCHIVES}), *_DISKS),
        magics=(*_FILE_SYSTEMS, _SHEBANG, ELF),
    )

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not head:
            return describe_store(path) is not None
        if head[:4] == ELF and head[8:11] != _APP_IMAGE and not path.lower().endswith(_DISKS):
            return False  # most programs of an image
        if _identify_content(head) or path.lower().endswith((*_ARCHIVES, *_DISKS)):
            return True
        name = path.rpartition("/")[2]
        return name == _LAYOUT or _is_database(path) or _find_other_manager(path) is not None or _is_list(path)

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Raise UnreadableError if the file contains software; return nothing otherwise."""
        head = file.read(64)
        file.seek(0)
        content = _identify_content(head)
        if content:
            raise UnreadableError(f"it is {content}, whose content is not read")
        if head and _is_database(path):
            root = next(path[: -len(end)] for end in _DATABASES if path.endswith(end))
            raise UnreadableError(f"it is the package database of another root folder, {root.removesuffix('/usr')}")
        if head and (manager := _find_other_manager(path)):
            raise UnreadableError(f"it is the package database of {manager}, which is not read")
        if _is_list(path):
            _read_list(file)
        elif path.rpartition("/")[2] == _LAYOUT:
            if b"imageLayoutVersion" in file.read(4096):
                raise UnreadableError("it belongs to an OCI image layout; the images in it are not scanned")
        elif path.lower().endswith(_ARCHIVES):
            from dockgate.scanner.formats.image_archives import is_image

            if is_image(file):
                raise UnreadableError("it is an archive of a container image, which is not scanned")
        elif path.lower().endswith(_DISKS):
            for at, magic, description in _DISK_MAGICS:  # a picture, firmware or a boot loader has none of these
                file.seek(at)
                if file.read(len(magic)) == magic:
                    raise UnreadableError(f"it is {description}, whose content is not read")
        return Extract()

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        raise UsageError(f"{purl} has an unknown type", "Other roots have no package URLs.")

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        return ()


ECOSYSTEM: Ecosystem = OtherRoots()


def _is_database(path: str) -> bool:
    return path.endswith(_DATABASES) and path not in _OWN_DATABASES


def _find_other_manager(path: str) -> str | None:
    """Return the package manager whose one-file database is at this path."""
    return next((name for end, name in _OTHER_MANAGERS.items() if f"/{path}".endswith(end)), None)


def _is_list(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name in _LISTS and folder.endswith(_LISTS[name])


def _identify_content(head: bytes) -> str | None:
    """Return the kind of software container, by the first 64 bytes of the file; None for anything else."""
    magic = head[:4]
    if magic == ELF:
        return "an AppImage" if head[8:11] == _APP_IMAGE else None
    if magic == _SHEBANG:
        return "an image of Singularity" if _SIF in head else None
    return _FILE_SYSTEMS.get(magic)


def _read_list(file: BinaryIO) -> None:
    """Read the list, which is empty in a new store."""
    from dockgate.scanner.formats.content import read_json

    content = read_json(file, LIST_LIMIT)
    if content.get("Repositories", content) if isinstance(content, dict) else content:
        raise UnreadableError("it lists images of a container engine, which are not read")
