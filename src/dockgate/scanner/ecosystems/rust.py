"""Rust crates: the list that cargo-auditable puts into programs, and Cargo.lock.

A Rust program without that section does not list its crates. Build dependencies are left out where they are marked;
Cargo.lock marks neither them nor test dependencies.

Advisories cover crates.io. A crate from a local folder or another registry shares only the name with one there: it is
listed, and no advisory matches it. A crate from git is mostly a fork or a later state with the same version: whether it
has a fix is unknown, so its version compares with none.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.content import decode_text, read_text
from dockgate.scanner.formats.executable import MAGICS, can_be_program, find_executables
from dockgate.scanner.formats.shell import VERSION, is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, build_package, check_purl
from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

LIST_LIMIT = 8 * 1024 * 1024  # bytes of cargo-auditable's list, inflated; a program with 500 crates has 50,000
LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a Cargo.lock; a workspace with 1,000 crates has 250,000

_SECTION = b".dep-v0"
_TABLES = ("[[package]]", "[root]")
_OTHER_TABLES = ("[metadata]", "[[patch.unused]]")
_FIELDS = ("name", "version", "source")
_CRATES_IO = ("crates.io", "CratesIo")
_INDICES = (
    "registry+https://github.com/rust-lang/crates.io-index",
    "sparse+https://index.crates.io/",
    "registry+sparse+https://index.crates.io/",
)


class Rust(StandaloneEcosystem):
    """Rust crates, ecosystem crates.io."""

    name = "rust"
    version = 1
    osv_names: tuple[str, ...] = ("crates.io",)
    purl_types: tuple[str, ...] = ("cargo",)
    triggers = Triggers(names=("Cargo.lock",), magics=MAGICS)

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        return can_be_program(head) or path == "Cargo.lock" or path.endswith("/Cargo.lock")

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if path.rpartition("/")[2] == "Cargo.lock":
            crates = _read_lock(path, file)
            return Extract(crates, is_lockfile=True) if crates else Extract()
        packages: dict[Package, None] = {}
        for executable in find_executables(file, (_SECTION,)):
            section = executable.find_section(_SECTION)
            if section:
                packages.update(dict.fromkeys(_read_list(path, executable.read_part(section))))
        return Extract(tuple(packages), is_self_contained=True) if packages else Extract()

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:cargo/NAME@VERSION")
        return _make_package(purl.name, purl.version, _find_source(purl))

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, "_-"))
        steps = [
            f"cargo update --package {quote_words((f'{name}@{upgrade.package.version}', '--precise', upgrade.version))}"
            for name, upgrade in selected_upgrades
            if is_plain(upgrade.package.version, VERSION)
        ]
        return ((" && ".join(steps),) if steps else ()) + remark

    @override
    def make_version_key(self, version: str) -> bytes:
        return semver.make_version_key(version, "crate's")


ECOSYSTEM: Ecosystem = Rust()


def _find_source(purl: Purl) -> str | None:
    """The source of a crate by its qualifiers: Dockgate's own, or those of cargo-cyclonedx and others.

    None for crates.io.
    """
    qualifiers = purl.qualifiers
    if qualifiers.get("vcs_url"):
        return "git"
    if qualifiers.get("download_url", "").startswith("file:"):
        return "local"
    return qualifiers.get("source") or ("registry" if qualifiers.get("repository_url") else None)


def _make_package(name: str, version: str, source: str | None, path: str | None = None) -> Package:
    """Build a package; `source` is None for crates.io, "git", "local", or cargo-auditable's word."""
    purl = write_purl("cargo", "", name, version, {"source": source})
    source_name = name if source in (None, "git") else f"{source}:{name}"
    source_version = f"{version} from git" if source == "git" else version
    return build_package("crates.io", name, version, purl, path or "", source=(source_name, source_version))


def _read_list(path: str, compressed_list: bytes) -> Iterator[Package]:
    """Read the crates of a program (cargo-auditable.schema.json of cargo-auditable)."""
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(compressed_list, LIST_LIMIT)
    except zlib.error as error:
        raise UnreadableError(f"its list of crates cannot be decompressed: {error}") from error
    if not inflater.eof:
        raise UnreadableError(f"its list of crates is truncated, or has more than {LIST_LIMIT} bytes")
    try:
        crates = json.loads(decode_text(raw))["packages"]
        for crate in crates:
            name, version, source = crate["name"], crate["version"], crate["source"]
            if crate.get("kind", "runtime") != "build":
                if not (isinstance(name, str) and name and isinstance(version, str) and isinstance(source, str)):
                    raise UnreadableError("its list of crates has one without a name, version or source")
                yield _make_package(name, version, None if source in _CRATES_IO else source or None, path)
    except RecursionError as error:
        raise UnreadableError("its list of crates is nested too deeply") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableError(f"its list of crates is not in cargo-auditable's format: {error!r}") from error


def _read_lock(path: str, file: BinaryIO) -> tuple[Package, ...]:
    """Read every crate of a Cargo.lock, versions 1 to 4, in Cargo's own form: one field a line.

    Other TOML is refused, because the standard library's parser takes minutes for some files of this size.
    """
    content = read_text(file, LOCK_LIMIT)
    crates: list[dict[str, str]] = []
    table = ""
    for number, line in enumerate(content.split("\n"), 1):
        stripped_line = line.strip()
        name, _, value = stripped_line.partition(" = ")
        is_expected = True
        if stripped_line.startswith("["):
            table = stripped_line
            is_expected = table in _TABLES or table in _OTHER_TABLES
            if table in _TABLES:
                crates.append({})
        elif table in _TABLES and name in _FIELDS:
            crates[-1][name] = plain = value[1:-1]
            is_expected = value == f'"{plain}"' and bool(plain) and not {'"', "\\"}.intersection(plain)
        elif not table:
            is_expected = stripped_line.startswith(("#", "version = ")) or not stripped_line
        if not is_expected:
            raise UnreadableError(f"line {number} is not in Cargo's format: {stripped_line[:80]!r}")
    if not all("name" in crate and "version" in crate for crate in crates):
        raise UnreadableError("it has a crate without a name or version")
    packages: list[Package] = []
    for crate in crates:
        url = crate.get("source", "local")
        kind = None if url in _INDICES else url.partition("+")[0] or None  # cargo-auditable's word, except for "sparse"
        packages.append(_make_package(crate["name"], crate["version"], "registry" if kind == "sparse" else kind, path))
    return tuple(packages)
