"""Promise 7: an image may not edit its own evidence. Here is every reason to doubt what an image says of itself.

The central question is always from which layer a file comes that is still there (`View.origins`): real tools that
remove or replace a package do so with its files in the same layer; who only edits the database leaves them behind.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

from dockgate.core import osrelease
from dockgate.core.facts import Read, View, unpack
from dockgate.core.model import Distribution, Package, Unread
from dockgate.core.ports import Ecosystem

_LOADERS = ("ld-linux", "ld-musl", "libc.so.6", "ld.so.1", "ld64.so")


def doubts(view: View, ecosystems: Sequence[Ecosystem]) -> Iterator[Unread]:
    """An unread entry for each thing in the image's evidence that cannot be believed."""
    databases = [_Database(view, kind) for kind in ecosystems if kind.distributions]
    yield from _links(view)
    yield from _system(view, databases)
    for database in databases:
        yield from database.doubts()
        yield from _identity(view, database)
    for kind in ecosystems:
        if not kind.distributions:
            yield from _language(view, kind)


def _links(view: View) -> Iterator[Unread]:
    """Symbolic links at paths of evidence which lead to what is not read as evidence."""
    linked = [(at, facts, *link) for at, facts in enumerate(view.facts) for link in facts.links.items()]
    if not linked:
        return
    read = {entry.path for _, entry in view.live}
    read |= {path.rpartition("/")[0] for path in read}
    for at, facts, path, target in linked:
        known = view.releases if path in osrelease.PATHS else read
        if target not in known and view.alive(path, at):
            yield Unread(path, f"{path} is a link to {target or '/'}, which was not read.", facts.layer)


def _system(view: View, databases: "Sequence[_Database]") -> Iterator[Unread]:
    """The distribution that the image names, and the package database which that one has."""
    distribution = view.distribution
    living = [database for database in databases if database.live]
    if distribution is None:
        if living and not view.releases:
            name = living[0].kind.name
            reason = f"There is a {name} database, yet no os-release names the distribution that it is of."
            yield Unread(osrelease.PATHS[0], reason)
        elif not living and not any(read.packages for _, read in view.live):
            yield Unread("/", "The image names no operating system, and holds no package and no package database.")
        elif not living and any(_is_loader(path) and list(view.origins(path)) for path in view.files()):
            yield Unread("/", "The image holds a C library, yet neither an os-release nor a package database.")
        return
    path = next(path for path in osrelease.PATHS if path in view.releases)
    name = distribution.name or distribution.id
    theirs = [database for database in databases if _serves(database.kind, distribution)]
    if not theirs:
        yield Unread(path, f"Packages of {name} are not read: its package database is of no known kind.")
    elif not any(database.live for database in theirs):
        places = ", ".join(place for database in theirs for place in database.kind.databases)
        yield Unread(path, f"The image is {name}, yet holds no package database of it ({places}).")


def _is_loader(path: str) -> bool:
    return path.rpartition("/")[2].startswith(_LOADERS)


def _serves(kind: Ecosystem, distribution: Distribution) -> bool:
    return any(name in kind.distributions for name in (distribution.id, *distribution.like))


class _Database:
    """A distribution's packages through the layers. A package is called by its name and architecture here."""

    def __init__(self, view: View, kind: Ecosystem) -> None:
        self.view = view
        self.kind = kind
        self.told = [
            (at, read)
            for at, facts in enumerate(view.facts)
            for read in facts.reads
            if read.ecosystem == kind.name and not read.owns and self._is_database(read.path)
        ]
        """every database file of every layer, base first"""
        self.live = [(at, read) for at, read in self.told if view.alive(read.path, at)]
        self.packages = {(one.name, one.arch): one for _, read in self.live for one in read.packages}

    def doubts(self) -> Iterator[Unread]:
        removed = list(self._removed())
        yield from removed
        if any(read.unread for _, read in self.live) or (removed and not self.live):
            return
        if self.live and not self.packages:
            yield self._unread(*self.live[-1], "holds no package")
        elif self.told:
            yield from self._changed()
            yield from self._strays()
        elif self.lists:
            at, path, *_ = next(iter(self.lists.values()))[0]
            reason = f"{path} lists files of a package, yet there is no package database."
            yield Unread(path, reason, self.view.facts[at].layer)

    def history(self, name: str, arch: str) -> list[tuple[int, Package]]:
        """What each layer's database said of a package, base first."""
        return self._history.get((name, arch), [])

    def owners(self, path: str) -> Iterator[tuple[int, str]]:
        """Whose list names the path, and in which layer."""
        return iter(self._owners.get(path, ()))

    def rewritten(self, since: int) -> bool:
        return any(at >= since for at, _ in self.told)

    @cached_property
    def lists(self) -> dict[str, list[tuple[int, str, str]]]:
        """Evidence name -> layer, path and packed paths of each of its lists."""
        lists: dict[str, list[tuple[int, str, str]]] = {}
        for at, facts in enumerate(self.view.facts):
            for read in facts.reads:
                if read.ecosystem == self.kind.name:
                    for name, owned in read.owns.items():
                        lists.setdefault(name, []).append((at, read.path, owned))
        return lists

    @cached_property
    def _history(self) -> dict[tuple[str, str], list[tuple[int, Package]]]:
        history: dict[tuple[str, str], list[tuple[int, Package]]] = {}
        for at, read in self.told:
            for package in read.packages:
                history.setdefault((package.name, package.arch), []).append((at, package))
        return history

    @cached_property
    def _owners(self) -> dict[str, list[tuple[int, str]]]:
        owners: dict[str, list[tuple[int, str]]] = {}
        for name, lists in self.lists.items():
            for at, _, owned in lists:
                for path in unpack(owned):
                    owners.setdefault(path, []).append((at, name))
        return owners

    @cached_property
    def _installed(self) -> set[str]:
        return {name for package in self.packages.values() for name in _evidence_names(package)}

    def _is_database(self, path: str) -> bool:
        return any(path == place or (place.endswith("/") and path.startswith(place)) for place in self.kind.databases)

    def _unread(self, at: int, read: Read, what: str) -> Unread:
        return Unread(read.path, f"{read.path} {what}.", self.view.facts[at].layer)

    def _removed(self) -> Iterator[Unread]:
        """Databases removed above the layer that wrote them."""
        alive = {read.path for _, read in self.live}
        for path, (at, read) in {read.path: (at, read) for at, read in self.told}.items():
            if path in alive:
                continue
            if path in self.kind.databases:
                yield self._unread(at, read, "was removed by a layer above the one that wrote it")
            elif not any(self._owned(package) for package in read.packages):
                yield self._unread(
                    at, read, "was removed, and no list tells whether the files of its package were, too"
                )

    def _changed(self) -> Iterator[Unread]:
        """Entries that went, or changed their version, while their files stayed as they were."""
        if len(self.told) == len(self.live):
            return
        for (name, arch), history in self._history.items():
            last, package = history[-1]
            now = self.packages.get((name, arch))
            if now is None:
                left = next(self._left(package, last), "")
                if left:
                    reason = (
                        f"{name} {package.version} is no longer in the package database, yet its file {left} is there."
                    )
                    yield Unread(package.path, reason, self.view.facts[last].layer)
                continue
            before = next(((at, old) for at, old in reversed(history) if old.version != now.version), None)
            if before and self._kept(now, before[0]):
                reason = (
                    f"{name} became {now.version} in the package database, yet all its files are those of "
                    f"{before[1].version}."
                )
                yield Unread(now.path, reason, self.view.facts[last].layer)

    def _strays(self) -> Iterator[Unread]:
        """Lists of packages of which no database says anything, while their files are there."""
        known = {name for history in self._history.values() for _, one in history for name in _evidence_names(one)}
        for name, lists in self.lists.items():
            if name in known:
                continue
            for at, path, owned in lists:
                for file in unpack(owned):
                    if at in self._live_origins(file) and not self._taken(file, at, {name}):
                        reason = f"{name} is in no package database, yet {path} lists its file {file}, which is there."
                        yield Unread(path, reason, self.view.facts[at].layer)
                        break

    def _left(self, package: Package, last: int) -> Iterator[str]:
        """Files of a removed package that are those of its time, and that no other package had then."""
        names = _evidence_names(package)
        for file in self._owned(package):
            for at in self._live_origins(file):
                if at <= last and not self._taken(file, at, names):
                    yield file

    def _kept(self, package: Package, before: int) -> bool:
        origins = {at for file in self._owned(package) for at in self._live_origins(file)}
        return bool(origins) and max(origins) <= before

    def _owned(self, package: Package) -> list[str]:
        names = _evidence_names(package)
        return [file for name in names for _, _, owned in self.lists.get(name, ()) for file in unpack(owned)]

    def _live_origins(self, file: str) -> list[int]:
        """Configuration is the administrator's: it stays when a package goes, and is kept when one is upgraded."""
        return [] if file.startswith("etc/") else list(self.view.origins(file))

    def _taken(self, file: str, at: int, names: set[str]) -> bool:
        """Whether another installed package had the file when layer `at` brought it: a later owner brings its own."""
        return any(
            layer <= at and name not in names and name in self._installed for layer, name in self._owners.get(file, ())
        )


def _evidence_names(package: Package) -> set[str]:
    return {package.name, f"{package.name}:{package.arch}"}


def _identity(view: View, database: _Database) -> Iterator[Unread]:
    """The distribution renamed, though its packages are those of the one before."""
    now = view.distribution
    places = {*osrelease.PATHS, "etc", "usr", "usr/lib"}
    touching = [
        at
        for at, facts in enumerate(view.facts)
        if facts.releases or facts.opaques or places.intersection(facts.links) or places.intersection(facts.whiteouts)
    ]
    if now is None or not database.live or len(touching) < 2:
        return
    since = touching[-1]
    for at in reversed(touching[:-1]):
        was = View(view.facts[: at + 1]).distribution
        if was and (was.id, was.version) != (now.id, now.version):
            break
        since = at
    else:
        return
    if not database.rewritten(since) or _owner_kept(database, since):
        path = next(path for path in osrelease.PATHS if path in view.releases)
        reason = (
            f"{path} says {now.id} {now.version} where a layer below says {was.id} {was.version}, "
            "yet the packages were not changed with it."
        )
        yield Unread(path, reason, view.facts[since].layer)


def _owner_kept(database: _Database, since: int) -> bool:
    """Whether the package that owns os-release is still that of before `since`: another release brings another."""
    names = {name for path in osrelease.PATHS for at, name in database.owners(path) if at < since}
    for (name, arch), package in database.packages.items():
        if names & _evidence_names(package):
            return any(at < since and old.version == package.version for at, old in database.history(name, arch))
    return False


def _language(view: View, kind: Ecosystem) -> Iterator[Unread]:
    """Language packages whose own file went, or changed its version, while their other files stayed as they were."""
    history: dict[str, list[tuple[int, Read]]] = {}
    records: dict[str, list[str]] = {}
    for at, facts in enumerate(view.facts):
        for read in facts.reads:
            if read.ecosystem == kind.name:
                history.setdefault(read.path, []).append((at, read))
                for owned in read.owns.values():
                    records.setdefault(read.path.rpartition("/")[0], []).append(owned)
    for path, reads in history.items():
        told = [(at, read) for at, read in reads if read.packages]
        last, newest = reads[-1]
        alive = view.alive(path, last)
        if not told or (alive and newest.unread) or (alive and len(reads) == 1):
            continue
        now = [(one.name, one.version) for one in newest.packages] if alive else []
        before = next(
            (item for item in reversed(told) if [(one.name, one.version) for one in item[1].packages] != now), None
        )
        if before is None:
            continue
        package = before[1].packages[0]
        packed = records.get(path.rpartition("/")[0], [])
        origins = {at for file in _files(view, path, packed) for at in view.origins(file)}
        if now and origins and max(origins) <= before[0]:
            reason = (
                f"{path} became {' '.join(now[0])}, yet all its files are those of {package.name} {package.version}."
            )
            yield Unread(path, reason, view.facts[last].layer)
        elif not now and origins and min(origins) <= before[0]:
            reason = f"{path} no longer tells of {package.name} {package.version}, yet files of it are there."
            yield Unread(path, reason, view.facts[before[0]].layer)


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
