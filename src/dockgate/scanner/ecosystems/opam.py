"""OCaml packages as installed: opam's files in a switch, which may be any folder.

Source: opam, src/format/opamPath.ml. The state of the switch also names all packages; it counts, like a lockfile, only
where their descriptions were removed.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.dpkg.version import make_version_key as dpkg_key
from dockgate.scanner.formats.content import read_text
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, check_purl
from dockgate.shared.errors import UncomparableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

FILE_LIMIT = 1024 * 1024  # bytes of a switch's state or a lockfile; with 200 packages, up to 20,000

_PACKAGES_FOLDER = ".opam-switch/packages/"
_STATE = ".opam-switch/switch-state"
_LOCK_SUFFIX = ".opam.locked"
_ENDINGS = ("/opam", "/switch-state", "opam.locked")
# A long text, a comment, a text, one of these without end, a bracket, an operator, anything else.
_PIECES = r"""\"{3}(?:[^"]|"(?!""))*+\"{3}|\(\*(?:[^*]|\*(?!\)))*+\*\)|\#[^\n]*+|"(?!"")(?:[^"\\]|\\.)*+"
    |(?P<open>"|\(\*)|[<>!]=|[^\s"\#\[\]{}()<>!=]++|\S"""
# Characters of a version (opam, src/format/opamPackage.ml).
_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+.~")


class Opam(StandaloneEcosystem):
    """OCaml packages, ecosystem opam."""

    name = "opam"
    version = 1
    osv_names: tuple[str, ...] = ("opam",)
    purl_types: tuple[str, ...] = ("opam",)
    triggers = Triggers(names=("opam", "switch-state", "opam.locked"), suffixes=(".locked",))
    # Into the selected switch; another one needs `--switch`.
    upgrade_line = UpgradeLine("+-_", "opam install --yes {words}", word="{name}>={version}")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        if not path.endswith(_ENDINGS):
            return False
        if path.endswith("/opam"):
            return f"/{_PACKAGES_FOLDER}" in f"/{path}"
        return path.endswith(_LOCK_SUFFIX) or f"/{path}".endswith((f"/{_STATE}", "/opam.locked"))

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        if not path.endswith("/opam"):
            content = read_text(file, FILE_LIMIT)
            packages = (
                _read_locked(content, path)
                if path.endswith(".locked")
                else (_split_name(piece[1:-1], path) for piece in _read_field("installed:", content))
            )
            return Extract(tuple(dict.fromkeys(packages)), is_lockfile=True)
        switch, _, inner_path = path.rpartition(_PACKAGES_FOLDER)
        package = _split_name(inner_path.removesuffix("/opam"), path)
        return Extract((package,), {package.purl: (f"{switch}lib/{package.name}/",)})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        check_purl(purl, "pkg:opam/NAME@VERSION")
        return _make_package(purl.name, purl.version, "")

    @override
    def make_version_key(self, version: str) -> Any:
        """Debian's order without epochs; either side of a dash may be empty (src/core/opamVersionCompare.ml)."""
        if not version or not _LEGAL.issuperset(version):
            raise UncomparableError(f"the opam version {version[:80]!r} is invalid")
        upstream, revision = version.rsplit("-", 1) if "-" in version else (version, "")
        return dpkg_key(f"0:{upstream or 0}-{revision or 0}")


ECOSYSTEM: Ecosystem = Opam()


def _make_package(name: str, version: str, path: str) -> Package:
    return Package(name, version, write_purl("opam", "", name, version), "opam", name, version, path)


def _split_name(full_name: str, path: str) -> Package:
    """Split NAME.VERSION; names contain no dot."""
    name, _, version = full_name.partition(".")
    if not name or not version or "/" in full_name:
        raise UnreadableError(f"{full_name[:80]!r} is not NAME.VERSION")
    return _make_package(name, version, path)


def _read_locked(content: str, path: str) -> Iterator[Package]:
    """Read `"NAME" {= "VERSION" & FILTER}`: `opam lock` pins every dependency to one version."""
    name, is_in_braces = "", False
    pieces = [*_read_field("depends:", content), '""']
    for at, piece in enumerate(pieces):
        if piece in ("{", "}"):
            is_in_braces = piece == "{"
        elif piece[0] != '"':
            continue
        elif not is_in_braces and name:
            raise UnreadableError(f"it states no version of {name[:80]}")
        elif not is_in_braces:
            name = piece[1:-1]
        elif name and pieces[at - 1] == "=" and pieces[at - 2] in ("{", "&", "("):
            yield _make_package(name, piece[1:-1], path)
            name = ""


def _read_field(name: str, content: str) -> list[str]:
    """Return what is in the brackets of a list field, [] for no field (opam manual, "Common file format")."""
    pieces: list[str] = []
    for match in re.finditer(_PIECES, content, re.DOTALL | re.VERBOSE):
        if match["open"]:
            raise UnreadableError("a text or comment in it has no end")
        if match[0][0] != "#" and match[0][:2] != "(*":
            pieces.append(match[0])
    if name not in pieces:
        return []
    first = pieces.index(name) + 1
    if pieces[first : first + 1] != ["["] or "]" not in pieces[first:]:
        raise UnreadableError(f"the value of {name} is not a list")
    return pieces[first + 1 : pieces.index("]", first)]
