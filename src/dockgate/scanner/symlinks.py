"""Symbolic links to folders: paths that lead through one, and evidence that lies at another path than it is looked for.

Two questions, each about all links of an image, whatever they are called:
- Does a layer write below a link of a lower layer? overlayfs unpacks each layer by itself and makes a folder there, in
  the link's place; storage drivers that unpack in place follow it. Builders write every folder before its content.
- Does a link give a file a second path, at which an ecosystem would have read it?
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from dockgate.scanner import osrelease
from dockgate.scanner.integrity.package_databases import Database
from dockgate.scanner.layer_index import View, unpack
from dockgate.scanner.layer_reader import worth
from dockgate.scanner.model import Unread
from dockgate.scanner.ports import Ecosystem
from dockgate.shared.errors import UnreadableError

# Links that are followed for one path, as Linux does (path_resolution(7))
_HOPS = 40
# Links in linked folders that are followed for a second path.
_DEPTH = 4
# Links of a merged /usr, each to the folder of its name in /usr: half of an image's files lie below them.
_MERGED = frozenset({"bin", "lib", "lib32", "lib64", "libx32", "sbin"})


def doubts(
    view: View, ecosystems: Sequence[Ecosystem], databases: Sequence[Database], unread: Collection[str]
) -> Iterator[Unread]:
    """An unread entry for each layer that writes through a link, and for each link that hides evidence and is not among
    the `unread` ones. A link that a distribution's package brings may lead to any evidence but a distribution's."""
    yield from _crossings(view)
    try:
        yield from _aliases(view, ecosystems, databases, unread)
    except UnreadableError as error:
        yield Unread("/", str(error))


def _crossings(view: View) -> Iterator[Unread]:
    last = max((at for at, facts in enumerate(view.facts) if at and facts.implied), default=0)
    files: dict[str, int] = {}
    whiteouts: dict[str, int] = {}
    opaques: dict[str, int] = {}
    for at, facts in enumerate(view.facts[: last + 1] if last else ()):
        for folder in facts.implied:
            if folder in files and not _is_removed(folder, files, whiteouts, opaques):
                reason = f"{folder} is no folder in a lower layer, and this layer writes below it as if it were one."
                yield Unread(folder, reason, facts.layer)
                break
        files.update(dict.fromkeys(unpack(facts.files), at))
        whiteouts.update(dict.fromkeys(facts.whiteouts, at))
        opaques.update(dict.fromkeys(facts.opaques, at))


def _is_removed(path: str, files: Mapping[str, int], whiteouts: Mapping[str, int], opaques: Mapping[str, int]) -> bool:
    """Whether a layer above that of the file at `path` has removed it."""
    since = files[path]
    removed = whiteouts.get(path, -1) > since
    while path and not removed:
        path = path.rpartition("/")[0]
        removed = max(whiteouts.get(path, -1), opaques.get(path, -1), files.get(path, -1)) > since
    return removed


def _aliases(
    view: View, ecosystems: Sequence[Ecosystem], databases: Sequence[Database], unread: Collection[str]
) -> Iterator[Unread]:
    """Links below which evidence would be looked for that was not read at its own path: one entry for each."""
    links, files = view.symlinks, view.files()
    names, suffixes, prefixes = _triggers(ecosystems)
    read = {(one.path, one.ecosystem) for _, one in view.live}
    worth_asking = worth(ecosystems)
    waiting = [
        (path, target, 0)
        for path, target in links.items()
        if (target not in files or target in links or view.is_folder(target)) and path not in unread
    ]
    while waiting:
        link, target, depth = waiting.pop()
        place = _followed(target, links)
        if place is None or not view.is_folder(place) or f"{place}/".startswith(f"{link}/"):
            continue
        if (link in _MERGED and place == f"usr/{link}") or _is_packaged(view, link, databases):
            paths = _evidence_below(view, prefixes, link, place)
        else:
            paths = view.under(f"{place}/" if place else "")
            if not any(f"{prefix}/".startswith(f"{link}/") or link.startswith(prefix) for prefix in prefixes):
                # Such a folder may have tens of thousands of files: nothing else is asked of most of them.
                paths = (
                    path
                    for path in paths
                    if path[path.rfind("/") + 1 :] in names
                    or path[path.rfind(".") :].lower() in suffixes
                    or path in links
                )
        for path in paths:
            alias = f"{link}/{path[len(place) :].lstrip('/')}"
            if path in links and links[path] != target and depth < _DEPTH:
                waiting.append((alias, links[path], depth + 1))
            wanted = [kind for kind in worth_asking(alias, b"") if kind.wants(alias, 0, 0, b"")]
            missed = any((path, kind.name) not in read and not kind.wants(path, 0, 0, b"") for kind in wanted)
            if (missed or (alias in osrelease.PATHS and path not in osrelease.PATHS)) and list(view.origins(path)):
                yield Unread(alias, f"{alias} leads through the link {link} to {path}, which was not read as such.")
                break


def _is_packaged(view: View, link: str, databases: Sequence[Database]) -> bool:
    """Whether a distribution's package brings the link."""
    return any(database.brings(link, at) for at in view.origins(link) for database in databases)


def _triggers(ecosystems: Sequence[Ecosystem]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names, suffixes and beginnings of the paths of evidence: what is wanted for a part of its path has such a name or
    suffix, too."""
    triggers = [kind.triggers for kind in ecosystems]
    return (
        frozenset(name for one in triggers for name in one.names),
        frozenset(suffix for one in triggers for suffix in one.suffixes),
        frozenset(osrelease.PATHS).union(prefix for one in triggers for prefix in one.prefixes),
    )


def _evidence_below(view: View, prefixes: Collection[str], link: str, place: str) -> Iterator[str]:
    """Files that a link gives a path at which evidence always lies."""
    for prefix in sorted(prefixes):
        if prefix.startswith(f"{link}/"):
            yield from view.under(place + prefix[len(link) :])


def _followed(path: str, links: Mapping[str, str]) -> str | None:
    """The end of the links at `path` and above it; None for links in a circle."""
    done, rest, hops = "", path, 0
    while rest:
        name, _, rest = rest.partition("/")
        done = f"{done}/{name}" if done else name
        if done in links:
            hops += 1
            if hops > _HOPS:
                return None
            done, rest = "", f"{links[done]}/{rest}" if rest else links[done]
    return done
