"""Haskell packages as installed: the entries of GHC's package databases, be it a compiler's, a store of cabal or a
snapshot of Stack. Where nothing is installed, the lockfiles of cabal and Stack. A program tells nothing of them.

The library `ghc` has its compiler's version, of which OSV's schema has an ecosystem of its own.
"""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from dockgate.scanner.formats.content import check_size, decode
from dockgate.scanner.formats.order import is_digits, number_row
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.standalone import StandaloneEcosystem, check_purl
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.purl import Purl, write

# Bytes of an entry; those of a compiler have up to 60,000.
ENTRY_LIMIT = 4 * 1024 * 1024
# Bytes of a lockfile; one with 200 packages has 40,000.
LOCK_LIMIT = 4 * 1024 * 1024
# Of one number in a version, at most (Cabal-syntax's Distribution/Types/Version.hs).
DIGITS = 9

_DATABASES = ("package.conf.d", "package.db", "pkgdb")
_FREEZE = "cabal.project.freeze"
_STACK = "stack.yaml.lock"
_FIELDS = ("name", "version", "package-name", "import-dirs")


class Haskell(StandaloneEcosystem):
    name = "haskell"
    version = 1
    orders: tuple[str, ...] = ("Hackage", "GHC")
    purls: tuple[str, ...] = ("hackage",)
    triggers = Triggers(names=(_FREEZE, _STACK, *_DATABASES), suffixes=(".conf",))

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Also the databases' folders, so that links in their place are seen."""
        folder, _, name = path.rpartition("/")
        if name.endswith(".conf"):
            return folder.rpartition("/")[2] in _DATABASES
        return name in (_FREEZE, _STACK) or name in _DATABASES

    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.endswith((_FREEZE, _STACK)):
            check_size(file, LOCK_LIMIT)
            locked = _read_freeze_file if path.endswith(_FREEZE) else _read_stack_lock
            return Extract(tuple(dict.fromkeys(locked(path, decode(file.read())))), lock=True)
        if not path.endswith(".conf"):
            return Extract()
        check_size(file, ENTRY_LIMIT)
        fields = _fields(file)
        # A package's internal libraries have names of their own beside its.
        name, version = fields.get("package-name") or fields.get("name", ""), fields.get("version", "")
        if not name or not version:
            raise UnreadableError(f"it has no {'version' if name else 'name'}")
        package = _package(name, version, path)
        owned = _own_folder(path, fields.get("import-dirs", ""))
        compiler = (_compiler(version, path),) if name == "ghc" else ()
        return Extract((package, *compiler), {package.purl: (owned,)} if owned else {})

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:hackage/NAME@VERSION")
        return _package(purl.name, purl.version, "")

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        """No command changes a build's dependencies: its file has to say so."""
        files = "(constraints in cabal.project, extra-deps in stack.yaml)"
        return upgrade_command(raised, "-", f"# Raise {{list}} {files}, then build again.", item="{name} >= {version}")

    def key(self, version: str) -> bytes:
        """Numbers one by one, fewer before more (Cabal-syntax's Distribution/Types/Version.hs). Refuses what Cabal
        does, and tags, which it no longer compares."""
        parts = version.split(".")
        if not all(is_digits(part) and len(part) <= DIGITS and (part == "0" or part[0] != "0") for part in parts):
            raise UncomparableError(f"The Haskell version {version[:80]!r} is no numbers parted by dots.")
        return number_row(parts)


ECOSYSTEM: Ecosystem = Haskell()


def _package(name: str, version: str, path: str) -> Package:
    return Package(name, version, write("hackage", "", name, version), "Hackage", name, version, path)


def _compiler(version: str, path: str) -> Package:
    return Package("ghc", version, write("generic", "", "ghc", version), "GHC", "ghc", version, path)


def _fields(file: BinaryIO) -> dict[str, str]:
    """Those that matter here (Cabal-syntax's Distribution/Types/InstalledPackageInfo/FieldGrammar.hs): a field's lines
    after the first are indented."""
    fields: dict[str, str] = {}
    key = ""
    for raw in file:
        line = decode(raw)
        if line[:1] in (" ", "\t"):
            if key in _FIELDS:
                fields[key] = f"{fields[key]} {line.strip()}".strip()
        elif line.strip():
            key, colon, value = line.partition(":")
            key = key.strip().lower()
            if not colon or key in fields:
                raise UnreadableError(
                    f"it has two fields {key}" if colon else f"a line of it is no field: {line[:80]!r}"
                )
            if key in _FIELDS:
                fields[key] = value.strip()
    return fields


def _own_folder(path: str, import_dirs: str) -> str:
    """The folder of the package's interfaces, "" for none that is its own. `${pkgroot}` is where the database lies."""
    first = import_dirs.split(" ")[0].strip('"')
    if first.startswith("${pkgroot}"):
        first = f"{path.rpartition('/')[0].rpartition('/')[0]}{first.removeprefix('${pkgroot}')}"
    elif not first.startswith("/"):
        return ""
    parts: list[str] = []
    for part in first.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    owned = "/".join(parts) + "/"
    # One that claims all above its own entry would be found in every other's files.
    return "" if not parts or "\0" in owned or path.startswith(owned) else owned


def _read_freeze_file(path: str, content: str) -> Iterator[Package]:
    """`constraints: any.NAME ==VERSION, …`, with flags between them ("cabal freeze" in Cabal's user guide)."""
    pins = re.findall(r"(?<![\w.-])(?:any\.)?([A-Za-z0-9-]+) ==([0-9.]+)", content)
    if "constraints:" not in content or len(pins) != content.count("=="):
        raise UnreadableError("it is not how cabal writes it")
    for name, version in pins:
        yield _package(name, version, path)


def _read_stack_lock(path: str, content: str) -> Iterator[Package]:
    """Those from Hackage, `completed: {hackage: NAME-VERSION@sha256:…}` ("Lock files" in Stack's documentation). The
    packages of the snapshot that it names are not in it."""
    from dockgate.scanner.formats.yaml import document

    listed = document(content).get("packages", [])
    if not isinstance(listed, list):
        raise UnreadableError("it holds no list of packages")
    for entry in listed:
        completed = entry.get("completed") if isinstance(entry, dict) else None
        reference = completed.get("hackage") if isinstance(completed, dict) else None
        if isinstance(reference, str):
            name, _, version = reference.partition("@")[0].rpartition("-")
            if not name or not version:
                raise UnreadableError(f"a package of it has no version: {reference[:80]!r}")
            yield _package(name, version, path)
