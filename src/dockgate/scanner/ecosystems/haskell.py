"""Haskell packages as installed: GHC's package databases; else the lockfiles of cabal and Stack.

The databases belong to a compiler, a store of cabal or a snapshot of Stack. Compiled programs do not list their
packages. The library `ghc` has the version of its compiler, which is an ecosystem of its own in OSV's schema.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from dockgate.scanner.formats.content import check_size, decode_text, join_path, read_text
from dockgate.scanner.formats.order import encode_numbers, is_digits
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

ENTRY_LIMIT = 4 * 1024 * 1024  # bytes of an entry; a compiler's have up to 60,000
LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a lockfile; one with 200 packages has 40,000
DIGITS = 9  # digits of one number in a version, at most (Cabal-syntax, Distribution/Types/Version.hs)

_DATABASES = ("package.conf.d", "package.db", "pkgdb")
_FREEZE = "cabal.project.freeze"
_STACK = "stack.yaml.lock"
_FIELDS = ("name", "version", "package-name", "import-dirs")


class Haskell(StandaloneEcosystem):
    """Haskell packages, ecosystems Hackage and GHC."""

    name = "haskell"
    version = 1
    osv_names: tuple[str, ...] = ("Hackage", "GHC")
    purl_types: tuple[str, ...] = ("hackage",)
    triggers = Triggers(names=(_FREEZE, _STACK, *_DATABASES), suffixes=(".conf",))
    # No command changes the dependencies of a build: its file must name the version.
    upgrade_line = UpgradeLine(
        "-",
        "# Raise {list} (constraints in cabal.project, extra-deps in stack.yaml), then build again.",
        item="{name} >= {version}",
    )

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        folder, _, name = path.rpartition("/")
        if name.endswith(".conf"):
            return folder.rpartition("/")[2] in _DATABASES
        return name in (_FREEZE, _STACK) or name in _DATABASES

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.endswith((_FREEZE, _STACK)):
            read_lock = _read_freeze_file if path.endswith(_FREEZE) else _read_stack_lock
            return Extract(tuple(dict.fromkeys(read_lock(path, read_text(file, LOCK_LIMIT)))), is_lockfile=True)
        if not path.endswith(".conf"):
            return Extract()
        check_size(file, ENTRY_LIMIT)
        fields = _read_fields(file)
        # Internal libraries of a package have names of their own.
        name, version = fields.get("package-name") or fields.get("name", ""), fields.get("version", "")
        if not name or not version:
            raise UnreadableError(f"it has no {'version' if name else 'name'}")
        package = _make_package(name, version, path)
        owned_folder = _find_own_folder(path, fields.get("import-dirs", ""))
        packages = [package]
        if name == "ghc":
            packages.append(
                Package(name, version, write_purl("generic", "", name, version), "GHC", name, version, path)
            )
        return Extract(tuple(packages), {package.purl: (owned_folder,)} if owned_folder else {})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:hackage/NAME@VERSION")
        return _make_package(purl.name, purl.version, "")

    @override
    def make_version_key(self, version: str) -> bytes:
        """Numbers one by one, fewer first (Cabal-syntax, Distribution/Types/Version.hs); tags are refused."""
        parts = version.split(".")
        if not all(is_digits(part) and len(part) <= DIGITS and (part == "0" or part[0] != "0") for part in parts):
            raise UncomparableError(f"the Haskell version {version[:80]!r} is not numbers separated by dots")
        return encode_numbers(parts)


ECOSYSTEM: Ecosystem = Haskell()


def _make_package(name: str, version: str, path: str) -> Package:
    return Package(name, version, write_purl("hackage", "", name, version), "Hackage", name, version, path)


def _read_fields(file: BinaryIO) -> dict[str, str]:
    """Read the relevant fields (Cabal-syntax, Distribution/Types/InstalledPackageInfo/FieldGrammar.hs)."""
    fields: dict[str, str] = {}
    key = ""
    for raw in file:
        line = decode_text(raw)
        if line[:1] in (" ", "\t"):
            if key in _FIELDS:
                fields[key] = f"{fields[key]} {line.strip()}".strip()
        elif line.strip():
            key, colon, value = line.partition(":")
            key = key.strip().lower()
            if not colon or key in fields:
                problem = f"it has two fields {key}" if colon else f"a line of it is not a field: {line[:80]!r}"
                raise UnreadableError(problem)
            if key in _FIELDS:
                fields[key] = value.strip()
    return fields


def _find_own_folder(path: str, import_dirs: str) -> str | None:
    """Return the folder of the package's interfaces, or None if it has none of its own.

    `${pkgroot}` contains the database.
    """
    first = import_dirs.split(" ")[0].strip('"')
    if first.startswith("${pkgroot}"):
        first = f"{path.rpartition('/')[0].rpartition('/')[0]}{first.removeprefix('${pkgroot}')}"
    elif not first.startswith("/"):
        return None
    owned_folder = f"{join_path('', first)}/"
    # A folder that contains the entry itself would own the files of all other packages.
    return None if owned_folder == "/" or "\0" in owned_folder or path.startswith(owned_folder) else owned_folder


def _read_freeze_file(path: str, content: str) -> Iterator[Package]:
    """Read `constraints: any.NAME ==VERSION, …` with flags between ("cabal freeze", Cabal User Guide)."""
    pins = re.findall(r"(?<![\w.-])(?:any\.)?([A-Za-z0-9-]+) ==([0-9.]+)", content)
    if "constraints:" not in content or len(pins) != content.count("=="):
        raise UnreadableError("its format is not that of cabal")
    for name, version in pins:
        yield _make_package(name, version, path)


def _read_stack_lock(path: str, content: str) -> Iterator[Package]:
    """Read `completed: {hackage: NAME-VERSION@sha256:…}` (Stack, "Lock files"); the snapshot's are not listed."""
    from dockgate.scanner.formats.yaml import parse_document

    listed_packages = parse_document(content).get("packages", [])
    if not isinstance(listed_packages, list):
        raise UnreadableError("it has no list of packages")
    for entry in listed_packages:
        completed_entry = entry.get("completed") if isinstance(entry, dict) else None
        reference = completed_entry.get("hackage") if isinstance(completed_entry, dict) else None
        if isinstance(reference, str):
            name, _, version = reference.partition("@")[0].rpartition("-")
            if not name or not version:
                raise UnreadableError(f"a package of it has no version: {reference[:80]!r}")
            yield _make_package(name, version, path)
