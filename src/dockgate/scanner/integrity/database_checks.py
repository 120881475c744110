"""Detect distribution packages whose database entries were changed without their files.

The rule: a package manager changes an entry and the package's files in one layer. An entry that changes or disappears
while the files stay was edited, and the package is unread. Example: curl 7 is in layer 0, and layer 1 rewrites the
database.

    database of layer 1   files of curl in layer 1   problem
    curl 8                usr/bin/curl               none: an upgrade writes the files
    curl 8                none                       "curl became 8 …, yet its files are those of 7"
    no curl               whiteout of usr/bin/curl   none: it was removed
    no curl               none                       "curl 7 is no longer …, yet its file usr/bin/curl is there"

`find_problems` is the entry. Below it: checks of whole databases, then of packages, then what both ask about files.
"""

from collections.abc import Iterator
from itertools import pairwise

from dockgate.scanner.integrity.package_databases import Database, list_owner_names
from dockgate.scanner.integrity.package_history import (
    HistoryEntry,
    LayerIndex,
    describe_difference,
    get_identity,
    has_parallel_versions,
)
from dockgate.scanner.layer_index import PackageFile
from dockgate.scanner.model import Package, Unread

_PROSE = tuple(f"usr/share/{name}/" for name in ("doc", "man", "info", "locale", "lintian"))


def find_problems(database: Database) -> Iterator[Unread]:
    """Yield what contradicts the database: removed databases, changed entries and unlisted packages."""
    removed_databases = list(_find_removed_databases(database))
    yield from removed_databases
    yield from _find_contradictions(database)
    if any(file.unread_reason for _, file in database.present_files):
        return
    if removed_databases and not database.present_files:
        return
    if database.present_files and not database.packages:
        yield _describe_file(database, *database.present_files[-1], "contains no package")
    elif database.files:
        yield from _find_changed_entries(database)
        yield from _find_unlisted_packages(database)
    elif database.lists:
        file_list = next(iter(database.lists.values()))[0]
        reason = f"{file_list.source} lists files of a package, yet there is no package database."
        yield _make_unread(database, file_list.source, file_list.layer, reason)


# --- whole databases --------------------------------------------------------------------------------------------------


def _find_removed_databases(database: Database) -> Iterator[Unread]:
    """Find databases that a layer above the one that wrote them removed.

    Skips a database that another one replaces completely, because rpm changes the format and distributions the path;
    its entries are then compared with those of the other.
    """
    present_paths = {file.path for _, file in database.present_files}
    is_replaced = any(map(database.is_complete_list, present_paths))
    last_files = {file.path: (layer, file) for layer, file in database.files}
    for path, (layer, file) in last_files.items():
        if path in present_paths:
            continue
        if database.is_complete_list(path):
            if not is_replaced:
                yield _describe_file(database, layer, file, "was removed by a layer above the one that wrote it")
        elif not any(database.list_paths(package) for package in file.packages):
            problem = "was removed, and no file list shows whether the files of its package were, too"
            yield _describe_file(database, layer, file, problem)


def _find_contradictions(database: Database) -> Iterator[Unread]:
    """Find complete databases that list different packages. rpm would read only one of them."""
    complete_files = [
        (layer, file)
        for layer, file in database.present_files
        if database.is_complete_list(file.path) and not (file.unread_reason or file.unread_parts)
    ]
    for (_, first), (layer, second) in pairwise(complete_files):
        first_packages, second_packages = (
            {(package.name, package.arch, package.version): package for package in file.packages}
            for file in (first, second)
        )
        if different_keys := sorted(first_packages.keys() ^ second_packages.keys()):
            package = (first_packages | second_packages)[different_keys[0]]
            problem = f"and {first.path} contradict each other: only {package.path} lists"
            yield _describe_file(database, layer, second, f"{problem} {package.name} {package.version}")


# --- packages ---------------------------------------------------------------------------------------------------------


def _find_changed_entries(database: Database) -> Iterator[Unread]:
    """Find entries that were removed, or changed their version, while their files stayed the same."""
    if len(database.files) == len(database.present_files):
        return
    for key, history in database.history.items():
        installed_packages = database.packages.get(key, [])
        if has_parallel_versions(history):
            yield from _check_removed_versions(database, history, installed_packages)
        elif installed_packages:
            yield from _check_changed_package(database, history, installed_packages[-1])
        else:
            yield from _check_removed_package(database, history[-1])


def _check_removed_package(database: Database, last_entry: HistoryEntry) -> Iterator[Unread]:
    """Check that the files of a package that is no longer in the database were removed, too."""
    layer, package = last_entry
    problem = f"{package.name} {package.version} is no longer in the package database"
    remaining_path = next(_find_remaining_files(database, package, layer), None)
    if remaining_path is not None:
        yield _make_unread(database, package.path, layer, f"{problem}, yet its file {remaining_path} is there.")
    elif database.is_complete_list(package.path) and not database.has_list(package):
        reason = f"{problem}, and no file list shows whether its files are there."
        yield _make_unread(database, package.path, layer, reason)


def _check_changed_package(database: Database, history: list[HistoryEntry], package: Package) -> Iterator[Unread]:
    """Check that the files of an installed package changed with its version."""
    identity = get_identity(package)
    current_layers = {entry.layer for entry in history if get_identity(entry.package) == identity}
    former = next((entry for entry in reversed(history) if entry.layer not in current_layers), None)
    if former is None:
        return
    problem = f"{package.name} became {describe_difference(package, former.package)} in the package database"
    if not database.has_list(package):
        reason = f"{problem}, and no file list shows whether its files changed with it."
    elif _has_old_files(database, package, former.layer):
        reason = f"{problem}, yet its files are those of {describe_difference(former.package, package)}."
    else:
        return
    yield _make_unread(database, package.path, history[-1].layer, reason)


def _check_removed_versions(
    database: Database, history: list[HistoryEntry], installed_packages: list[Package]
) -> Iterator[Unread]:
    """Check that the files of removed versions were removed, too, for a package with several versions.

    Lists do not separate the files of versions. Files that are no longer listed belonged to the removed version.
    """
    present_versions = {package.version for package in installed_packages}
    removed_versions = {
        entry.package.version: entry for entry in history if entry.package.version not in present_versions
    }
    for layer, package in removed_versions.values():
        problem = f"{package.name} {package.version} is no longer in the package database"
        own_paths = database.list_newest_paths(package, layer)
        if installed_packages:
            own_paths -= database.list_newest_paths(package, len(database.stack.facts))
        remaining_path = next(
            (path for path in sorted(own_paths) if min(_find_file_layers(database, path), default=layer + 1) <= layer),
            None,
        )
        if remaining_path is not None:
            yield _make_unread(database, package.path, layer, f"{problem}, yet its file {remaining_path} is there.")
        elif not own_paths:
            reason = f"{problem}, and no file list shows whether its files are there."
            yield _make_unread(database, package.path, layer, reason)


def _find_unlisted_packages(database: Database) -> Iterator[Unread]:
    """Find lists of packages that are in no database, while their files are present."""
    recorded_names = {name for key in database.history for name in list_owner_names(*key)}
    for name, lists in database.lists.items():
        if name in recorded_names:
            continue
        for layer, source, packed_paths in lists:
            for path in database.stack.unpack_paths(packed_paths):
                if layer in _find_file_layers(database, path) and not database.is_owned_by_another(path, layer, {name}):
                    reason = f"{name} is in no package database, yet {source} lists its file {path}, which is there."
                    yield _make_unread(database, source, layer, reason)
                    break


# --- files ------------------------------------------------------------------------------------------------------------


def _find_remaining_files(database: Database, package: Package, last_layer: LayerIndex) -> Iterator[str]:
    """Yield files of a removed package that are still present. `last_layer` is the last with its entry.

    These are files from before its removal that no other package owned then, and files that were written again until
    its removal and belong to no other package.
    """
    names = list_owner_names(package.name, package.arch)
    removal_layer = len(database.stack.facts)
    if database.is_complete_list(package.path):
        removal_layer = next((layer for layer, _ in database.files if layer > last_layer), last_layer)
    for path in database.list_paths(package):
        for layer in _find_file_layers(database, path):
            if (
                not database.is_owned_by_another(path, layer, names)
                if layer <= last_layer
                else layer <= removal_layer and not database.is_reclaimed(path, last_layer)
            ):
                yield path


def _has_old_files(database: Database, package: Package, old_layer: LayerIndex) -> bool:
    """Return whether the package still has the files of its earlier version.

    An upgrade writes every file of the package. But a builder leaves files with the same content and time out of the
    layer, and packages keep the time of files that they only copy: documentation above all, but also scripts (apache2's
    a2enmod, passwd's shadowconfig). So half of the files decide, of the most important kind: programs and libraries if
    there are any. Files that other packages owned before may be diverted, and do not count.
    """
    names = list_owner_names(package.name, package.arch)
    is_old_by_rank: list[list[bool]] = [[], [], []]
    for path in database.list_paths(package):
        layers = _find_file_layers(database, path)
        if layers and all(name in names for layer, name in database.find_owners(path) if layer <= old_layer):
            rank = 2 if path.startswith(_PROSE) else 1 if path.startswith("usr/share/") else 0
            is_old_by_rank[rank].append(max(layers) <= old_layer)
    code, data, prose = is_old_by_rank
    decisive = code or data
    return 2 * sum(decisive) >= len(decisive) if decisive else bool(prose) and all(prose)


def _find_file_layers(database: Database, path: str) -> list[LayerIndex]:
    """Return the layers of a file; none for configuration, which stays when a package is removed or upgraded."""
    return [] if path.startswith("etc/") else list(database.stack.find_source_layers(path))


def _make_unread(database: Database, path: str, layer: LayerIndex, reason: str) -> Unread:
    return Unread(path, reason, database.stack.facts[layer].layer)


def _describe_file(database: Database, layer: LayerIndex, file: PackageFile, problem: str) -> Unread:
    return _make_unread(database, file.path, layer, f"{file.path} {problem}.")
