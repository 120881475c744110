"""Read lockfiles of npm, Yarn, pnpm and Bun.

Left out are development dependencies, if the file marks them (Yarn's does not), and packages in local folders and
archives (workspaces, `link:`, `file:`), whose names are not the registry's. A package from git or a URL keeps its name,
because a fork shares code, and so advisories. One whose only version is a commit (git, in npm's first format) cannot be
compared, and is left out.
"""

import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.npm.package import make_package
from dockgate.scanner.formats.content import check_mapping, check_size, decode_text, get_string, read_json_object
from dockgate.scanner.formats.yaml import parse_documents
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

# Bytes. A package-lock.json of 1,200 packages has 550,000; a hostile file takes thirty times its size in memory.
LOCK_LIMIT = 8 * 1024 * 1024
COUNT_LIMIT = 50_000  # packages of one lockfile

# Beginnings of references that do not lead to a registry.
_LOCAL_PREFIXES = ("file:", "link:", "portal:", "workspace:", "./", "../", "/")

_SOURCE_CHARACTERS = frozenset(":/")  # characters of a commit or URL instead of a version
_DEPTH_LIMIT = 32  # slashes in a key of bun.lock, the path through node_modules to a package
_KEY_LIMIT = 1024  # characters of such a key

NameAndVersion = tuple[str, str]


def read(path: str, file: BinaryIO) -> Extract:
    """Read the packages of a lockfile, whose name determines its format. Raises UnreadableError."""
    name = path.rpartition("/")[2]
    check_size(file, LOCK_LIMIT)
    if name == "yarn.lock":
        content = decode_text(file.read())
        packages = _read_yarn_berry(content) if "\n__metadata:" in content else _read_yarn_classic(content)
    elif name == "pnpm-lock.yaml":
        packages = _read_pnpm(decode_text(file.read()))
    elif name == "bun.lock":
        packages = _read_bun(decode_text(file.read()))
    else:
        packages = _read_npm(read_json_object(file, LOCK_LIMIT))
    distinct = dict.fromkeys(packages)
    if len(distinct) > COUNT_LIMIT:
        raise UnreadableError(f"it has {len(distinct)} packages; no more than {COUNT_LIMIT} are read")
    complete_names = [
        name_and_version
        for name_and_version in distinct
        if all(name_and_version) and _SOURCE_CHARACTERS.isdisjoint(name_and_version[1])
    ]
    built_packages = [make_package(*name_and_version, path) for name_and_version in complete_names]
    return Extract(tuple(built_packages), is_lockfile=True)


def _read_npm(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    """Read package-lock.json(5): "packages" by folder since version 2, nested "dependencies" before."""
    if "packages" not in lock:
        yield from _read_npm_nested(lock)
        return
    for folder, entry in _list_entries(lock, "packages"):
        _, modules, name = folder.rpartition("node_modules/")
        is_local = entry.get("link") is True or get_string(entry, "resolved").startswith(_LOCAL_PREFIXES)
        if modules and not is_local and entry.get("dev") is not True:
            yield get_string(entry, "name") or name, get_string(entry, "version")


def _read_npm_nested(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    waiting = [lock]
    while waiting:
        for name, entry in _list_entries(waiting.pop(), "dependencies"):
            version = get_string(entry, "version")
            waiting.append(entry)
            if entry.get("dev") is True or version.startswith(_LOCAL_PREFIXES):
                continue
            alias, _, aliased_version = _split_at(version.removeprefix("npm:"))
            yield (alias, aliased_version) if version.startswith("npm:") else (name, version)


def _read_yarn_classic(content: str) -> Iterator[NameAndVersion]:
    """Read Yarn 1: a line `name@range, name@range:`, and an indented line `version "…"`."""
    name, has_version = "", True
    for number, raw in enumerate(content.split("\n"), 1):
        line = raw.rstrip("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] != " ":
            if not line.endswith(":") or not has_version:
                raise UnreadableError(f"line {number}: a package has no version, or this is not a lockfile of Yarn")
            name, _, range_ = _split_at(line.partition(",")[0].strip('":'))
            alias, _, _ = _split_at(range_.removeprefix("npm:")) if range_.startswith("npm:") else ("", "", "")
            name, has_version = "" if range_.startswith(_LOCAL_PREFIXES) else alias or name, False
        elif line.startswith("  ") and line[2] != " ":
            # Key and value may be quoted, with a colon between (Yarn 1, src/lockfile/parse.js).
            words = line.strip().replace('"', " ").replace(":", " ", 1).split()
            if words[:1] == ["version"] and len(words) > 1:
                yield name, words[1]
                has_version = True
    if not has_version:
        raise UnreadableError("its last package has no version")


def _read_yarn_berry(content: str) -> Iterator[NameAndVersion]:
    """Read Yarn 2 and later: YAML, each `resolution` a locator `name@protocol:reference`."""
    for document in parse_documents(content):
        for _, entry in _list_entries({"": document}, ""):
            name, _, reference = _split_at(get_string(entry, "resolution"))
            if name and get_string(entry, "linkType") != "soft" and not reference.startswith(_LOCAL_PREFIXES):
                yield name, get_string(entry, "version")


def _read_pnpm(content: str) -> Iterator[NameAndVersion]:
    """Read pnpm's lock: versions 5 and 6 mark development dependencies, 9 needs a search from importers."""
    for document in parse_documents(content):
        lock = check_mapping(document, "it is not a mapping")
        reached_keys = _find_pnpm_reached(lock) if "snapshots" in lock else None
        has_slashes = get_string(lock, "lockfileVersion").startswith("5")
        for key, entry in _list_entries(lock, "packages"):
            if entry.get("dev") == "true" or (reached_keys is not None and key not in reached_keys):
                continue
            resolution = entry.get("resolution")
            if isinstance(resolution, dict) and (
                "directory" in resolution or "file:" in get_string(resolution, "tarball")
            ):
                continue
            name, version = _parse_pnpm_name(key, has_slashes=has_slashes)
            yield get_string(entry, "name") or name, get_string(entry, "version") or version


def _parse_pnpm_name(key: str, *, has_slashes: bool) -> NameAndVersion:
    """Parse `/name/1.0.0_peers` of version 5, `/name@1.0.0(peers)` of 6, `name@1.0.0` of 9."""
    key = key.removeprefix("/")
    if has_slashes:
        name, _, version = key.rpartition("/")
        return name, version.partition("_")[0]
    name, _, version = _split_at(key.partition("(")[0])
    return name, version


def _find_pnpm_reached(lock: dict[str, Any]) -> set[str]:
    """Keys, without peers, of all packages that are not only for development."""
    snapshots = dict(_list_entries(lock, "snapshots"))
    open_keys = [
        _make_pnpm_key(name, get_string(entry, "version"), snapshots)
        for _, importer in _list_entries(lock, "importers")
        for kind in ("dependencies", "optionalDependencies")
        for name, entry in _list_entries(importer, kind)
    ]
    reached_keys: set[str] = set()
    while open_keys:
        key = open_keys.pop()
        if key in reached_keys:
            continue
        reached_keys.add(key)
        for kind in ("dependencies", "optionalDependencies"):
            needs = check_mapping(snapshots.get(key, {}).get(kind, {}), f"the {kind} of {key} are not a mapping")
            open_keys += [_make_pnpm_key(name, str(version), snapshots) for name, version in needs.items()]
    return {key.partition("(")[0] for key in reached_keys}


def _make_pnpm_key(name: str, version: str, snapshots: dict[str, Any]) -> str:
    """Return the key of a package; an alias has its target's key instead of a version."""
    return version if version in snapshots else f"{name}@{version}"


def _read_bun(content: str) -> Iterator[NameAndVersion]:
    """Read bun.lock: JSON with trailing commas, "packages" by path through node_modules ("express/debug")."""
    plain = re.sub(r'("(?:[^"\\]|\\.)*+"?)|,(?=\s*[}\]])', r"\1", content, flags=re.DOTALL)
    lock = read_json_object(BytesIO(plain.encode("utf-8", "replace")), LOCK_LIMIT)
    listed_packages = check_mapping(lock.get("packages", {}), "its packages are not an object")
    open_needs: list[tuple[str, str]] = []
    for _, workspace in _list_entries(lock, "workspaces"):
        open_needs += [(get_string(workspace, "name"), name) for name in _list_bun_dependencies(workspace)]
    reached_keys: set[str] = set()
    while open_needs:
        parent, name = open_needs.pop()
        key = _find_bun_key(parent, name, listed_packages)
        if not key or key in reached_keys:
            continue
        if key.count("/") > _DEPTH_LIMIT or len(key) > _KEY_LIMIT:
            raise UnreadableError("its packages are nested too deeply")
        reached_keys.add(key)
        for part in listed_packages[key] if isinstance(listed_packages[key], list) else ():
            if isinstance(part, dict):
                open_needs += [(key, need) for need in _list_bun_dependencies(part)]
    for key, entry in listed_packages.items():
        if not isinstance(entry, list) or not entry or not isinstance(entry[0], str):
            raise UnreadableError(f"its package {key} is not a list")
        name, _, version = _split_at(entry[0])
        if key in reached_keys:
            yield name, version


def _list_bun_dependencies(entry: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("dependencies", "optionalDependencies", "peerDependencies"):
        yield from check_mapping(entry.get(kind, {}), f"its {kind} are not an object")


def _find_bun_key(parent: str, name: str, listed_packages: Mapping[str, Any]) -> str | None:
    """Return the key of the nearest package of that name, from the package `parent`, or None."""
    while parent:
        if f"{parent}/{name}" in listed_packages:
            return f"{parent}/{name}"
        parent, _, last = parent.rpartition("/")
        if parent.rpartition("/")[2].startswith("@") and not last.startswith("@"):
            parent = parent.rpartition("/")[0]
    return name if name in listed_packages else None


def _list_entries(mapping: Mapping[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the members of a mapping of mappings. Raises UnreadableError for anything else."""
    for name, entry in check_mapping(mapping.get(key, {}), f"its {key or 'content'} is not a mapping").items():
        yield name, check_mapping(entry, f"its entry {name} is not a mapping")


def _split_at(reference: str) -> tuple[str, str, str]:
    """Split `name@rest`, where the name may have a scope."""
    name, sign, version = reference[1:].partition("@")
    return reference[:1] + name, sign, version
