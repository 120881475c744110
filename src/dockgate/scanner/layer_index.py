"""The stored facts of one layer, and what is present in a stack of layers."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dockgate.scanner import osrelease
from dockgate.scanner.model import Distribution, Package, Unread
from dockgate.shared.errors import UnreadableError

# Paths that `list_paths_below` yields for one image, which takes seconds.
WALK_LIMIT = 2_000_000
# Comparisons of paths and packages for one image, each about a microsecond; the largest images in use take a million.
STEPS_LIMIT = 50_000_000
# Characters of the paths whose last removal is remembered.
_CACHE_LIMIT = 32 * 2**20

_MERGED_FOLDERS = ("bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/")


@dataclass(frozen=True, slots=True)
class PackageFile:
    """An ecosystem's `Extract` of one file with packed paths, or the reason why it could not be read.

    `unread_parts` is `Extract.unread_parts`. For a language's file, `owner` is the distribution package whose list in
    the same layer names the file, or None.
    """

    path: str
    ecosystem: str
    packages: tuple[Package, ...] = ()
    owns: dict[str, str] = field(default_factory=dict)
    removed_names: tuple[str, ...] = ()
    unread_reason: str | None = None
    unread_parts: tuple[tuple[str, str], ...] = ()
    is_self_contained: bool = False
    is_lockfile: bool = False
    is_linked_only: bool = False
    release: str | None = None
    owner: str | None = None
    is_third_party: bool = False


@dataclass(frozen=True, slots=True)
class OsRelease:
    """The distribution in an os-release file, or the reason why it could not be read."""

    path: str
    distribution: Distribution | None
    unread_reason: str | None = None


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """The stored content of a layer. `layer` is the digest of its blob, None for a folder.

    `files` are the packed paths of everything except folders and devices. `links` are the symbolic links at paths where
    evidence may be, with their targets from the root; `folders` are the folders at such paths. `symlinks` are all
    links. `implied_folders` are folders that had no entry before their content. `unread` concerns the whole layer.

    `compression` is None for a folder or an unread layer. `diff_id` is the digest of the uncompressed content, None if
    it was not computed.
    """

    layer: str | None
    package_files: tuple[PackageFile, ...] = ()
    releases: tuple[OsRelease, ...] = ()
    links: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    whiteouts: tuple[str, ...] = ()
    opaques: tuple[str, ...] = ()
    files: str = ""
    symlinks: dict[str, str] = field(default_factory=dict)
    implied_folders: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()
    compression: str | None = None
    diff_id: str | None = None


def pack_paths(paths: Iterable[str]) -> str:
    """Join paths, which contain no NUL, to one string: ten times faster to store and load."""
    return "\0".join(paths)


def unpack_paths(packed_paths: str) -> list[str]:
    """Return the paths of a packed list."""
    return packed_paths.split("\0") if packed_paths else []


def make_unchecked(error: UnreadableError) -> Unread:
    """The unread entry of an image whose check was given up because of `error`."""
    return Unread("/", f"The image cannot be checked: {error}.")


class LayerStack:
    """The layers of an image, base first. Layers are identified by their index.

    Whiteouts and opaque folders affect only lower layers. A path is also removed if a file replaces it or a folder
    above it.

    What is asked of it counts as steps: above STEPS_LIMIT of them for one image, all raise UnreadableError. Otherwise
    an image of a few kilobytes could keep a scanner busy for days.
    """

    def __init__(self, facts: Sequence[LayerFacts]) -> None:
        self.facts = facts
        self._walked_paths = 0
        self._steps = 0
        self._cached_characters = 0
        self._emptied_above: dict[str, int] = {}
        self._introduced_by_key: dict[tuple[str, int, tuple[str, ...]], bool] = {}

    def spend(self, steps: int) -> None:
        """Count steps of work. Raises UnreadableError above STEPS_LIMIT."""
        self._steps += steps
        if self._steps > STEPS_LIMIT:
            raise UnreadableError("comparing the files and packages of its layers would take too long")

    def unpack_paths(self, packed_paths: str) -> list[str]:
        """Return the paths of a packed list; each counts as a step."""
        paths = unpack_paths(packed_paths)
        self.spend(len(paths) + 1)
        return paths

    def is_present(self, path: str, layer: int) -> bool:
        """Return whether the file of `layer` at `path` is still present in the image."""
        if layer == len(self.facts) - 1:
            return True
        last = max(self._top.get(path, -1), self._whiteouts.get(path, -1), self._folders.get(path, -1))
        return last <= layer and self._find_last_removal(path.rpartition("/")[0]) <= layer

    def find_source_layers(self, path: str) -> Iterator[int]:
        """Yield the layer with the file at `path`: none if it was removed, two if /usr is partly merged.

        dpkg's lists may name lib/x for usr/lib/x and vice versa, so both are checked.
        """
        self.spend(1)
        for name in filter(None, (path, _find_merged_usr_alias(path))):
            layer = self._top.get(name)
            if layer is not None and self.is_present(name, layer):
                yield layer

    def is_introduced(self, name: str, layer: int, systems: Iterable[str]) -> bool:
        """Return whether the database of `layer` has the package in a version that no lower layer has.

        `systems` are the ecosystems that have a database.
        """
        key = name, layer, tuple(systems)
        is_new = self._introduced_by_key.get(key)
        if is_new is None:
            versions = [entry for system in key[2] for entry in self._versions_by_package.get((system, name), ())]
            self.spend(len(versions) + 1)
            versions_below = {version for at, version in versions if at < layer}
            is_new = any(at == layer and version not in versions_below for at, version in versions)
            self._introduced_by_key[key] = is_new
        return is_new

    def find_introducing_layer(self, file: PackageFile, package: Package, layer: int) -> int:
        """Return the layer that added a package to a package database that `layer` wrote.

        Every layer that installs something writes the whole database again, so this is the lowest layer from which on
        every database contains the package.
        """
        for at, packages in reversed(self._databases[file.ecosystem, file.path]):
            if at <= layer:
                if (package.name, package.version, package.arch) not in packages:
                    break
                layer = at
        return layer

    def list_third_party_names(self, ecosystem: str) -> frozenset[str]:
        """Return the owner names of packages that the distribution did not build.

        Their file lists show it. There are none if most lists of the base layer show that: then the lists are of the
        distribution and were shortened. A list that was shortened above the layer that introduced this version does not
        count either.
        """
        lists = [(at, file) for at, file in self.list_files(ecosystem) if file.owns]
        base = [file.is_third_party for at, file in lists if at == lists[0][0]]
        if 2 * sum(base) > len(base):
            return frozenset()
        complete: set[str] = set()
        third_party: set[str] = set()
        for at, file in lists:
            if not file.is_third_party:
                complete.update(file.owns)
            elif self.is_present(file.path, at):
                third_party.update(
                    name
                    for name in file.owns
                    if name not in complete or self.is_introduced(name.partition(":")[0], at, (ecosystem,))
                )
        return frozenset(third_party)

    def list_paths_below(self, folder: str) -> Iterator[str]:
        """Yield every path in any layer below `folder`, which ends with "/".

        Raises UnreadableError above WALK_LIMIT paths for one image, which only hostile images need.
        """
        paths = self._sorted_paths
        for index in range(bisect_left(paths, folder), len(paths)):
            if not paths[index].startswith(folder):
                return
            self._walked_paths += 1
            if self._walked_paths > WALK_LIMIT:
                raise UnreadableError("finding the packages of its files would take too long")
            yield paths[index]

    def is_folder(self, path: str) -> bool:
        """Return whether any layer has a path below this one; the root's path is empty."""
        paths, folder = self._sorted_paths, f"{path}/" if path else ""
        at = bisect_left(paths, folder)
        return at < len(paths) and paths[at].startswith(folder)

    def get_file_paths(self) -> Collection[str]:
        """Return the paths of the files of all layers, present or removed."""
        return self._top

    def list_files(self, ecosystem: str) -> Sequence[tuple[int, PackageFile]]:
        """Return the files that an ecosystem has read, present or removed, each with its layer, base first."""
        return self._files_by_ecosystem.get(ecosystem, ())

    @cached_property
    def _files_by_ecosystem(self) -> dict[str, list[tuple[int, PackageFile]]]:
        files: dict[str, list[tuple[int, PackageFile]]] = {}
        for at, facts in enumerate(self.facts):
            for file in facts.package_files:
                files.setdefault(file.ecosystem, []).append((at, file))
        return files

    @cached_property
    def present_files(self) -> tuple[tuple[int, PackageFile], ...]:
        """The package files that still exist, each with its layer.

        Files that count only where a link leads to their folder (`Extract.is_linked_only`) are included if one does.
        """
        return tuple(
            (at, file)
            for at, facts in enumerate(self.facts)
            for file in facts.package_files
            if self.is_present(file.path, at)
            and (not file.is_linked_only or self.is_link_target(file.path.rpartition("/")[0]))
        )

    def is_link_target(self, folder: str) -> bool:
        """Return whether a present symbolic link at a path of package metadata leads to the folder."""
        return folder in self._targets

    @cached_property
    def _targets(self) -> set[str]:
        return {
            target
            for at, facts in enumerate(self.facts)
            for path, target in facts.links.items()
            if self.is_present(path, at)
        }

    @cached_property
    def releases(self) -> dict[str, tuple[int, OsRelease]]:
        """The present os-release files by path, with their layers."""
        return {
            release.path: (at, release)
            for at, facts in enumerate(self.facts)
            for release in facts.releases
            if self.is_present(release.path, at)
        }

    @property
    def distribution(self) -> Distribution | None:
        """The distribution by the first present os-release file of `osrelease.PATHS`; None without one."""
        for path in osrelease.PATHS:
            if path in self.releases:
                return self.releases[path][1].distribution
        return None

    @cached_property
    def _databases(self) -> dict[tuple[str, str], list[tuple[int, frozenset[tuple[str, str, str | None]]]]]:
        """Ecosystem and path -> the layers with the file, base first, each with the packages that the file lists."""
        databases: dict[tuple[str, str], list[tuple[int, frozenset[tuple[str, str, str | None]]]]] = {}
        for at, facts in enumerate(self.facts):
            for file in facts.package_files:
                packages = frozenset((package.name, package.version, package.arch) for package in file.packages)
                databases.setdefault((file.ecosystem, file.path), []).append((at, packages))
        return databases

    @cached_property
    def _versions_by_package(self) -> dict[tuple[str, str], set[tuple[int, str]]]:
        """Ecosystem and package name -> layers and versions."""
        versions: dict[tuple[str, str], set[tuple[int, str]]] = {}
        for at, facts in enumerate(self.facts):
            for file in facts.package_files:
                for package in file.packages:
                    versions.setdefault((file.ecosystem, package.name), set()).add((at, package.version))
        return versions

    @cached_property
    def _top(self) -> dict[str, int]:
        top: dict[str, int] = {}
        for at, facts in enumerate(self.facts):
            top.update(dict.fromkeys(unpack_paths(facts.files), at))
        return top

    @cached_property
    def symlinks(self) -> dict[str, str]:
        """The present symbolic links with their targets from the root. Links in targets are not resolved."""
        return {
            path: target
            for at, facts in enumerate(self.facts)
            for path, target in facts.symlinks.items()
            if self.is_present(path, at)
        }

    @cached_property
    def _whiteouts(self) -> dict[str, int]:
        return {path: at for at, facts in enumerate(self.facts) for path in facts.whiteouts}

    @cached_property
    def _emptied_folders(self) -> dict[str, int]:
        """Folders -> the last layer that removes their content in lower layers."""
        return {path: at for at, facts in enumerate(self.facts) for path in (*facts.whiteouts, *facts.opaques)}

    @cached_property
    def _folders(self) -> dict[str, int]:
        return {path: at for at, facts in enumerate(self.facts) for path in facts.folders}

    @cached_property
    def _sorted_paths(self) -> list[str]:
        return sorted(self._top)

    def _find_last_removal(self, folder: str) -> int:
        """Return the last layer that removed the content of lower layers in `folder`."""
        walked_paths: list[str] = []
        if self._cached_characters > _CACHE_LIMIT:
            self._emptied_above.clear()
            self._cached_characters = 0
        while folder and folder not in self._emptied_above:
            walked_paths.append(folder)
            self._cached_characters += len(folder)
            folder = folder.rpartition("/")[0]
        self.spend(len(walked_paths))
        last = self._emptied_above.get(folder, self._emptied_folders.get("", -1))
        for name in reversed(walked_paths):
            last = max(last, self._top.get(name, -1), self._emptied_folders.get(name, -1))
            self._emptied_above[name] = last
        return last


def _find_merged_usr_alias(path: str) -> str | None:
    """Return the other name of a path where /bin, /sbin and /lib are merged into /usr, None if it has none."""
    if path.startswith(_MERGED_FOLDERS):
        return "usr/" + path
    return path[4:] if path.startswith("usr/") and path.startswith(_MERGED_FOLDERS, 4) else None
