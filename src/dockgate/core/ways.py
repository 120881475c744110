"""Paths that lead through symbolic links: what a layer has there lies elsewhere once it is unpacked.

Runtimes look for the folder of an entry in what is unpacked so far, so that `x/a` becomes `y/a` where this layer or one
below has made `x` a link to `y` (containerd's archive.Apply by fs.RootPath, moby's and containers/storage's by chroot).
Builders write every folder before what is in it, and a folder takes a link's place. So it is hardly ever honest, and
evidence that is written through a link stands where nobody has looked for it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from dockgate.core import osrelease
from dockgate.core.errors import ImageError
from dockgate.core.facts import View, unpack
from dockgate.core.model import Unread
from dockgate.core.ports import Ecosystem

LINKS_LIMIT = 500_000
"""Symbolic links in one layer; the fullest images in use have some ten thousand."""
PATH_LIMIT = 4096
"""Characters; no system makes a link with a longer target (symlink(2))."""
_HOPS = 40
"""links that are followed for one path, as Linux does (path_resolution(7))"""


class Ways:
    """A layer's links to what may be a folder, and the folders that its entries imply without telling of them."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self.implied: set[str] = set()
        self.known: set[str] = {""}
        """folders told of or implied so far"""
        self._count = 0

    def folder(self, path: str) -> None:
        self.known.add(path)
        self.links.pop(path, None)

    def link(self, path: str, target: str) -> None:
        """Raises ImageError for more links than any image has."""
        self._count += 1
        if self._count > LINKS_LIMIT:
            raise ImageError(f"It holds more than {LINKS_LIMIT} symbolic links.")
        self.known.discard(path)
        if ".so" not in path and len(target) <= PATH_LIMIT:
            self.links[path] = resolved(path, target)

    def imply(self, folder: str) -> None:
        while folder not in self.known:
            self.known.add(folder)
            self.implied.add(folder)
            folder = folder.rpartition("/")[0]


def resolved(path: str, target: str) -> str:
    """Where a symbolic link at `path` leads, seen from the image's root, further links apart."""
    parts = [] if target.startswith("/") else path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def astray(view: View, ecosystems: Sequence[Ecosystem]) -> Iterator[Unread]:
    """Files that lie, once unpacked, where evidence is looked for, and were not read as such: one of each layer."""
    links: dict[str, str] = {}
    for at, facts in enumerate(view.facts):
        for path in facts.whiteouts:
            links.pop(path, None)
        links.update(facts.ways)
        places = _Places(links, facts.implied)
        if not places.elsewhere:
            continue
        read = {(one.path, one.ecosystem) for one in facts.reads if not one.linked}
        told = {path for path, _ in read}
        for path in unpack(facts.files):
            place = places.of(path)
            if place == path:
                continue
            kinds = [one.name for one in ecosystems if one.wants(place, 0, 0, b"")]
            if view.alive(path, at):
                missed = any((path, kind) not in read for kind in kinds)
            elif view.alive(place, at):  # what has removed the link has left it
                missed = bool(kinds) or path in told
            else:
                continue
            if missed or (place in osrelease.PATHS and path not in osrelease.PATHS):
                yield Unread(path, f"{path} goes through a link to {place}, as which it was not read.", facts.layer)
                break


class _Places:
    """Where a layer's paths lie, by the links there are. `elsewhere`: some lie elsewhere than they say."""

    def __init__(self, links: Mapping[str, str], implied: Collection[str]) -> None:
        self._links = links
        self._implied = set(implied)
        self._known = {"": ""}
        self.elsewhere = bool(links) and any(self._folder(path) != path for path in implied)

    def of(self, path: str) -> str:
        above, _, name = path.rpartition("/")
        return _joined(self._folder(above), name)

    def _folder(self, path: str) -> str:
        """Folders that the layer itself tells of have taken the place of any link there."""
        wanted = []
        while path not in self._known:
            wanted.append(path)
            path = path.rpartition("/")[0]
        place = self._known[path]
        for path in reversed(wanted):
            place = _joined(place, path.rpartition("/")[2])
            if path in self._implied and place in self._links:
                place = self._followed(place)
            self._known[path] = place
        return place

    def _followed(self, path: str) -> str:
        """The end of the links at `path` and above it; the path itself where there is none, for links in a circle."""
        done, rest, hops = "", path, 0
        while rest:
            name, _, rest = rest.partition("/")
            done = _joined(done, name)
            if done in self._links:
                hops += 1
                if hops > _HOPS:
                    return path
                done, rest = "", _joined(self._links[done], rest)
        return done


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name
