"""Read lockfiles of Python's installers.

Left out are development dependencies, if the file marks them (poetry.lock since Poetry 2; requirements.txt does not),
and distributions in local folders and archives, whose names are not the index's. A distribution from git or a URL keeps
its name, because a fork shares code, and so advisories. One that requirements.txt does not pin has no version: if it is
not installed, it is undetermined.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.python.package import make_package
from dockgate.scanner.formats.content import check_mapping, check_size, decode_text, get_string, read_json_object
from dockgate.scanner.formats.toml import parse_document
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError
from dockgate.shared.pypi_names import normalize_pypi_name

# Bytes. A uv.lock of 166 packages, with every wheel and digest, has 715,000; a hostile file takes thirty times its
# size.
LOCK_LIMIT = 8 * 1024 * 1024
COUNT_LIMIT = 50_000  # distributions of one lockfile

_LOCAL_SOURCES = ("editable", "virtual", "directory", "path", "file", "archive-path")
# `name[extras]`, followed by anything that a requirement may contain.
_REQUIREMENT = r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*+(?:\[[^\]]*\])?\s*+(?:[<>=!~;@#(,\\-].*)?"
# `name[extras] == version`; possessive, so that no run of blanks is matched twice.
_PINNED_REQUIREMENT = (
    r"([A-Za-z0-9][\w.-]*+)\s*+(?:\[[^\]]*\])?\s*+\(?\s*+={2,3}\s*+([^\s;,#*)\\]++)\s*+\)?\s*+(?:[;#\\-].*)?"
)

_FILES = (".whl", ".zip", ".gz", ".bz2")

NameAndVersion = tuple[str, str]


def read(path: str, file: BinaryIO) -> Extract:
    """Read the distributions of a lockfile, whose name determines its format. Raises UnreadableError."""
    check_size(file, LOCK_LIMIT)
    name = path.rpartition("/")[2]
    if name == "requirements.txt":
        pins = _read_requirements(file.read())
    elif name == "Pipfile.lock":
        pins = _read_pipfile(read_json_object(file, LOCK_LIMIT))
    else:
        lock = parse_document(decode_text(file.read()).removeprefix("\ufeff"))
        pins = {"uv.lock": _read_uv, "poetry.lock": _read_poetry, "pdm.lock": _read_pdm}.get(name, _read_pylock)(lock)
    distinct = dict.fromkeys(pins)
    if len(distinct) > COUNT_LIMIT:
        raise UnreadableError(f"it has {len(distinct)} distributions; no more than {COUNT_LIMIT} are read")
    complete = (
        name_and_version
        for name_and_version in distinct
        if name_and_version[0] and (name_and_version[1] or name == "requirements.txt")
    )
    packages = {(normalize_pypi_name(name), version): make_package(name, version, path) for name, version in complete}
    return Extract(tuple(packages.values()), is_lockfile=True)


def _read_requirements(raw: bytes) -> Iterator[NameAndVersion]:
    """Read pip's requirements; those not pinned have no version, included files are read on their own."""
    is_utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    content = raw.decode("utf-16", "replace") if is_utf16 else decode_text(raw).removeprefix("\ufeff")
    for line in content.splitlines():
        if "==" in line and (pinned_match := re.fullmatch(_PINNED_REQUIREMENT, line.strip())):
            yield pinned_match[1], pinned_match[2]
        elif (name_match := re.fullmatch(_REQUIREMENT, line.strip())) and not name_match[1].endswith(_FILES):
            yield name_match[1], ""


def _read_pipfile(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    for name, entry in _require_table(lock.get("default", {})).items():
        if not _is_local(_require_table(entry)):
            yield name, get_string(entry, "version").lstrip("=")


def _read_poetry(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    """Read poetry.lock: `groups` since Poetry 2, `category` until 1.4, nothing marks development between."""
    for entry in _list_packages(lock, "package"):
        groups = entry.get("groups", [entry.get("category", "main")])
        source = _require_table(entry.get("source", {}))
        if isinstance(groups, list) and "main" in groups and get_string(source, "type") not in _LOCAL_SOURCES:
            yield _get_name_and_version(entry)


def _read_pdm(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    """Read pdm.lock: extras look like development groups, so only the default group counts."""
    for entry in _list_packages(lock, "package"):
        groups = entry.get("groups", ["default"])
        if isinstance(groups, list) and "default" in groups and not _is_local(entry):
            yield _get_name_and_version(entry)


def _read_pylock(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    """Read pylock.toml (PEP 751, now a packaging specification)."""
    defaults = lock.get("default-groups", [])
    for entry in _list_packages(lock, "packages"):
        marker = get_string(entry, "marker")
        is_in_group = "dependency_groups" in marker and not any(
            f"'{group}'" in marker or f'"{group}"' in marker
            for group in (defaults if isinstance(defaults, list) else ())
        )
        archive = _require_table(entry.get("archive", {}))
        if not is_in_group and "directory" not in entry and "path" not in archive:
            yield _get_name_and_version(entry)


def _read_uv(lock: dict[str, Any]) -> Iterator[NameAndVersion]:
    """Read uv.lock: what the project's own packages need, with extras; everything if there are none."""
    entries = list(_list_packages(lock, "package"))
    by_name: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_name.setdefault(get_string(entry, "name"), []).append(entry)
    local_entries = [entry for entry in entries if _is_local(_require_table(entry.get("source", {})))]
    open_entries = list(local_entries or entries)
    reached_ids = {id(entry) for entry in open_entries}
    requested_extras: set[NameAndVersion] = set()
    while open_entries:
        entry = open_entries.pop()
        extras = _require_table(entry.get("optional-dependencies", {})).values()
        lists = [needs for needs in (entry.get("dependencies", []), *extras) if isinstance(needs, list)]
        for need in map(_require_table, chain.from_iterable(lists)):
            name, version = _get_name_and_version(need)
            if (name, version) in requested_extras:
                continue
            requested_extras.add((name, version))
            for candidate in by_name.get(name, ()):
                if id(candidate) not in reached_ids and version in ("", get_string(candidate, "version")):
                    reached_ids.add(id(candidate))
                    open_entries.append(candidate)
    for entry in entries:
        if id(entry) in reached_ids and not _is_local(_require_table(entry.get("source", {}))):
            yield _get_name_and_version(entry)


def _is_local(source: Iterable[str]) -> bool:
    """Return whether a distribution's source is a local path of the project."""
    return any(key in source for key in _LOCAL_SOURCES)


def _list_packages(lock: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    entries = lock.get(key, [])
    if not isinstance(entries, list):
        raise UnreadableError(f"its {key} is not an array")
    yield from map(_require_table, entries)


def _get_name_and_version(entry: Mapping[str, Any]) -> NameAndVersion:
    return get_string(entry, "name"), get_string(entry, "version")


def _require_table(value: Any) -> dict[str, Any]:
    return check_mapping(value, "a value in it is not a table")
