"""Detect language packages whose metadata file was changed without their other files."""

from collections.abc import Iterator
from functools import cached_property

from dockgate.scanner.layer_index import LayerStack, PackageFile, unpack_paths
from dockgate.scanner.model import Package, Unread
from dockgate.scanner.ports import Ecosystem

_INFO = (".dist-info", ".egg-info", "egg-info")


def find_problems(stack: LayerStack, kind: Ecosystem) -> Iterator[Unread]:
    """Find packages whose metadata was removed, or names another version, beside unchanged files.

    Raises UnreadableError if the check would take too long; results so far are yielded before.
    """
    history: dict[str, list[tuple[int, PackageFile]]] = {}
    for at, metadata in stack.list_files(kind.name):
        if not metadata.is_linked_only or stack.is_link_target(metadata.path.rpartition("/")[0]):
            history.setdefault(metadata.path, []).append((at, metadata))
    records = _Records(history)
    for path, versions in history.items():
        listings = [
            (at, metadata)
            for at, metadata in versions
            if metadata.packages and not (metadata.is_self_contained or metadata.is_lockfile)
        ]
        last_layer, newest_version = versions[-1]
        is_present = stack.is_present(path, last_layer)
        if not listings or (is_present and newest_version.unread_reason) or (is_present and len(versions) == 1):
            continue
        present_versions = {package.name: package.version for package in newest_version.packages} if is_present else {}
        is_single = all(len(metadata.packages) == 1 for _, metadata in listings)
        for package, at in _find_removed_packages(listings, present_versions).items():
            files = _find_other_files(
                stack,
                path,
                package,
                records,
                is_only_package=is_single and not any(metadata.owner for _, metadata in listings),
            )
            if not any(origin <= at for file in files for origin in stack.find_source_layers(file)):
                continue
            replacement = next(iter(present_versions), "") if is_single else ""
            name = package.name if package.name in present_versions else replacement
            if name:
                successor = f"{name} {present_versions[name]}"
                reason = f"{path} became {successor}, yet there are files of {package.name} {package.version}."
                yield Unread(path, reason, stack.facts[last_layer].layer)
            else:
                reason = f"{path} no longer lists {package.name} {package.version}, yet files of it are there."
                yield Unread(path, reason, stack.facts[at].layer)

    yield from _find_nameless_records(stack, kind)


class Locks:
    """The packages in lockfiles that count: those that are not installed.

    An entry is installed if the image has the package in that version, or in any version if the entry has none.
    """

    def __init__(self, stack: LayerStack) -> None:
        self._versions: set[tuple[str, str, str]] = set()
        self._owned_folders: set[str] = set()
        if not any(metadata.is_lockfile for _, metadata in stack.present_files):
            return
        for _, metadata in stack.present_files:
            if not metadata.is_lockfile:
                for package in metadata.packages:
                    self._versions.add((package.ecosystem, package.source_name, package.source_version))
                    self._versions.add((package.ecosystem, package.source_name, ""))
                for packed_paths in metadata.owns.values():
                    if packed_paths.endswith("/") or "/\0" in packed_paths:
                        self._owned_folders.update(
                            path for path in stack.unpack_paths(packed_paths) if path.endswith("/")
                        )

    def is_installed(self, package: Package) -> bool:
        """Return whether the image has this package in this version, not only in a lockfile."""
        return (package.ecosystem, package.source_name, package.source_version) in self._versions

    def is_ignored(self, metadata: PackageFile) -> bool:
        """Return whether the lockfile does not count.

        This is so if most of its packages are installed (optional ones and those for other platforms are then left out
        on purpose), or if it is part of an installed package.
        """
        if any(folder in self._owned_folders for folder in _list_folders(metadata.path)):
            return True
        return bool(metadata.packages) and 2 * sum(map(self.is_installed, metadata.packages)) >= len(metadata.packages)


def _list_folders(path: str) -> Iterator[str]:
    """Yield every folder above a path: "a/" and "a/b/" for "a/b/c"."""
    at = path.find("/")
    while at >= 0:
        yield path[: at + 1]
        at = path.find("/", at + 1)


def _find_removed_packages(listings: list[tuple[int, PackageFile]], current: dict[str, str]) -> dict[Package, int]:
    """Return the packages that a file no longer lists, each with the last layer that listed it.

    Of several versions only the newest.
    """
    removed_packages: dict[str, tuple[Package, int]] = {}
    for at, metadata in listings:
        for package in metadata.packages:
            if current.get(package.name) != package.version:
                removed_packages[package.name] = package, at
    return dict(removed_packages.values())


class _Records:
    """The files that packages own, by the record that lists them: the metadata file itself, or a file beside it."""

    def __init__(self, history: dict[str, list[tuple[int, PackageFile]]]) -> None:
        self._lists_by_package: dict[tuple[str, str], list[str]] = {}
        self._lists_by_folder: dict[str, list[str]] = {}
        for path, versions in history.items():
            for _, metadata in versions:
                for name, packed_paths in metadata.owns.items():
                    self._lists_by_package.setdefault((path, name), []).append(packed_paths)
                    if not metadata.packages:
                        self._lists_by_folder.setdefault(path.rpartition("/")[0], []).append(packed_paths)

    def find_paths(self, path: str, purl: str) -> list[str]:
        """Return the packed paths of a package that the file at `path` names."""
        return self._lists_by_package.get((path, purl)) or self._lists_by_folder.get(path.rpartition("/")[0], [])

    @cached_property
    def all_paths(self) -> frozenset[str]:
        """All paths that packages own."""
        return frozenset(
            path
            for packed_lists in self._lists_by_package.values()
            for packed_paths in packed_lists
            for path in unpack_paths(packed_paths)
        )


def _find_other_files(
    stack: LayerStack, path: str, package: Package, records: _Records, *, is_only_package: bool
) -> Iterator[str]:
    """Yield the package's other files: those in its record, or else those beside the file at `path`.

    Without a record, files beside it count only if the file names a single package, and if no other package records
    them. Distributions remove the records and have their own lists.
    """
    recorded_paths = records.find_paths(path, package.purl)
    if recorded_paths:
        return _list_files(stack, path, recorded_paths)
    return _find_files_beside(stack, path, records) if is_only_package else iter(())


def _find_nameless_records(stack: LayerStack, kind: Ecosystem) -> Iterator[Unread]:
    """Find records of files without a file beside them that names the package, in any layer."""
    named_records = {
        metadata.path.rpartition("/")[0]
        for _, metadata in stack.list_files(kind.name)
        if metadata.packages or metadata.unread_reason
    }
    for at, metadata in stack.list_files(kind.name):
        folder = metadata.path.rpartition("/")[0]
        if metadata.owns and folder not in named_records and stack.is_present(metadata.path, at):
            listed_paths = (
                file
                for file in _list_files(stack, metadata.path, list(metadata.owns.values()))
                if not file.startswith(folder)
            )
            owned_path = next((file for file in listed_paths if any(True for _ in stack.find_source_layers(file))), "")
            if owned_path:
                reason = (
                    f"{metadata.path} lists {owned_path}, which is there, yet nothing names the package that it is of."
                )
                yield Unread(metadata.path, reason, stack.facts[at].layer)


def _list_files(stack: LayerStack, evidence: str, packed_lists: list[str]) -> Iterator[str]:
    """Yield the files of a language package, without `evidence` and without packages nested in its folder."""
    for owned_paths in packed_lists:
        for path in stack.unpack_paths(owned_paths):
            if not path.endswith("/"):
                yield path
                continue
            for file in stack.list_paths_below(path):
                if file != evidence and "/node_modules/" not in file[len(path) - 1 :]:
                    yield file


def _find_files_beside(stack: LayerStack, evidence: str, records: _Records) -> Iterator[str]:
    """Yield the files in a package's folder that no other package records, for packages without a record."""
    own_folder, _, _ = evidence.rpartition("/")
    folder = own_folder.rpartition("/")[0] + "/" if own_folder.lower().endswith(_INFO) else own_folder + "/"
    for file in stack.list_paths_below(folder):
        inner = file[len(folder) :].partition("/")[0]
        if file not in records.all_paths and not inner.lower().endswith(_INFO) and not file.endswith(".pyc"):
            yield file
