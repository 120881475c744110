"""Folders in which software lies that no package database of the image's own root speaks of."""

from collections.abc import Iterator

from dockgate.core.facts import View
from dockgate.core.model import Unread

_STORES = {
    "nix/store": "Nix' store",
    "gnu/store": "Guix' store",
    "snap": "snaps",
    "var/lib/snapd/snaps": "snaps",
    "var/lib/flatpak/app": "Flatpak's applications",
    "var/lib/flatpak/runtime": "Flatpak's runtimes",
    "var/lib/docker/overlay2": "Docker's images and containers",
}
"""by their paths from the root, or, where these have several parts, from any folder: a link may lead there"""
_ANYWHERE = {
    "Cellar": "Homebrew's packages",
    ".spack-db": "Spack's packages",
    "io.containerd.content.v1.content": "containerd's images",
    "status.d": "packages of another root's dpkg",
}
"""by their names, wherever they lie"""
_OWN = "var/lib/dpkg/status.d"
FOLDER_NAMES = (*_ANYWHERE, *sorted({path.rpartition("/")[2] for path in _STORES}))


def store_of(path: str) -> str | None:
    """What a folder of that path holds which is not read, None where it is none of these."""
    name = path[path.rfind("/") + 1 :]
    if name == "status.d" and not path.endswith(f"/{_OWN}"):
        return None
    for place, what in _STORES.items():
        if path == place or ("/" in place and path.endswith(f"/{place}")):
            return what
    return _ANYWHERE.get(name)


def stores(view: View) -> Iterator[Unread]:
    """An unread entry for each such folder with files in it. Raises UnreadableError when there are too many files to
    look through."""
    seen: set[str] = set()
    for facts in view.facts:
        for folder in (*facts.folders, *facts.implied):
            what = store_of(folder)
            if what is None or folder in seen:
                continue
            seen.add(folder)
            for path in view.under(f"{folder}/"):
                at = next(iter(view.origins(path)), None)
                if at is not None:
                    reason = f"{folder} holds {what}, which are not read."
                    yield Unread(folder, reason.replace("store, which are", "store, which is"), view.facts[at].layer)
                    break
