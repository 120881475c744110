"""Promise 7 for language packages, whose evidence is a file of each package's own: see `checks`."""

from collections.abc import Iterator
from functools import cached_property

from dockgate.scanner.layer_index import Read, View, unpack
from dockgate.scanner.model import Package, Unread
from dockgate.scanner.ports import Ecosystem

_INFO = (".dist-info", ".egg-info", "egg-info")


def doubts(view: View, kind: Ecosystem) -> Iterator[Unread]:
    """Language packages whose own file went, or changed its version, while their other files stayed as they were.
    Raises UnreadableError, after those found so far, when that would take too long to tell."""
    history: dict[str, list[tuple[int, Read]]] = {}
    for at, read in view.told_by(kind.name):
        if not read.linked or view.leads(read.path.rpartition("/")[0]):
            history.setdefault(read.path, []).append((at, read))
    records = _Records(history)
    for path, reads in history.items():
        told = [(at, read) for at, read in reads if read.packages and not (read.alone or read.lock)]
        last, newest = reads[-1]
        alive = view.alive(path, last)
        if not told or (alive and newest.unread) or (alive and len(reads) == 1):
            continue
        now = {one.name: one.version for one in newest.packages} if alive else {}
        single = all(len(read.packages) == 1 for _, read in told)
        for package, at in _gone(told, now).items():
            files = _belonging(view, path, package, records, alone=single and not any(read.owner for _, read in told))
            if not any(origin <= at for file in files for origin in view.origins(file)):
                continue
            name = package.name if package.name in now else next(iter(now), "") if single else ""
            if name:
                reason = f"{path} became {name} {now[name]}, yet there are files of {package.name} {package.version}."
                yield Unread(path, reason, view.facts[last].layer)
            else:
                reason = f"{path} no longer tells of {package.name} {package.version}, yet files of it are there."
                yield Unread(path, reason, view.facts[at].layer)

    yield from _nameless(view, kind)


class Locks:
    """What the image's lockfiles count for: the packages that they name and that are not installed.

    An entry is installed when the image holds the package in that version, or, for one that names no version, in any.
    """

    def __init__(self, view: View) -> None:
        self._versions: set[tuple[str, str, str]] = set()
        self._owned: set[str] = set()
        if not any(read.lock for _, read in view.live):
            return
        for _, read in view.live:
            if not read.lock:
                for one in read.packages:
                    self._versions.add((one.ecosystem, one.source_name, one.source_version))
                    self._versions.add((one.ecosystem, one.source_name, ""))
                for packed in read.owns.values():
                    if packed.endswith("/") or "/\0" in packed:
                        self._owned.update(path for path in unpack(packed) if path.endswith("/"))

    def installed(self, package: Package) -> bool:
        return (package.ecosystem, package.source_name, package.source_version) in self._versions

    def idle(self, read: Read) -> bool:
        """Whether it does not count at all: most of it is installed (what is for other platforms, or optional, is then
        left out on purpose), or it lies in an installed package."""
        if any(folder in self._owned for folder in _folders(read.path)):
            return True
        return bool(read.packages) and 2 * sum(map(self.installed, read.packages)) >= len(read.packages)


def _folders(path: str) -> Iterator[str]:
    """Every folder above it, "a/" and "a/b/" for "a/b/c"."""
    at = path.find("/")
    while at >= 0:
        yield path[: at + 1]
        at = path.find("/", at + 1)


def _gone(told: list[tuple[int, Read]], now: dict[str, str]) -> dict[Package, int]:
    """The packages of which a file told before and which it no longer names so, each with the last layer that did: of
    several versions the newest."""
    gone: dict[str, tuple[Package, int]] = {}
    for at, read in told:
        for package in read.packages:
            if now.get(package.name) != package.version:
                gone[package.name] = package, at
    return dict(gone.values())


class _Records:
    """What packages own, by the file that says so: one that tells of the package itself, or one beside that."""

    def __init__(self, history: dict[str, list[tuple[int, Read]]]) -> None:
        self._own: dict[tuple[str, str], list[str]] = {}
        self._beside: dict[str, list[str]] = {}
        for path, reads in history.items():
            for _, read in reads:
                for name, packed in read.owns.items():
                    self._own.setdefault((path, name), []).append(packed)
                    if not read.packages:
                        self._beside.setdefault(path.rpartition("/")[0], []).append(packed)

    def of(self, path: str, purl: str) -> list[str]:
        """The packed paths of the package of which the file at `path` tells."""
        return self._own.get((path, purl)) or self._beside.get(path.rpartition("/")[0], [])

    @cached_property
    def all(self) -> frozenset[str]:
        """Every path that is any package's."""
        return frozenset(path for owned in self._own.values() for packed in owned for path in unpack(packed))


def _belonging(view: View, path: str, package: Package, records: _Records, *, alone: bool) -> Iterator[str]:
    """The package's other files: those recorded as its own, or, without a record and when the file at `path` tells of
    it `alone`, what lies beside that and is nobody else's. Distributions leave the records away, and have lists."""
    recorded = records.of(path, package.purl)
    if recorded:
        return _files(view, path, recorded)
    return _beside(view, path, records) if alone else iter(())


def _nameless(view: View, kind: Ecosystem) -> Iterator[Unread]:
    """Records of files without the file beside them that names their package, in any layer."""
    named = {read.path.rpartition("/")[0] for _, read in view.told_by(kind.name) if read.packages or read.unread}
    for at, read in view.told_by(kind.name):
        folder = read.path.rpartition("/")[0]
        if read.owns and folder not in named and view.alive(read.path, at):
            listed = (file for file in _files(view, read.path, list(read.owns.values())) if not file.startswith(folder))
            there = next((file for file in listed if any(True for _ in view.origins(file))), "")
            if there:
                reason = f"{read.path} lists {there}, which is there, yet nothing names the package that it is of."
                yield Unread(read.path, reason, view.facts[at].layer)


def _files(view: View, evidence: str, packed: list[str]) -> Iterator[str]:
    """What a language package owns besides its own evidence, the packages nested in its folder apart."""
    for owned in packed:
        for path in unpack(owned):
            if not path.endswith("/"):
                yield path
                continue
            for file in view.under(path):
                if file != evidence and "/node_modules/" not in file[len(path) - 1 :]:
                    yield file


def _beside(view: View, evidence: str, records: _Records) -> Iterator[str]:
    """What may belong to a language package without any record: all in its folder that no other package records."""
    own, _, _ = evidence.rpartition("/")
    folder = own.rpartition("/")[0] + "/" if own.lower().endswith(_INFO) else own + "/"
    for file in view.under(folder):
        inner = file[len(folder) :].partition("/")[0]
        if file not in records.all and not inner.lower().endswith(_INFO) and not file.endswith(".pyc"):
            yield file
