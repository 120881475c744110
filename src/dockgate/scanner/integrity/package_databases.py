"""Detect distribution packages whose database entries were changed without their files.

A package has a *history*: its entries in the databases of all layers, base first. Example: curl 7 is in layer 0, and a
layer above rewrites the database.

    database of layer 1   files of curl in layer 1   problem
    curl 8                usr/bin/curl               none: an upgrade writes the files
    curl 8                none                       "curl became 8 …, yet its files are those of 7"
    no curl               whiteout of usr/bin/curl   none: it was removed
    no curl               none                       "curl 7 is no longer …, yet its file usr/bin/curl is there"

Which files belong to a package is in *lists*, of the database or beside it. Names of packages in lists are *evidence
names*: with or without the architecture.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

from dockgate.scanner.integrity.package_history import (
    FileList,
    HistoryEntry,
    Identity,
    LayerIndex,
    Owner,
    describe_difference,
    get_identity,
    has_parallel_versions,
)
from dockgate.scanner.layer_index import LayerStack, PackageFile
from dockgate.scanner.model import Package, Unread
from dockgate.scanner.ports import Ecosystem

_PROSE = tuple(f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "lintian"))


class Database:
    """The packages of a distribution in all layers, by name and architecture.

    Some packages (kernels in rpm) have several versions at once, which are installed and removed independently.
    """

    def __init__(self, stack: LayerStack, kind: Ecosystem) -> None:
        self.stack = stack
        self.kind = kind
        # Every database file of every layer, base first.
        self.database_files: list[tuple[LayerIndex, PackageFile]] = [
            (layer, database)
            for layer, database in stack.list_files(kind.name)
            if (database.packages or not database.owns) and self._is_database(database.path)
        ]
        self.present_files = [
            (layer, database) for layer, database in self.database_files if stack.is_present(database.path, layer)
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
            yield self._as_unread(*self.present_files[-1], "contains no package")
        elif self.database_files:
            yield from self._find_changed_entries()
            yield from self._find_unlisted_packages()
        elif self.lists:
            file_list = next(iter(self.lists.values()))[0]
            reason = f"{file_list.source} lists files of a package, yet there is no package database."
            yield self._make_unread(file_list.source, file_list.layer, reason)

    def get_history(self, name: str, arch: str | None) -> list[HistoryEntry]:
        """Return the entries of a package, base first."""
        return self._history.get((name, arch), [])

    def list_owners(self, path: str) -> Iterator[Owner]:
        """Return the packages whose lists name the path."""
        return iter(self._find_owners(path))

    def is_brought_by(self, path: str, layer: LayerIndex) -> bool:
        """Return whether a package that `layer` introduced owns the path."""
        return any(owner.layer == layer and self._is_introduced(owner.name, layer) for owner in self._find_owners(path))

    def is_rewritten_since(self, since: LayerIndex) -> bool:
        """Return whether the layer `since`, or one above it, wrote a file of the database."""
        return any(layer >= since for layer, _ in self.database_files)

    @cached_property
    def lists(self) -> dict[str, list[FileList]]:
        """Evidence name -> its lists, base first.

        If the database contains the lists, each layer with it repeats all of them: equal lists of unchanged packages
        are left out.
        """
        lists: dict[str, list[FileList]] = {}
        for layer, database in self.stack.list_files(self.kind.name):
            for name, packed_paths in database.owns.items():
                earlier_lists = lists.setdefault(name, [])
                if (
                    not earlier_lists
                    or earlier_lists[-1].packed_paths != packed_paths
                    or self._is_introduced(name, layer)
                ):
                    earlier_lists.append(FileList(layer, database.path, packed_paths))
        return lists

    @cached_property
    def _history(self) -> dict[tuple[str, str | None], list[HistoryEntry]]:
        history: dict[tuple[str, str | None], list[HistoryEntry]] = {}
        for layer, database in self.database_files:
            for package in database.packages:
                history.setdefault((package.name, package.arch), []).append(HistoryEntry(layer, package))
        return history

    @cached_property
    def _owners(self) -> dict[str, tuple[Owner, ...]]:
        """Path -> packages whose lists name it.

        Whole lists are merged, because most paths occur once.
        """
        owners: dict[str, tuple[Owner, ...]] = {}
        shared_owners: dict[str, list[Owner]] = {}
        for name, lists in self.lists.items():
            for file_list in lists:
                owner = Owner(file_list.layer, name)
                listed_owners = dict.fromkeys(self.stack.unpack_paths(file_list.packed_paths), (owner,))
                for path in owners.keys() & listed_owners.keys():
                    shared_owners.setdefault(path, [*owners[path]]).append(owner)
                owners.update(listed_owners)
        owners.update((path, tuple(several)) for path, several in shared_owners.items())
        return owners

    def _find_owners(self, path: str) -> tuple[Owner, ...]:
        owners = self._owners.get(path, ())
        self.stack.spend(len(owners))
        return owners

    @cached_property
    def _since(self) -> dict[str, LayerIndex]:
        """Evidence name of an installed package -> the layer that introduced its present version."""
        since: dict[str, LayerIndex] = {}
        for key, packages in self.packages.items():
            present_versions = {get_identity(package) for package in packages}
            versions_by_layer: dict[LayerIndex, set[Identity]] = {}
            for layer, package in self._history[key]:
                versions_by_layer.setdefault(layer, set()).add(get_identity(package))
            first = max(versions_by_layer)
            for layer in sorted(versions_by_layer, reverse=True):
                if not present_versions <= versions_by_layer[layer]:
                    break
                first = layer
            for name in list_evidence_names(*key):
                since[name] = max(first, since.get(name, first))
        return since

    @cached_property
    def _installed_names(self) -> set[str]:
        return {name for key in self.packages for name in list_evidence_names(*key)}

    def _is_introduced(self, name: str, layer: LayerIndex) -> bool:
        return self.stack.is_introduced(name.partition(":")[0], layer, (self.kind.name,))

    def _is_database(self, path: str) -> bool:
        return any(
            path == database_path or (database_path.endswith("/") and path.startswith(database_path))
            for database_path in self.kind.database_paths
        )

    def _make_unread(self, path: str, layer: LayerIndex, reason: str) -> Unread:
        return Unread(path, reason, self.stack.facts[layer].layer)

    def _as_unread(self, layer: LayerIndex, database: PackageFile, problem: str) -> Unread:
        return self._make_unread(database.path, layer, f"{database.path} {problem}.")

    def _find_removed_databases(self) -> Iterator[Unread]:
        """Find databases that a layer above the one that wrote them removed.

        Skips a database that another one replaces completely, because rpm changes the format and distributions the
        path; its entries are then compared with those of the other.
        """
        is_present = {database.path for _, database in self.present_files}
        complete = is_present.intersection(self.kind.database_paths)
        last_files = {database.path: (layer, database) for layer, database in self.database_files}
        for path, (layer, database) in last_files.items():
            if path in is_present:
                continue
            if path in self.kind.database_paths:
                if not complete:
                    yield self._as_unread(layer, database, "was removed by a layer above the one that wrote it")
            elif not any(self._list_owned_paths(package) for package in database.packages):
                yield self._as_unread(
                    layer, database, "was removed, and no file list shows whether the files of its package were, too"
                )

    def _find_contradictions(self) -> Iterator[Unread]:
        """Find complete databases that list different packages. rpm would read only one of them."""
        complete = [
            (layer, database)
            for layer, database in self.present_files
            if database.path in self.kind.database_paths and not (database.unread_reason or database.unread_parts)
        ]
        for (_, first), (layer, database) in pairwise(complete):
            first_packages, second_packages = (
                {(p.name, p.arch, p.version): p for p in database.packages} for database in (first, database)
            )
            if different := sorted(first_packages.keys() ^ second_packages.keys()):
                package = (first_packages | second_packages)[different[0]]
                reason = f"and {first.path} contradict each other: only {package.path} lists"
                yield self._as_unread(layer, database, f"{reason} {package.name} {package.version}")

    def _find_changed_entries(self) -> Iterator[Unread]:
        """Find entries that were removed, or changed their version, while their files stayed the same."""
        if len(self.database_files) == len(self.present_files):
            return
        for (name, arch), history in self._history.items():
            last_layer, package = history[-1]
            installed_packages = self.packages.get((name, arch), [])
            if has_parallel_versions(history):
                yield from self._find_removed_versions(history, installed_packages)
                continue
            if not installed_packages:
                remaining = next(self._find_remaining_files(package, last_layer), "")
                problem = f"{name} {package.version} is no longer in the package database"
                if remaining:
                    yield Unread(
                        package.path,
                        f"{problem}, yet its file {remaining} is there.",
                        self.stack.facts[last_layer].layer,
                    )
                elif package.path in self.kind.database_paths and not self._is_listed(package):
                    reason = f"{problem}, and no file list shows whether its files are there."
                    yield self._make_unread(package.path, last_layer, reason)
                continue
            installed_package = installed_packages[-1]
            identity = get_identity(installed_package)
            current_layers = {entry.layer for entry in history if get_identity(entry.package) == identity}
            former = next((entry for entry in reversed(history) if entry.layer not in current_layers), None)
            if former is None:
                continue
            problem = f"{name} became {describe_difference(installed_package, former.package)} in the package database"
            if not self._is_listed(installed_package):
                reason = f"{problem}, and no file list shows whether its files changed with it."
                yield self._make_unread(installed_package.path, last_layer, reason)
            elif self._has_old_files(installed_package, former.layer):
                reason = (
                    f"{problem}, yet its files are those of {describe_difference(former.package, installed_package)}."
                )
                yield self._make_unread(installed_package.path, last_layer, reason)

    def _find_removed_versions(
        self, history: list[HistoryEntry], installed_packages: list[Package]
    ) -> Iterator[Unread]:
        """Find removed versions of a package with several versions.

        Lists do not separate the files of versions. Files that are no longer listed belonged to the removed version.
        """
        present_versions = {package.version for package in installed_packages}
        removed_versions = {
            entry.package.version: entry for entry in history if entry.package.version not in present_versions
        }
        for layer, package in removed_versions.values():
            problem = f"{package.name} {package.version} is no longer in the package database"
            own_paths = self._list_files(package, layer)
            if installed_packages:
                own_paths -= self._list_files(package, len(self.stack.facts))
            remaining = next(
                (file for file in sorted(own_paths) if min(self._find_origins(file), default=layer + 1) <= layer), ""
            )
            if remaining:
                yield self._make_unread(package.path, layer, f"{problem}, yet its file {remaining} is there.")
            elif not own_paths:
                reason = f"{problem}, and no file list shows whether its files are there."
                yield self._make_unread(package.path, layer, reason)

    def _find_unlisted_packages(self) -> Iterator[Unread]:
        """Find lists of packages that are in no database, while their files are present."""
        recorded_names = {name for key in self._history for name in list_evidence_names(*key)}
        for name, lists in self.lists.items():
            if name in recorded_names:
                continue
            for layer, source, packed_paths in lists:
                for file in self.stack.unpack_paths(packed_paths):
                    if layer in self._find_origins(file) and not self._is_owned_by_another(file, layer, {name}):
                        reason = (
                            f"{name} is in no package database, yet {source} lists its file {file}, which is there."
                        )
                        yield self._make_unread(source, layer, reason)
                        break

    def _find_remaining_files(self, package: Package, last_layer: LayerIndex) -> Iterator[str]:
        """Yield files of a removed package that are still present.

        These are files from before its removal that no other package owned then, and files that were written again
        until its removal and belong to no other package.
        """
        names = list_evidence_names(package.name, package.arch)
        is_complete_list = package.path in self.kind.database_paths
        removal_layer = (
            next((layer for layer, _ in self.database_files if layer > last_layer), last_layer)
            if is_complete_list
            else len(self.stack.facts)
        )
        for file in self._list_owned_paths(package):
            for layer in self._find_origins(file):
                if (
                    not self._is_owned_by_another(file, layer, names)
                    if layer <= last_layer
                    else layer <= removal_layer and not self._is_reclaimed(file, last_layer)
                ):
                    yield file

    def _has_old_files(self, package: Package, old_layer: LayerIndex) -> bool:
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
            if source_layers and all(name in names for layer, name in self._find_owners(file) if layer <= old_layer):
                rank = 2 if file.startswith(_PROSE) else 1 if file.startswith("usr/share/") else 0
                is_old_by_rank[rank].append(max(source_layers) <= old_layer)
        code, data, prose = is_old_by_rank
        decisive = code or data
        return 2 * sum(decisive) >= len(decisive) if decisive else bool(prose) and all(prose)

    def _is_listed(self, package: Package) -> bool:
        return any(name in self.lists for name in list_evidence_names(package.name, package.arch))

    def _list_files(self, package: Package, last_layer: LayerIndex) -> set[str]:
        """Return the files in the newest lists up to layer `last_layer`."""
        newest_lists = {
            name: file_list
            for name in list_evidence_names(package.name, package.arch)
            for file_list in self.lists.get(name, ())
            if file_list.layer <= last_layer
        }
        return {file for file_list in newest_lists.values() for file in self.stack.unpack_paths(file_list.packed_paths)}

    def _list_owned_paths(self, package: Package) -> list[str]:
        names = list_evidence_names(package.name, package.arch)
        return [
            file
            for name in names
            for file_list in self.lists.get(name, ())
            for file in self.stack.unpack_paths(file_list.packed_paths)
        ]

    def _find_origins(self, file: str) -> list[LayerIndex]:
        """Return the layers of a file; none for configuration, which stays when a package is removed or upgraded."""
        return [] if file.startswith("etc/") else list(self.stack.find_source_layers(file))

    def _is_owned_by_another(self, file: str, last_layer: LayerIndex, names: set[str]) -> bool:
        """Return whether another installed package owned the file by `last_layer`.

        Later owners have files of their own.
        """
        return any(
            layer <= last_layer and name not in names and name in self._installed_names
            for layer, name in self._find_owners(file)
        )

    def _is_reclaimed(self, file: str, last_layer: LayerIndex) -> bool:
        """Return whether an installed package owned the file by `last_layer`, or owns it since later.

        A list that was written later for an unchanged package is not evidence.
        """
        return any(
            name in self._installed_names and (layer <= last_layer or self._since[name] > last_layer)
            for layer, name in self._find_owners(file)
        )


def list_evidence_names(name: str, arch: str | None) -> set[str]:
    """Return the names that lists of files use for a package."""
    return {name, f"{name}:{arch or ''}"}
