"""Read one layer: collect its paths, and let ecosystems read the files that name packages."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from dockgate.scanner import osrelease
from dockgate.scanner.layer_index import LayerFacts, OsRelease, PackageFile, pack_paths
from dockgate.scanner.layer_tree import PATH_LIMIT, LayerTree, resolve_link
from dockgate.scanner.model import Unread
from dockgate.scanner.package_lengths import check_lengths
from dockgate.scanner.ports import Ecosystem, Entry, Extract, Layer, Triggers
from dockgate.shared.digest import compute_digest, get_hex
from dockgate.shared.errors import ImageError, UnreadableError

# Increment it when the same layer gives other facts. If only one ecosystem does, increment `Ecosystem.version` instead.
FACTS_VERSION = 19

# Bytes of memory, about, that all layers' facts may take, their paths packed and unpacked; those of the largest images
# in use take some 100 million.
FACTS_LIMIT = 256 * 1024 * 1024
# Bytes that a file of evidence takes, and as many each of its packages and of its parts that could not be read, all
# along the way from its layer to the reports; their texts apart.
READ_COST = 2048
# Seconds of the processor that the files of one layer may take, all together; those of the largest images in use take
# some seconds. What one file may take, its plugin bounds.
TIME_LIMIT = 120.0
# Files of evidence in one layer; the fullest images in use have some ten thousand.
READS_LIMIT = 100_000

# Where no distribution puts files (Filesystem Hierarchy Standard 3.0; Debian Policy 9.1): a package that has some is a
# vendor's, and no distribution brings fixes to it.
_VENDOR_FOLDERS = ("opt/", "usr/local/", "srv/", "home/", "root/")

_SCANNER_VERSION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,9}))?-[0-9a-f]{8}")
_EMPTY_EXTRACT = Extract()
_RELEASES = frozenset(osrelease.PATHS)


def compute_facts_version(ecosystems: Sequence[Ecosystem]) -> str:
    """The version under which facts are stored: it changes when the same layer would give other facts."""
    return " ".join([f"facts:{FACTS_VERSION}", *(f"{kind.name}:{kind.version}" for kind in ecosystems)])


def compute_scanner_version(ecosystems: Sequence[Ecosystem]) -> str:
    """Return the version of the scanner for people, such as "13.58-0f2a7c41".

    Another version may find other things in an image. The second number is the sum of the plugins' versions, so that
    versions have an order (`is_older_scanner`).
    """
    version_sum = sum(kind.version for kind in ecosystems)
    return f"{FACTS_VERSION}.{version_sum}-{get_hex(compute_digest(compute_facts_version(ecosystems).encode()))[:8]}"


def is_older_scanner(version: str | None, reference_version: str) -> bool:
    """Return whether a scanner's version is older than another one; None is older than all.

    A version that cannot be compared is not older: a later release of Dockgate may have written it.
    """
    if version is None:
        return True
    first, second = _SCANNER_VERSION.fullmatch(version), _SCANNER_VERSION.fullmatch(reference_version)
    if first is None or second is None:
        return False
    return _parse_numbers(first) < _parse_numbers(second)


def _parse_numbers(version: re.Match[str]) -> tuple[int, int]:
    return int(version[1]), int(version[2] or 0)


def read_layer(
    layer: Layer, ecosystems: Sequence[Ecosystem], clock: Callable[[], float] = float, *, should_hash: bool = False
) -> LayerFacts:
    """Read a layer.

    A layer that is broken or takes too long gives an unread entry for "/" and nothing else. `clock` returns the
    processor seconds of this thread; by default no time passes. `should_hash`: also compute the digest of the
    uncompressed content. Raises UnavailableError.
    """
    draft = _Draft(ecosystems, clock)
    try:
        draft.take(layer.read_entries(should_hash=should_hash))
        draft.tree.check()
        if draft.hardlinks:
            draft.take_linked(layer.read_entries())
    except ImageError as error:
        return LayerFacts(layer.digest, unread=(Unread("/", f"The layer cannot be read: {error}.", layer.digest),))
    return replace(draft.build_facts(layer.digest), compression=layer.compression, diff_id=layer.content_digest)


def estimate_memory_cost(file: PackageFile) -> int:
    """Estimate the bytes of memory that it takes."""
    parts = 1 + len(file.packages) + len(file.owns) + len(file.unread_parts)
    texts = sum(len(package.purl) + len(package.imports or "") for package in file.packages)
    texts += sum(map(len, file.owns.values())) + sum(len(path) + len(reason) for path, reason in file.unread_parts)
    return READ_COST * parts + texts


def format_unread_reason(path: str, reason: str) -> str:
    """Return the reason of an unread entry, as a sentence."""
    return f"{path} cannot be read: {reason}."


def _describe_outside_link(target: str) -> str:
    return f"it is a hard link to {target}, which is not an earlier file of its layer"


class _Draft:
    """The facts of a layer while it is read. A later entry replaces an earlier one at the same path."""

    def __init__(self, ecosystems: Sequence[Ecosystem], clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds_used = 0.0
        self.languages = frozenset(kind.name for kind in ecosystems if not kind.distributions)
        self.trigger_lookup = build_trigger_lookup(ecosystems)
        self.package_files: dict[tuple[str, str], PackageFile] = {}
        self.releases: dict[str, OsRelease] = {}
        self.lists: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self.links: dict[str, str] = {}
        self.by_content = tuple(kind for kind in ecosystems if kind.triggers.magics)
        self.hardlinks: dict[str, tuple[str, list[Ecosystem]]] = {}
        self.folders: set[str] = set()
        self.tree = LayerTree()
        self.unresolved_hardlinks: dict[str, str] = {}
        self.layer_problems: list[str] = []
        self.unlisted_folders: list[Unread] = []
        self.memory_used = 0

    def take(self, entries: Iterable[Entry]) -> None:
        """Take every entry once. The hot path: 30,000 entries in 0.05 s."""
        trigger_lookup, tree, folders, files = self.trigger_lookup, self.tree, self.tree.folders, self.tree.files
        contents: dict[str, tuple[int, bytes]] = {}
        for entry in entries:
            path, kind = entry.path, entry.kind
            if kind == "whiteout":
                tree.whiteouts.append(path)
                continue
            if kind == "opaque":
                tree.add_opaque(path)
                continue
            if len(path) > PATH_LIMIT or "\0" in path:
                self.layer_problems.append(f"An entry has a path that cannot exist, beginning with {path[:80]!r}.")
                continue
            slash_index = path.rfind("/")
            if slash_index > 0 and path[:slash_index] not in folders:
                tree.add_implied_folder(path[:slash_index])
            if kind == "directory":
                folders.add(path)
                if entry.open:
                    self._record_unlisted(entry.open, path)
            else:
                if kind == "hardlink":
                    entry = self._resolve_hard_link(entry)
                    kind = entry.kind
                if kind == "symlink":
                    tree.add_symlink(path, entry.link_target)
                elif kind == "other":
                    tree.devices.add(path)
                files.append(path)
            size, head = entry.size, entry.head
            if kind == "file":
                if head:
                    contents[path] = size, head
            elif kind == "hardlink" and entry.target in contents:
                size, head = contents[path] = contents[entry.target]
            candidates = trigger_lookup(path, head)
            if kind != "hardlink" and not candidates and path not in _RELEASES:
                continue
            mode = entry.mode
            kinds = [ecosystem for ecosystem in candidates if ecosystem.should_read(path, size, mode, head)]
            if kind == "hardlink":
                kinds = self._select_link_kinds(entry, kinds, size, head)
            if kinds or path in _RELEASES:
                self._take_evidence(entry, kinds)
                if len(self.package_files) > READS_LIMIT:
                    raise ImageError(f"it contains more than {READS_LIMIT} files that may list packages")

    def take_linked(self, entries: Iterable[Entry]) -> None:
        """Read the layer again for hard links at wanted paths: the content of each target when the link was made."""
        paths_by_target: dict[str, list[str]] = {}
        for path, (target, _) in self.hardlinks.items():
            paths_by_target.setdefault(target, []).append(path)
        read_paths: set[str] = set()
        for entry in entries:
            if entry.kind == "file":
                for path in paths_by_target.get(entry.path, ()):
                    if path in self.hardlinks:
                        self._read(path, entry, self.hardlinks[path][1])
                        read_paths.add(path)
            elif entry.kind == "hardlink" and entry.path in read_paths:
                self.hardlinks.pop(entry.path, None)
        for path in read_paths:
            self.hardlinks.pop(path, None)

    def build_facts(self, layer: str | None) -> LayerFacts:
        for path, (target, kinds) in self.hardlinks.items():
            self._mark_unread(path, _describe_outside_link(target), kinds)
        for path, target in self.unresolved_hardlinks.items():
            if path not in self.hardlinks:
                self.unlisted_folders.append(Unread(path, format_unread_reason(path, _describe_outside_link(target))))
        tree = self.tree
        files = tree.files
        if tree.devices:  # rootless podman makes none, and what is below stays
            files = [path for path in files if path not in tree.devices]
        return LayerFacts(
            layer,
            package_files=self._assign_owners(),
            releases=tuple(self.releases.values()),
            links=self.links,
            folders=tuple(sorted(self.folders)),
            whiteouts=tuple(tree.whiteouts),
            opaques=tuple(tree.opaques),
            files=pack_paths(files),
            symlinks={
                path: resolve_link(path, target) for path, target in tree.symlinks.items() if len(target) <= PATH_LIMIT
            },
            implied_folders=tuple(sorted(tree.implied_folders)),
            unread=(*(Unread("/", reason, layer) for reason in self.layer_problems[:1]), *self.unlisted_folders),
        )

    def _resolve_hard_link(self, entry: Entry) -> Entry:
        """Return the entry that a hard link creates at its path.

        No builder links to a file of a lower layer. A runtime would accept it: the file would be at two paths, and a
        whiteout could remove the one that was read.
        """
        linked_entry = self.tree.resolve_hard_link(entry)
        if linked_entry is None:
            self.unresolved_hardlinks[entry.path] = entry.link_target
        return linked_entry or entry

    def _select_link_kinds(self, entry: Entry, kinds: list[Ecosystem], size: int, head: bytes) -> list[Ecosystem]:
        """Select from `kinds`, which want this path, the ecosystems that read the content of a hard link.

        Content that is wanted under any name was read at the target. It is read again only if packages were found
        there: otherwise each layer with a program of two names would be unpacked twice.
        """
        target, mode = entry.link_target, entry.mode
        pending = self.hardlinks[target][1] if target in self.hardlinks else ()

        def is_read(kind: Ecosystem) -> bool:
            return (target, kind.name) in self.package_files or kind in pending

        chosen_kinds = [
            kind
            for kind in kinds
            if is_read(kind)
            or not (kind.should_read("-", size, mode, head) and kind.should_read(target, size, mode, head))
        ]
        return chosen_kinds + [kind for kind in self.by_content if kind not in chosen_kinds and is_read(kind)]

    def _record_unlisted(self, open_folder: Callable[[], BinaryIO], path: str) -> None:
        """Record a folder that could not be listed: only such folders have `open`, which raises the reason."""
        try:
            open_folder().close()
        except UnreadableError as error:
            self.unlisted_folders.append(Unread(path, format_unread_reason(path, str(error))))

    def _take_evidence(self, entry: Entry, kinds: list[Ecosystem]) -> None:
        path = entry.path
        for kind in kinds:
            self.package_files.pop((path, kind.name), None)
            self.lists.pop(path, None)
        self.releases.pop(path, None)
        self.links.pop(path, None)
        self.hardlinks.pop(path, None)
        self.folders.discard(path)
        match entry.kind:
            case "file":
                self._read(path, entry, kinds)
            case "hardlink":
                self.hardlinks[path] = (entry.link_target, kinds)
            case "symlink":
                self.links[path] = resolve_link(path, entry.link_target)
            case "directory":
                self.folders.add(path)
            case _:
                self._mark_unread(path, "it is neither a file nor a link nor a folder", kinds)

    def _read(self, path: str, entry: Entry, kinds: list[Ecosystem]) -> None:
        if entry.open is None:
            self._mark_unread(path, "its content is not there", kinds)
            return
        if path in osrelease.PATHS:
            try:
                self.releases[path] = OsRelease(path, osrelease.read(entry.open()))
            except UnreadableError as error:
                self.releases[path] = OsRelease(path, None, str(error))
        for kind in kinds:
            try:
                extract = self._read_timed(kind, path, entry.open)
                check_lengths(extract.packages)
            except UnreadableError as error:
                self.package_files[path, kind.name] = PackageFile(path, kind.name, unread_reason=str(error))
                continue
            if extract == _EMPTY_EXTRACT:
                continue
            file = PackageFile(
                path,
                kind.name,
                extract.packages,
                {name: pack_paths(paths) for name, paths in extract.owns.items()},
                extract.removed_names,
                unread_parts=extract.unread_parts,
                is_self_contained=extract.is_self_contained,
                is_lockfile=extract.is_lockfile,
                is_linked_only=extract.is_linked_only,
                release=extract.release,
                is_third_party=extract.is_third_party,
            )
            self.memory_used += estimate_memory_cost(file)
            if self.memory_used > FACTS_LIMIT:
                raise ImageError("its files list too many packages")
            self.package_files[path, kind.name] = file
            if kind.distributions and extract.owns:
                self.lists[path] = extract.owns

    def _read_timed(self, kind: Ecosystem, path: str, content: Callable[[], BinaryIO]) -> Extract:
        if self.seconds_used > TIME_LIMIT:
            raise ImageError(f"its files take more than {TIME_LIMIT:.0f} seconds to read")
        begun_at = self.clock()
        try:
            return kind.read(path, content())
        finally:
            self.seconds_used += self.clock() - begun_at

    def _mark_unread(self, path: str, reason: str, kinds: list[Ecosystem]) -> None:
        if path in osrelease.PATHS:
            self.releases[path] = OsRelease(path, None, reason)
        for kind in kinds:
            self.package_files[path, kind.name] = PackageFile(path, kind.name, unread_reason=reason)

    def _assign_owners(self) -> tuple[PackageFile, ...]:
        """Return the package files; those of languages with the distribution package whose file list names the file.

        Only packages in a database of this layer count as owners, because a list alone is easily written. Files in
        folders that no distribution uses have no owner.
        """
        languages = self.languages
        language_paths = {file.path for file in self.package_files.values() if file.ecosystem in languages}
        language_paths = {path for path in language_paths if not path.startswith(_VENDOR_FOLDERS)}
        installed_names = {
            package.name
            for file in self.package_files.values()
            if file.ecosystem not in languages
            for package in file.packages
        }
        owners: dict[str, str] = {}
        for owns in self.lists.values():
            for name, paths in owns.items():
                owner = name.partition(":")[0]
                if owner in installed_names:
                    owners.update(dict.fromkeys(language_paths.intersection(paths), owner))
        return tuple(
            replace(file, owner=owners[file.path]) if file.path in owners and file.ecosystem in languages else file
            for file in self.package_files.values()
        )


def build_trigger_lookup(ecosystems: Sequence[Ecosystem]) -> Callable[[str, bytes], Collection[Ecosystem]]:
    """Return a function that finds the ecosystems that may want a file.

    Their triggers match its path and the first bytes of its content.
    """
    names, suffixes, prefixes, parts, magics = (_group_by_trigger(ecosystems, field) for field in Triggers._fields)
    beginnings = tuple(prefixes)

    def find_candidates(path: str, head: bytes) -> Collection[Ecosystem]:
        name = path[path.rfind("/") + 1 :]
        ecosystems_found = (
            names.get(name, ()) + suffixes.get(name[name.rfind(".") :].lower(), ()) + magics.get(head[:4], ())
        )
        if path.startswith(beginnings):
            for prefix, kinds in prefixes.items():
                if path.startswith(prefix):
                    ecosystems_found += kinds
        for part, kinds in parts.items():
            if part in path:
                ecosystems_found += kinds
        return dict.fromkeys(ecosystems_found) if len(ecosystems_found) > 1 else ecosystems_found

    return find_candidates


def _group_by_trigger(ecosystems: Sequence[Ecosystem], field: str) -> dict[Any, tuple[Ecosystem, ...]]:
    """Return the ecosystems of each trigger of one kind."""
    triggered_kinds: dict[Any, tuple[Ecosystem, ...]] = {}
    for kind in ecosystems:
        for trigger in getattr(kind.triggers, field):
            triggered_kinds[trigger] = (*triggered_kinds.get(trigger, ()), kind)
    return triggered_kinds
