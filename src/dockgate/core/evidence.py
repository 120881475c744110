"""Promise 7: an image may not edit its own evidence. Here is every reason to doubt what an image says of itself.

The central question is always from which layer a file comes that is still there (`View.origins`): real tools that
remove or replace a package do so with its files in the same layer; who only edits the database leaves them behind.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import takewhile

from dockgate.core import languages, osrelease
from dockgate.core.facts import Read, View, unpack
from dockgate.core.model import Distribution, Package, Unread
from dockgate.core.ports import Ecosystem

_TRIES = 64
"""paths below a link's target that are looked at"""
_PROSE = tuple(f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "lintian"))
_LOADERS = ("ld-linux", "ld-musl", "libc.so.6", "ld.so.1", "ld64.so")


def doubts(view: View, ecosystems: Sequence[Ecosystem]) -> Iterator[Unread]:
    """An unread entry for each thing in the image's evidence that cannot be believed."""
    databases = [_Database(view, kind) for kind in ecosystems if kind.distributions]
    yield from _links(view, ecosystems, databases)
    yield from _system(view, databases)
    yield from _repository(view)
    for database in databases:
        yield from database.doubts()
        yield from _identity(view, database)
    for kind in ecosystems:
        if not kind.distributions:
            yield from languages.doubts(view, kind)


def _links(view: View, ecosystems: Sequence[Ecosystem], databases: "Sequence[_Database]") -> Iterator[Unread]:
    """Symbolic links at paths of evidence which lead to what is not read as evidence.

    A link that a distribution package brings along is that package's affair, unless it leads to evidence of a
    distribution.
    """
    linked = [(at, facts, *link) for at, facts in enumerate(view.facts) for link in facts.links.items()]
    if not linked:
        return
    read = sorted({entry.path for _, entry in view.live})
    known = set(read)
    for at, facts, path, target in linked:
        if not view.alive(path, at):
            continue
        kinds = [kind for kind in ecosystems if kind.wants(path, 0, 0, b"")]
        if path in osrelease.PATHS:
            fine = target in view.releases
        elif target in known or any(_reads_through(kind, path, target, read) for kind in kinds):
            fine = True
        else:
            fine = not any(kind.distributions for kind in kinds) and any(one.brings(path, at) for one in databases)
        if not fine:
            yield Unread(path, f"{path} is a link to {target or '/'}, which was not read.", facts.layer)


def _reads_through(kind: Ecosystem, path: str, target: str, read: list[str]) -> bool:
    """Whether what is below the folder `target` is read there just as it would be below `path`, were that a folder."""
    if not kind.wants(target, 0, 0, b""):
        return False
    below = target + "/"
    for at in range(first := bisect_left(read, below), min(first + _TRIES, len(read))):
        rest = read[at].removeprefix(target)
        if not read[at].startswith(below):
            return False
        # What is wanted below any folder says nothing of these two.
        if kind.wants(path + rest, 0, 0, b"") and not kind.wants("x" + rest, 0, 0, b""):
            return True
    return False


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


def _repository(view: View) -> Iterator[Unread]:
    """Package repositories of another release than the distribution's: packages would be judged by that one's word."""
    distribution = view.distribution
    for at, read in view.live:
        release = read.release.removeprefix("v")
        if distribution and release[:1].isdigit() and not f"{distribution.version}.".startswith(f"{release}."):
            reason = f"{read.path} serves {read.release}, where os-release says {distribution.version}."
            yield Unread(read.path, reason, view.facts[at].layer)


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
            if read.ecosystem == kind.name and (read.packages or not read.owns) and self._is_database(read.path)
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

    def brings(self, path: str, layer: int) -> bool:
        """Whether a package that came with `layer` owns the path."""
        return any(at == layer and self._introduced(name, at) for at, name in self._owners.get(path, ()))

    def rewritten(self, since: int) -> bool:
        return any(at >= since for at, _ in self.told)

    @cached_property
    def lists(self) -> dict[str, list[tuple[int, str, str]]]:
        """Evidence name -> layer, path and packed paths of each of its lists.

        Where the database itself holds the lists, each layer that has it repeats them all: what says nothing new of a
        package that did not change is left out.
        """
        lists: dict[str, list[tuple[int, str, str]]] = {}
        for at, facts in enumerate(self.view.facts):
            for read in facts.reads:
                if read.ecosystem == self.kind.name:
                    for name, owned in read.owns.items():
                        known = lists.setdefault(name, [])
                        if not known or known[-1][2] != owned or self._introduced(name, at):
                            known.append((at, read.path, owned))
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
    def _since(self) -> dict[str, int]:
        """Evidence name of an installed package -> the layer since which the database tells of it as it is now."""
        since: dict[str, int] = {}
        for key, package in self.packages.items():
            same = takewhile(lambda one: _identity_of(one[1]) == _identity_of(package), reversed(self._history[key]))  # noqa: B023 - used up at once
            first = min(at for at, _ in same)
            for name in _evidence_names(package):
                since[name] = max(first, since.get(name, first))
        return since

    @cached_property
    def _installed(self) -> set[str]:
        return {name for package in self.packages.values() for name in _evidence_names(package)}

    def _introduced(self, name: str, layer: int) -> bool:
        return self.view.introduced(name.partition(":")[0], layer, (self.kind.name,))

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
                what = f"{name} {package.version} is no longer in the package database"
                if left:
                    yield Unread(package.path, f"{what}, yet its file {left} is there.", self.view.facts[last].layer)
                elif package.path in self.kind.databases and not self._listed(package):
                    reason = f"{what}, and no list tells whether its files are there."
                    yield Unread(package.path, reason, self.view.facts[last].layer)
                continue
            current = {at for at, old in history if _identity_of(old) == _identity_of(now)}
            before = next(((at, old) for at, old in reversed(history) if at not in current), None)
            if before is None:
                continue
            what = f"{name} became {_told(now, before[1])} in the package database"
            if not self._listed(now):
                reason = f"{what}, and no list tells whether its files changed with it."
                yield Unread(now.path, reason, self.view.facts[last].layer)
            elif self._kept(now, before[0]):
                reason = f"{what}, yet its files are those of {_told(before[1], now)}."
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
        """Files of a removed package that are those of its time, and that no other package had then; or that were
        written anew by the time it was gone, and are no other package's."""
        names = _evidence_names(package)
        whole = package.path in self.kind.databases
        gone = next((at for at, _ in self.told if at > last), last) if whole else len(self.view.facts)
        for file in self._owned(package):
            for at in self._live_origins(file):
                if not self._taken(file, at, names) if at <= last else at <= gone and not self._overtaken(file, last):
                    yield file

    def _kept(self, package: Package, before: int) -> bool:
        """Whether the files are those of before.

        An upgrade writes every file of the package. Yet a builder leaves out of the layer what has the content and the
        time that it had before, which happens: packages keep the time of files that they only copy, documentation
        above all, but also scripts (apache2's a2enmod, passwd's shadowconfig). So it takes half of the files, those
        that matter most: programs and libraries if there are any. Files that are others', too, may be diverted.
        """
        names = _evidence_names(package)
        kept: list[list[bool]] = [[], [], []]
        for file in self._owned(package):
            origins = self._live_origins(file)
            if origins and all(name in names for _, name in self._owners.get(file, ())):
                rank = 2 if file.startswith(_PROSE) else 1 if file.startswith("usr/share/") else 0
                kept[rank].append(max(origins) <= before)
        code, data, prose = kept
        decisive = code or data
        return 2 * sum(decisive) >= len(decisive) if decisive else bool(prose) and all(prose)

    def _listed(self, package: Package) -> bool:
        return any(name in self.lists for name in _evidence_names(package))

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

    def _overtaken(self, file: str, last: int) -> bool:
        """Whether the file is an installed package's that had it by `last`, or that is new since: a list alone, written
        later for a package that is as it was, gives it nothing."""
        return any(
            name in self._installed and (layer <= last or self._since[name] > last)
            for layer, name in self._owners.get(file, ())
        )


def _identity_of(package: Package) -> tuple[str, str, str]:
    """All that advisories are matched by."""
    return package.version, package.source_name, package.source_version


def _told(package: Package, other: Package) -> str:
    """The version, and the source where it is that which tells the two apart."""
    if package.version != other.version:
        return package.version
    return f"{package.version} of the source {package.source_name} {package.source_version}"


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
