"""Find folders of software that no package database of the image lists.

These are Nix, snaps, container storage and so on.
"""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from dockgate.scanner.layer_index import LayerStack
from dockgate.scanner.model import Unread


class _Store(NamedTuple):
    """A kind of folder.

    `paths` are its paths from the root. A path with several parts also counts below any folder, a path that begins
    with "/" everywhere. With `marks`, a folder counts only if the path of a file in it, between slashes, contains one.
    """

    description: str
    paths: tuple[str, ...]
    marks: tuple[str, ...] = ()


# Storage drivers of Docker and of podman, by the folders that each has.
DRIVERS = ("aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "overlay2", "vfs", "zfs")
_SNAPSHOTTERS = (
    *("blockfile", "btrfs", "devmapper", "erofs", "fuse-overlayfs", "native"),
    *("nydus", "overlaybd", "overlayfs", "soci", "stargz", "zfs"),
)
# In the names of Slackware's packages.
_ARCHITECTURES = ("x86_64", "noarch", "i386", "i486", "i586", "i686", "x86", "aarch64", "arm", "fw")
_STORES = (
    _Store("Nix' store", ("nix/store",)),
    _Store("Guix' store", ("gnu/store",)),
    _Store("snaps", ("snap", "var/lib/snapd/snaps")),
    _Store("Flatpak's applications", ("var/lib/flatpak/app", ".local/share/flatpak/app")),
    _Store("Flatpak's runtimes", ("var/lib/flatpak/runtime", ".local/share/flatpak/runtime")),
    _Store("Homebrew's packages", ("/Cellar", "/Caskroom")),
    _Store("Spack's packages", ("/.spack-db",)),
    _Store("packages of another root's dpkg", ("/status.d",)),
    _Store(
        "Docker's images and containers",
        ("/layerdb", *(f"{data}/docker/{name}" for data in ("var/lib", ".local/share") for name in DRIVERS)),
    ),
    _Store(
        "podman's images and containers",
        tuple(f"containers/storage/{name}" for name in DRIVERS),
        ("/diff/", "/dir/", "/subvolumes/", "/graph/"),  # a store that is empty has files of the driver's own
    ),
    _Store(
        "containerd's images",
        (
            "/io.containerd.content.v1.content",
            *(f"/io.containerd.snapshotter.v1.{name}" for name in _SNAPSHOTTERS),
        ),
    ),
    _Store("BuildKit's images", tuple(f"/{kind}-{name}" for kind in ("runc", "containerd") for name in _SNAPSHOTTERS)),
    _Store("systems for containers", ("var/lib/machines", "var/lib/portables")),
    _Store("systems for containers", tuple(f"var/lib/{name}" for name in ("lxc", "lxd", "incus")), ("/rootfs/",)),
    _Store("packages of opkg", ("opkg/info", "ipkg/info"), (".control/",)),
    _Store("packages of pkgsrc", ("/pkgdb",), ("/+CONTENTS/",)),
    _Store("packages of Portage or of BSD's pkg_install", ("var/db/pkg",), ("/PF/", "/CONTENTS/", "/+CONTENTS/")),
    _Store("packages of xbps", ("var/db/xbps",), ("/pkgdb-",)),
    _Store("packages of MacPorts", ("var/macports/registry",), ("/registry.db/",)),
    _Store("packages of MacPorts", ("var/macports/software",)),
    _Store("packages of Slackware", ("lib/pkgtools/packages",)),
    _Store("packages of Slackware", ("var/log/packages",), tuple(f"-{name}-" for name in _ARCHITECTURES)),
    _Store("packages of eopkg", ("var/lib/eopkg/package", "var/lib/pisi/package"), ("/metadata.xml/",)),
    _Store("packages of pacman", ("var/lib/pacman/local",), ("/desc/",)),
    _Store("packages of Paludis", ("var/db/paludis/repositories",)),
    _Store("packages of KISS Linux", ("var/db/kiss/installed",)),
    _Store("packages of SliTaz", ("var/lib/tazpkg/installed",)),
    _Store("packages of Tiny Core Linux", ("usr/local/tce.installed",)),
    _Store("packages of IPS", ("var/pkg/state",)),
    _Store("packages of vcpkg", ("vcpkg/info",), (".list/",)),
)
_STATUS_FOLDER = "var/lib/dpkg/status.d"


@cache
def _group_by_name() -> dict[str, list[tuple[str, _Store]]]:
    """Return the stores by the last part of their paths, so that each folder is compared with few."""
    stores_by_name: dict[str, list[tuple[str, _Store]]] = {}
    for store in _STORES:
        for store_path in store.paths:
            stores_by_name.setdefault(store_path.rpartition("/")[2], []).append((store_path, store))
    return stores_by_name


FOLDER_NAMES = tuple(sorted(_group_by_name()))


def describe_store(path: str) -> str | None:
    """Return the kind of unsupported store at a path, or None."""
    store = _find_store(path)
    return store.description if store else None


def find_stores(stack: LayerStack) -> Iterator[Unread]:
    """Yield an unread entry for each such folder that has files.

    Raises UnreadableError if there are too many files.
    """
    names = _group_by_name()
    seen_paths: set[str] = set()
    for facts in stack.facts:
        for folder in (*facts.folders, *facts.implied_folders):
            if folder[folder.rfind("/") + 1 :] not in names or folder in seen_paths:
                continue
            seen_paths.add(folder)
            store = _find_store(folder)
            if store is None:
                continue
            for path in stack.list_paths_below(f"{folder}/"):
                if store.marks and not any(mark in f"{path[len(folder) :]}/" for mark in store.marks):
                    continue
                at = next(iter(stack.find_source_layers(path)), None)
                if at is not None:
                    reason = f"{folder} contains {store.description}, which are not read."
                    yield Unread(folder, reason.replace("store, which are", "store, which is"), stack.facts[at].layer)
                    break


def _find_store(path: str) -> _Store | None:
    name = path[path.rfind("/") + 1 :]
    if name == "status.d" and not path.endswith(f"/{_STATUS_FOLDER}"):
        return None
    rooted_path = f"/{path}"
    for store_path, store in _group_by_name().get(name, ()):
        if path == store_path or (
            "/" in store_path and rooted_path.endswith(store_path if store_path[0] == "/" else f"/{store_path}")
        ):
            return store
    return None
