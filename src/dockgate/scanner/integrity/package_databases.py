"""Detect distribution packages whose database entries were changed without their files."""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from dockgate.scanner.layer_index import LayerStack, PackageFile
from dockgate.scanner.model import Package, Unread
from dockgate.scanner.ports import Ecosystem

_PROSE = tuple(f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "lintian"))

# Version, source name, source version and vendor of a package: they select the advisories.
_Identity = tuple[str, str, str, str | None]


class Database:
    """The packages of a distribution in all layers, by name and architecture.

    Some packages (kernels in rpm) have several versions at once, which are installed and removed independently.
    """

    def __init__(self, stack: LayerStack, kind: Ecosystem) -> None:
        self.stack = stack
        self.kind = kind
        # Every database file of every layer, base first.
        self.database_files = [
            (at, database)
            for at, database in stack.list_files(kind.name)
            if (database.packages or not database.owns) and self._is_database(database.path)
        ]
        self.present_files = [
            (at, database) for at, database in self.database_files if stack.is_present(database.path, at)
        ]
        # The installed packages.
        self.packages: dict[tuple[str, str | None], list[Package]] = {}
        for _, database in self.present_files:
            for package in database.packages:
                self.packages.setdefault((package.name, package.arch), []).append(package)

    def find_problems(self) -> Iterator[Unread]:
        """Yield what contradicts the database: removed databases, changed entries and unlisted packages."""
        removed_databases = list(self._find_removed_databases())
        yield from removed_databases
        yield from self._find_contradictions()
        if any(database.unread_reason for _, database in self.present_files) or (
            removed_databases and not self.present_files
        ):
            return
        if self.present_files and not self.packages:
            yield self._as_unread(*self.present_files[-1], "holds no package")
        elif self.database_files:
            yield from self._find_changed_entries()
            yield from self._find_unlisted_packages()
        elif self.lists:
            at, path, *_ = next(iter(self.lists.values()))[0]
            reason = f"{path} lists files of a package, yet there is no package database."
            yield Unread(path, reason, self.stack.facts[at].layer)

    def get_history(self, name: str, arch: str | None) -> list[tuple[int, Package]]:
        """Return the entries of a package, each with its layer, base first."""
        return self._history.get((name, arch), [])

    def list_owners(self, path: str) -> Iterator[tuple[int, str]]:
        """Return the packages whose lists name the path, each with its layer."""
        return iter(self._find_owners(path))

    def is_brought_by(self, path: str, layer: int) -> bool:
        """Return whether a package that `layer` introduced owns the path."""
        return any(at == layer and self._is_introduced(name, at) for at, name in self._find_owners(path))

    def is_rewritten_since(self, since: int) -> bool:
        """Return whether the layer `since`, or one above it, wrote a file of the database."""
        return any(at >= since for at, _ in self.database_files)

    @cached_property
    def lists(self) -> dict[str, list[tuple[int, str, str]]]:
        """Evidence name -> layer, path and packed paths of each of its lists.

        If the database contains the lists, each layer with it repeats all of them: equal lists of unchanged packages
        are left out.
        """
        lists: dict[str, list[tuple[int, str, str]]] = {}
        for at, database in self.stack.list_files(self.kind.name):
            for name, owned_paths in database.owns.items():
                earlier_lists = lists.setdefault(name, [])
                if not earlier_lists or earlier_lists[-1][2] != owned_paths or self._is_introduced(name, at):
                    earlier_lists.append((at, database.path, owned_paths))
        return lists

    @cached_property
    def _history(self) -> dict[tuple[str, str | None], list[tuple[int, Package]]]:
        history: dict[tuple[str, str | None], list[tuple[int, Package]]] = {}
        for at, database in self.database_files:
            for package in database.packages:
                history.setdefault((package.name, package.arch), []).append((at, package))
        return history

    @cached_property
    def _owners(self) -> dict[str, tuple[tuple[int, str], ...]]:
        """Path -> layers and packages whose lists name it.

        Whole lists are merged, because most paths occur once.
        """
        owners: dict[str, tuple[tuple[int, str], ...]] = {}
        shared_owners: dict[str, list[tuple[int, str]]] = {}
        for name, lists in self.lists.items():
            for at, _, owned_paths in lists:
                owner = at, name
                listed_owners = dict.fromkeys(self.stack.unpack_paths(owned_paths), (owner,))
                for path in owners.keys() & listed_owners.keys():
                    shared_owners.setdefault(path, [*owners[path]]).append(owner)
                owners.update(listed_owners)
        owners.update((path, tuple(several)) for path, several in shared_owners.items())
        return owners

    def _find_owners(self, path: str) -> tuple[tuple[int, str], ...]:
        owners = self._owners.get(path, ())
        self.stack.spend(len(owners))
        return owners

    @cached_property
    def _since(self) -> dict[str, int]:
        """Evidence name of an installed package -> the layer that introduced its present version."""
        since: dict[str, int] = {}
        for key, packages in self.packages.items():
            now = {_get_identity(package) for package in packages}
            versions_by_layer: dict[int, set[_Identity]] = {}
            for at, package in self._history[key]:
                versions_by_layer.setdefault(at, set()).add(_get_identity(package))
            first = max(versions_by_layer)
            for at in sorted(versions_by_layer, reverse=True):
                if not now <= versions_by_layer[at]:
                    break
                first = at
            for name in list_evidence_names(*key):
                since[name] = max(first, since.get(name, first))
        return since

    @cached_property
    def _installed_names(self) -> set[str]:
        return {name for key in self.packages for name in list_evidence_names(*key)}

    def _is_introduced(self, name: str, layer: int) -> bool:
        return self.stack.is_introduced(name.partition(":")[0], layer, (self.kind.name,))

    def _is_database(self, path: str) -> bool:
        return any(
            path == database_path or (database_path.endswith("/") and path.startswith(database_path))
            for database_path in self.kind.database_paths
        )

    def _as_unread(self, at: int, database: PackageFile, problem: str) -> Unread:
        return Unread(database.path, f"{database.path} {problem}.", self.stack.facts[at].layer)

    def _find_removed_databases(self) -> Iterator[Unread]:
        """Find databases that a layer above the one that wrote them removed.

        Skips a database that another one replaces completely, because rpm changes the format and distributions the
        path; its entries are then compared with those of the other.
        """
        is_present = {database.path for _, database in self.present_files}
        complete = is_present.intersection(self.kind.database_paths)
        for path, (at, database) in {database.path: (at, database) for at, database in self.database_files}.items():
            if path in is_present:
                continue
            if path in self.kind.database_paths:
                if not complete:
                    yield self._as_unread(at, database, "was removed by a layer above the one that wrote it")
            elif not any(self._list_owned_paths(package) for package in database.packages):
                yield self._as_unread(
                    at, database, "was removed, and no file list shows whether the files of its package were, too"
                )

    def _find_contradictions(self) -> Iterator[Unread]:
        """Find complete databases that list different packages. rpm would read only one of them."""
        complete = [
            (at, database)
            for at, database in self.present_files
            if database.path in self.kind.database_paths and not (database.unread_reason or database.unread_parts)
        ]
        for (_, first), (at, database) in pairwise(complete):
            first_packages, second_packages = (
                {(p.name, p.arch, p.version): p for p in database.packages} for database in (first, database)
            )
            if different := sorted(first_packages.keys() ^ second_packages.keys()):
                package = (first_packages | second_packages)[different[0]]
                reason = f"and {first.path} contradict each other: only {package.path} lists"
                yield self._as_unread(at, database, f"{reason} {package.name} {package.version}")

    def _find_changed_entries(self) -> Iterator[Unread]:
        """Find entries that were removed, or changed their version, while their files stayed the same."""
        if len(self.database_files) == len(self.present_files):
            return
        for (name, arch), history in self._history.items():
            last, package = history[-1]
            installed_packages = self.packages.get((name, arch), [])
            if _has_parallel_versions(history):
                yield from self._find_removed_versions(history, installed_packages)
                continue
            if not installed_packages:
                remaining = next(self._find_remaining_files(package, last), "")
                problem = f"{name} {package.version} is no longer in the package database"
                if remaining:
                    yield Unread(
                        package.path, f"{problem}, yet its file {remaining} is there.", self.stack.facts[last].layer
                    )
                elif package.path in self.kind.database_paths and not self._is_listed(package):
                    reason = f"{problem}, and no file list shows whether its files are there."
                    yield Unread(package.path, reason, self.stack.facts[last].layer)
                continue
            now = installed_packages[-1]
            current = {at for at, old in history if _get_identity(old) == _get_identity(now)}
            before = next(((at, old) for at, old in reversed(history) if at not in current), None)
            if before is None:
                continue
            problem = f"{name} became {_describe_difference(now, before[1])} in the package database"
            if not self._is_listed(now):
                reason = f"{problem}, and no file list shows whether its files changed with it."
                yield Unread(now.path, reason, self.stack.facts[last].layer)
            elif self._has_old_files(now, before[0]):
                reason = f"{problem}, yet its files are those of {_describe_difference(before[1], now)}."
                yield Unread(now.path, reason, self.stack.facts[last].layer)

    def _find_removed_versions(
        self, history: list[tuple[int, Package]], installed_packages: list[Package]
    ) -> Iterator[Unread]:
        """Find removed versions of a package with several versions.

        Lists do not separate the files of versions. Files that are no longer listed belonged to the removed version.
        """
        present_versions = {package.version for package in installed_packages}
        removed_versions = {
            package.version: (at, package) for at, package in history if package.version not in present_versions
        }
        for at, package in removed_versions.values():
            problem = f"{package.name} {package.version} is no longer in the package database"
            own_paths = self._list_files(package, at)
            if installed_packages:
                own_paths -= self._list_files(package, len(self.stack.facts))
            remaining = next(
                (file for file in sorted(own_paths) if min(self._find_origins(file), default=at + 1) <= at), ""
            )
            if remaining:
                yield Unread(package.path, f"{problem}, yet its file {remaining} is there.", self.stack.facts[at].layer)
            elif not own_paths:
                reason = f"{problem}, and no file list shows whether its files are there."
                yield Unread(package.path, reason, self.stack.facts[at].layer)

    def _find_unlisted_packages(self) -> Iterator[Unread]:
        """Find lists of packages that are in no database, while their files are present."""
        recorded_names = {name for key in self._history for name in list_evidence_names(*key)}
        for name, lists in self.lists.items():
            if name in recorded_names:
                continue
            for at, path, owned_paths in lists:
                for file in self.stack.unpack_paths(owned_paths):
                    if at in self._find_origins(file) and not self._is_owned_by_another(file, at, {name}):
                        reason = f"{name} is in no package database, yet {path} lists its file {file}, which is there."
                        yield Unread(path, reason, self.stack.facts[at].layer)
                        break

    def _find_remaining_files(self, package: Package, last_layer: int) -> Iterator[str]:
        """Yield files of a removed package that are still present.

        These are files from before its removal that no other package owned then, and files that were written again
        until its removal and belong to no other package.
        """
        names = list_evidence_names(package.name, package.arch)
        is_complete_list = package.path in self.kind.database_paths
        removal_layer = (
            next((at for at, _ in self.database_files if at > last_layer), last_layer)
            if is_complete_list
            else len(self.stack.facts)
        )
        for file in self._list_owned_paths(package):
            for at in self._find_origins(file):
                if (
                    not self._is_owned_by_another(file, at, names)
                    if at <= last_layer
                    else at <= removal_layer and not self._is_reclaimed(file, last_layer)
                ):
                    yield file

    def _has_old_files(self, package: Package, old_layer: int) -> bool:
        """Return whether the package still has the files of its earlier version.

        An upgrade writes every file of the package. But a builder leaves files with the same content and time out of
        the layer, and packages keep the time of files that they only copy: documentation above all, but also scripts
        (apache2's a2enmod, passwd's shadowconfig). So half of the files decide, of the most important kind: programs
        and libraries if there are any. Files that other packages owned before may be diverted, and do not count.
        """
        names = list_evidence_names(package.name, package.arch)
        is_old_by_rank: list[list[bool]] = [[], [], []]
        for file in self._list_owned_paths(package):
            source_layers = self._find_origins(file)
            if source_layers and all(name in names for at, name in self._find_owners(file) if at <= old_layer):
                rank = 2 if file.startswith(_PROSE) else 1 if file.startswith("usr/share/") else 0
                is_old_by_rank[rank].append(max(source_layers) <= old_layer)
        code, data, prose = is_old_by_rank
        decisive = code or data
        return 2 * sum(decisive) >= len(decisive) if decisive else bool(prose) and all(prose)

    def _is_listed(self, package: Package) -> bool:
        return any(name in self.lists for name in list_evidence_names(package.name, package.arch))

    def _list_files(self, package: Package, last_layer: int) -> set[str]:
        """Return the files in the newest lists up to layer `last_layer`."""
        newest_lists = {
            name: owned_paths
            for name in list_evidence_names(package.name, package.arch)
            for at, _, owned_paths in self.lists.get(name, ())
            if at <= last_layer
        }
        return {file for owned_paths in newest_lists.values() for file in self.stack.unpack_paths(owned_paths)}

    def _list_owned_paths(self, package: Package) -> list[str]:
        names = list_evidence_names(package.name, package.arch)
        return [
            file
            for name in names
            for _, _, packed_paths in self.lists.get(name, ())
            for file in self.stack.unpack_paths(packed_paths)
        ]

    def _find_origins(self, file: str) -> list[int]:
        """Return the layers of a file; none for configuration, which stays when a package is removed or upgraded."""
        return [] if file.startswith("etc/") else list(self.stack.find_source_layers(file))

    def _is_owned_by_another(self, file: str, at: int, names: set[str]) -> bool:
        """Return whether another installed package owned the file in layer `at`.

        Later owners have files of their own.
        """
        return any(
            layer <= at and name not in names and name in self._installed_names
            for layer, name in self._find_owners(file)
        )

    def _is_reclaimed(self, file: str, last_layer: int) -> bool:
        """Return whether an installed package owned the file by `last_layer`, or owns it since later.

        A list that was written later for an unchanged package is not evidence.
        """
        return any(
            name in self._installed_names and (layer <= last_layer or self._since[name] > last_layer)
            for layer, name in self._find_owners(file)
        )


def _has_parallel_versions(history: list[tuple[int, Package]]) -> bool:
    """Return whether any layer has several versions of the package at once."""
    versions: dict[int, str] = {}
    return any(versions.setdefault(at, package.version) != package.version for at, package in history)


def _get_identity(package: Package) -> _Identity:
    return package.version, package.source_name, package.source_version, package.vendor


def _describe_difference(package: Package, compared_with: Package) -> str:
    """Return the version, with the source or vendor if only these differ."""
    if package.version != compared_with.version:
        return package.version
    source, other_source = (
        f"{candidate.source_name} {candidate.source_version}" for candidate in (package, compared_with)
    )
    if source != other_source:
        return f"{package.version} of the source {source}"
    return f"{package.version} by {(package.vendor or '').lstrip('=?') or 'an unknown maker'}"


def list_evidence_names(name: str, arch: str | None) -> set[str]:
    """Return the names that lists of files use for a package."""
    return {name, f"{name}:{arch or ''}"}
