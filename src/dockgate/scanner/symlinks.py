"""Find symbolic links to folders that hide evidence or that runtimes unpack in different ways.

All links of an image are checked, whatever their names are:
- Does a layer write below a link of a lower layer? overlayfs unpacks each layer by itself and replaces the link by a
  folder; storage drivers that unpack in place follow the link. Builders write every folder before its content.
- Does a link give a file a second path at which an ecosystem would have read it?
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from dockgate.scanner import osrelease
from dockgate.scanner.integrity.package_databases import Database
from dockgate.scanner.layer_index import LayerStack, make_unchecked, unpack_paths
from dockgate.scanner.layer_reader import build_trigger_lookup
from dockgate.scanner.model import Unread
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UnreadableError

# Links that are followed for one path, as Linux does (path_resolution(7))
_HOPS = 40
# Links in linked folders that are followed for a second path.
_DEPTH = 4
# Links of a merged /usr, each to the folder of its name in /usr: half of an image's files lie below them.
_MERGED_FOLDERS = frozenset({"bin", "lib", "lib32", "lib64", "libx32", "sbin"})


def find_problems(
    stack: LayerStack, ecosystems: Sequence[Ecosystem], databases: Sequence[Database], unread_paths: Collection[str]
) -> Iterator[Unread]:
    """Yield an unread entry for each link that hides evidence, and each layer that writes through one.

    Skips links that are in `unread_paths`. A link of a distribution package may lead to any evidence except a
    distribution's.
    """
    yield from _find_writes_through_links(stack)
    try:
        yield from _find_aliases(stack, ecosystems, databases, unread_paths)
    except UnreadableError as error:
        yield make_unchecked(error)


def _find_writes_through_links(stack: LayerStack) -> Iterator[Unread]:
    last = max((at for at, facts in enumerate(stack.facts) if at and facts.implied_folders), default=0)
    files: dict[str, int] = {}
    whiteouts: dict[str, int] = {}
    opaques: dict[str, int] = {}
    for at, facts in enumerate(stack.facts[: last + 1] if last else ()):
        for folder in facts.implied_folders:
            stack.spend(folder.count("/") + 1 if folder in files else 1)
            if folder in files and not _is_removed(folder, files, whiteouts, opaques):
                reason = f"{folder} is not a folder in a lower layer, and this layer writes below it as if it were one."
                yield Unread(folder, reason, facts.layer)
                break
        files.update(dict.fromkeys(unpack_paths(facts.files), at))
        whiteouts.update(dict.fromkeys(facts.whiteouts, at))
        opaques.update(dict.fromkeys(facts.opaques, at))


def _is_removed(path: str, files: Mapping[str, int], whiteouts: Mapping[str, int], opaques: Mapping[str, int]) -> bool:
    """Return whether a later layer removes the file at `path`."""
    since = files[path]
    is_removed = whiteouts.get(path, -1) > since
    while path and not is_removed:
        path = path.rpartition("/")[0]
        is_removed = max(whiteouts.get(path, -1), opaques.get(path, -1), files.get(path, -1)) > since
    return is_removed


def _find_aliases(
    stack: LayerStack, ecosystems: Sequence[Ecosystem], databases: Sequence[Database], unread_paths: Collection[str]
) -> Iterator[Unread]:
    """Yield one entry for each link that gives a path of evidence to a file that was not read as evidence."""
    links, files = stack.symlinks, stack.get_file_paths()
    names, suffixes, prefixes = _collect_triggers(ecosystems)
    read_files = {(package_file.path, package_file.ecosystem) for _, package_file in stack.present_files}
    candidates = build_trigger_lookup(ecosystems)
    open_links = [
        (path, target, 0)
        for path, target in links.items()
        if (target not in files or target in links or stack.is_folder(target)) and path not in unread_paths
    ]
    while open_links:
        link, target, depth = open_links.pop()
        folder = _follow(stack, target, links)
        if folder is None or not stack.is_folder(folder) or f"{folder}/".startswith(f"{link}/"):
            continue
        if (link in _MERGED_FOLDERS and folder == f"usr/{link}") or _is_packaged(stack, link, databases):
            paths = _find_evidence_below(stack, prefixes, link, folder)
        else:
            paths = stack.list_paths_below(f"{folder}/" if folder else "")
            if not any(f"{prefix}/".startswith(f"{link}/") or link.startswith(prefix) for prefix in prefixes):
                # Such a folder may have tens of thousands of files: most are skipped by this cheap test.
                paths = (
                    path
                    for path in paths
                    if path[path.rfind("/") + 1 :] in names
                    or path[path.rfind(".") :].lower() in suffixes
                    or path in links
                )
        for path in paths:
            alias = f"{link}/{path[len(folder) :].lstrip('/')}"
            if path in links and links[path] != target and depth < _DEPTH:
                open_links.append((alias, links[path], depth + 1))
            interested_kinds = [kind for kind in candidates(alias, b"") if kind.should_read(alias, 0, 0, b"")]
            has_missed = any(
                (path, kind.name) not in read_files and not kind.should_read(path, 0, 0, b"")
                for kind in interested_kinds
            )
            if (has_missed or (alias in osrelease.PATHS and path not in osrelease.PATHS)) and list(
                stack.find_source_layers(path)
            ):
                yield Unread(alias, f"{alias} leads through the link {link} to {path}, which was not read as such.")
                break


def _is_packaged(stack: LayerStack, link: str, databases: Sequence[Database]) -> bool:
    """Return whether a package of the distribution contains the link."""
    return any(database.is_brought_by(link, at) for at in stack.find_source_layers(link) for database in databases)


def _collect_triggers(ecosystems: Sequence[Ecosystem]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the names, suffixes and prefixes of the paths of evidence.

    Evidence that is found by a part of its path also has one of these names or suffixes.
    """
    triggers = [kind.triggers for kind in ecosystems]
    return (
        frozenset(name for trigger in triggers for name in trigger.names),
        frozenset(suffix for trigger in triggers for suffix in trigger.suffixes),
        frozenset(osrelease.PATHS).union(prefix for trigger in triggers for prefix in trigger.prefixes),
    )


def _find_evidence_below(stack: LayerStack, prefixes: Collection[str], link: str, folder: str) -> Iterator[str]:
    """Yield the files to which the link gives a path that begins with one of `prefixes`."""
    for prefix in sorted(prefixes):
        if prefix.startswith(f"{link}/"):
            yield from stack.list_paths_below(folder + prefix[len(link) :])


def _follow(stack: LayerStack, path: str, links: Mapping[str, str]) -> str | None:
    """Resolve the links in `path`; None if they form a circle."""
    done_path, remaining_path, hops = "", path, 0
    while remaining_path:
        stack.spend(1)
        name, _, remaining_path = remaining_path.partition("/")
        done_path = f"{done_path}/{name}" if done_path else name
        if done_path in links:
            hops += 1
            if hops > _HOPS:
                return None
            done_path, remaining_path = (
                "",
                f"{links[done_path]}/{remaining_path}" if remaining_path else links[done_path],
            )
    return done_path
