"""Detect package metadata that was changed without its files.

The checks compare the layers that provide the files which are still present (`LayerStack.find_source_layers`). Package
managers remove or replace a package together with its files, in one layer; editing only the database leaves the files.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from dockgate.scanner import osrelease, symlinks
from dockgate.scanner.integrity import database_checks, language_packages
from dockgate.scanner.integrity.package_databases import Database, list_owner_names
from dockgate.scanner.integrity.python_metadata import PackageFolders
from dockgate.scanner.layer_index import LayerFacts, LayerStack, make_unchecked, pack_paths, unpack_paths
from dockgate.scanner.model import Unread
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.unsupported_stores import find_stores
from dockgate.shared.errors import UnreadableError

# The paths of os-release, and of the folders above them; the root's path is empty.
_RELEASE_PATHS = frozenset(
    path[:end] for path in osrelease.PATHS for end in (0, *(at for at, c in enumerate(path) if c == "/"), len(path))
)
# Paths below a link's target that are compared.
_TRIES = 64
# The last is Windows'.
_LOADERS = ("ld-linux", "ld-musl", "libc.so.6", "ld.so.1", "ld64.so", "ntdll.dll")


def find_problems(stack: LayerStack, ecosystems: Sequence[Ecosystem]) -> Iterator[Unread]:
    """Return an unread entry for each inconsistency in the image's package metadata."""
    databases = [Database(stack, kind) for kind in ecosystems if kind.distributions]
    all_links = list(_check_links(stack, ecosystems, databases))
    yield from all_links
    yield from symlinks.find_problems(stack, ecosystems, databases, {entry.path for entry in all_links})
    yield from _check_system(stack, databases)
    yield from _check_releases(stack)
    yield from _check_repositories(stack)
    for database in databases:
        yield from database_checks.find_problems(database)
        yield from _check_identity(stack, database)
    try:
        yield from find_stores(stack)
        for at, file, nameless in PackageFolders(stack).find_nameless():
            if not any(database.is_brought_by(file, at) for database in databases):
                yield nameless
        for kind in ecosystems:
            if not kind.distributions:
                yield from language_packages.find_problems(stack, kind)
    except UnreadableError as error:
        yield make_unchecked(error)


def _check_links(stack: LayerStack, ecosystems: Sequence[Ecosystem], databases: Sequence[Database]) -> Iterator[Unread]:
    """Find symbolic links at paths of package metadata that lead to files which were not read.

    A link that a distribution package installs is accepted, unless it is at a path of distribution metadata.
    """
    all_links = [(at, facts, *link) for at, facts in enumerate(stack.facts) for link in facts.links.items()]
    if not all_links:
        return
    read_paths = sorted({entry.path for _, entry in stack.present_files})
    readable = {
        *read_paths,
        *(entry.path.rpartition("/")[0] for _, entry in stack.present_files if entry.is_linked_only),
    }
    for at, facts, path, target in all_links:
        if not stack.is_present(path, at):
            continue
        kinds = [kind for kind in ecosystems if kind.should_read(path, 0, 0, b"")]
        if path in osrelease.PATHS:
            is_readable = target in stack.releases or (
                target == osrelease.FREEBSD_LINK and osrelease.FREEBSD in stack.releases
            )
        elif target in readable or any(_is_read_through(kind, path, target, read_paths) for kind in kinds):
            is_readable = True
        else:
            is_readable = not any(kind.distributions for kind in kinds) and any(
                database.is_brought_by(path, at) for database in databases
            )
        if not is_readable:
            yield Unread(path, f"{path} is a link to {target or '/'}, which was not read.", facts.layer)


def _is_read_through(kind: Ecosystem, path: str, target: str, read_paths: list[str]) -> bool:
    """Return whether files below the folder `target` are read there as they would be below `path`."""
    if not kind.should_read(target, 0, 0, b""):
        return False
    folder = target + "/"
    for at in range(first := bisect_left(read_paths, folder), min(first + _TRIES, len(read_paths))):
        remaining_path = read_paths[at].removeprefix(target)
        if not read_paths[at].startswith(folder):
            return False
        # A file that is wanted below any folder does not show that both folders are equal.
        if kind.should_read(path + remaining_path, 0, 0, b"") and not kind.should_read("x" + remaining_path, 0, 0, b""):
            return True
    return False


def _check_system(stack: LayerStack, databases: Sequence[Database]) -> Iterator[Unread]:
    """Check that the image has the package database of the distribution that it names."""
    distribution = stack.distribution
    living = [database for database in databases if database.present_files]
    if distribution is None:
        if living and not stack.releases:
            name = living[0].kind.name
            reason = f"There is a {name} database, yet no os-release names the distribution that it is of."
            yield Unread(osrelease.PATHS[0], reason)
        elif not living and not any(file.packages for _, file in stack.present_files):
            yield Unread("/", "The image names no operating system, and contains no package and no package database.")
        elif not living and any(
            path.rpartition("/")[2].startswith(_LOADERS) and list(stack.find_source_layers(path))
            for path in stack.get_file_paths()
        ):
            yield Unread("/", "The image contains a C library, yet neither an os-release nor a package database.")
        return
    path = next(path for path in osrelease.PATHS if path in stack.releases)
    name = distribution.name or distribution.id
    names = {distribution.id, *distribution.like}
    system_databases = [database for database in databases if not names.isdisjoint(database.kind.distributions)]
    if not system_databases:
        yield Unread(path, f"Packages of {name} are not read: its package database is of no known kind.")
        return
    if not any(database.present_files for database in system_databases):
        paths = ", ".join(path for database in system_databases for path in database.kind.database_paths)
        yield Unread(path, f"The image is {name}, yet contains no package database of it ({paths}).")
    for database in living:
        if database not in system_databases and database.packages:
            at, file = database.present_files[-1]
            reason = f"The image is {name}, yet {file.path} lists packages of another distribution."
            yield Unread(file.path, reason, stack.facts[at].layer)


def _check_releases(stack: LayerStack) -> Iterator[Unread]:
    """Find os-release files that name different distributions: tools disagree on which one counts."""
    distribution_names = {
        (release.distribution.id, release.distribution.version): (path, at)
        for path in reversed(osrelease.PATHS)
        if path in stack.releases
        for at, release in [stack.releases[path]]
        if release.distribution
    }
    if len(distribution_names) > 1:
        path, at = list(distribution_names.values())[-1]
        names_found = " and ".join(f"{path} {' '.join(name).strip()}" for name, (path, _) in distribution_names.items())
        yield Unread(path, f"The image names two distributions: {names_found}.", stack.facts[at].layer)


def _check_repositories(stack: LayerStack) -> Iterator[Unread]:
    """Find package repositories of another release: packages would be matched with that release's advisories."""
    distribution = stack.distribution
    for at, file in stack.present_files:
        release = (file.release or "").removeprefix("v")
        if distribution and release[:1].isdigit() and not f"{distribution.version}.".startswith(f"{release}."):
            reason = f"{file.path} serves {file.release}, where os-release says {distribution.version}."
            yield Unread(file.path, reason, stack.facts[at].layer)


def _check_identity(stack: LayerStack, database: Database) -> Iterator[Unread]:
    """Find a renamed distribution whose packages are still those of the earlier one."""
    now = stack.distribution
    release_paths = {*osrelease.PATHS, "etc", "usr", "usr/lib"}
    touching = [
        at
        for at, facts in enumerate(stack.facts)
        if facts.releases
        or facts.opaques
        or release_paths.intersection(facts.links)
        or release_paths.intersection(facts.whiteouts)
    ]
    if now is None or not database.present_files or len(touching) < 2:
        return
    since = touching[-1]
    relevant = [_select_releases(facts) for facts in stack.facts]
    for at in reversed(touching[:-1]):
        stack.spend(at)
        was = LayerStack(relevant[: at + 1]).distribution
        if was and (was.id, was.version) != (now.id, now.version):
            break
        since = at
    else:
        return
    if not database.is_rewritten_since(since) or _is_owner_kept(database, since):
        path = next(path for path in osrelease.PATHS if path in stack.releases)
        reason = (
            f"{path} says {now.id} {now.version} where a layer below says {was.id} {was.version}, "
            "yet the packages were not changed with it."
        )
        yield Unread(path, reason, stack.facts[since].layer)


def _select_releases(facts: LayerFacts) -> LayerFacts:
    """Return what a layer has at the paths of os-release and above them."""
    return LayerFacts(
        facts.layer,
        releases=facts.releases,
        folders=tuple(_RELEASE_PATHS.intersection(facts.folders)),
        whiteouts=tuple(_RELEASE_PATHS.intersection(facts.whiteouts)),
        opaques=tuple(_RELEASE_PATHS.intersection(facts.opaques)),
        files=pack_paths(_RELEASE_PATHS.intersection(unpack_paths(facts.files))),
    )


def _is_owner_kept(database: Database, since: int) -> bool:
    """Return whether the package that owns os-release is the one from before `since`.

    Another release has another package.
    """
    names = {name for path in osrelease.PATHS for at, name in database.find_owners(path) if at < since}
    for (name, arch), packages in database.packages.items():
        if names & list_owner_names(name, arch):
            versions = {package.version for package in packages}
            return any(at < since and old.version in versions for at, old in database.history.get((name, arch), ()))
    return False
