"""Erlang and Elixir applications as installed: `ebin/NAME.app`; else the locks of Mix and rebar3.

The files may be anywhere, also in zip archives: plugins (`.ez`) and single-file programs, which begin with a line that
calls `escript` (OTP, escript(3)). Erlang's code server loads them without unpacking.

An application does not state its package on hex.pm, which mostly has the same name. hex.pm reserves the names of
Erlang/OTP's and Elixir's applications; no feed covers these, so one that no distribution's package owns is
undetermined.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from dockgate.scanner.formats import semver
from dockgate.scanner.formats.content import check_size, decode_text, is_script_of, make_budget, read_text
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Triggers
from dockgate.scanner.standalone_ecosystem import StandaloneEcosystem, UpgradeLine, build_package
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl, write_purl

APPLICATION_LIMIT = 128 * 1024  # bytes of an application's file; Elixir's own, with 280 modules, has 8,000
LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a lockfile; one with 100 packages has 30,000

_LOCKS = ("mix.lock", "rebar.lock")
_ARCHIVE_SUFFIX = ".ez"
# Beginnings of lines that name an interpreter; Mix writes "#! /usr/bin/env escript".
_MAGICS = (b"#!/u", b"#!/b", b"#! /")
# Bytes of an archive that are read, packed and unpacked: its directory and its applications' files. Parsing that many
# bytes of Erlang terms takes seconds.
READ_LIMIT = 8 * 1024 * 1024
MEMBER_LIMIT = 2000  # applications in one archive; RabbitMQ's plugins have one, rebar3 has twelve
_HEXPM = "hexpm"
_BRACKETS = {"}": "{", "]": "[", ">>": "<<"}
# A piece of Erlang: a comment, string, quoted atom, character, bracket, or the text between these.
_PIECE = r"""%[^\n]*+|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\$(?:\\.|.)|<<|>>|[^\s"'%$<>{}\[\],.]++|\S"""
_ELIXIR = frozenset(("eex", "elixir", "ex_unit", "iex", "logger", "mix"))
# Names that hex.pm reserves for Elixir and OTP (hexpm, lib/hexpm/repository/package.ex).
_OTP = frozenset(
    """asn1 common_test compiler crypto debugger dialyzer diameter edoc eldap erl_docgen erl_interface erts et eunit
    ftp hipe inets jinterface kernel megaco mnesia observer odbc os_mon parsetools public_key reltool runtime_tools sasl
    snmp ssh ssl stdlib syntax_tools tftp toolbar tools typer wx xmerl""".split()  # noqa: SIM905 names, not values
)
_ELIXIR_REPOSITORY = "https://github.com/elixir-lang/elixir"
_OTP_REPOSITORY = "https://github.com/erlang/otp"


class Erlang(StandaloneEcosystem):
    """Erlang and Elixir applications, ecosystem Hex."""

    name = "erlang"
    version = 5
    osv_names: tuple[str, ...] = ("Hex",)
    purl_types: tuple[str, ...] = ("hex", "otp")
    triggers = Triggers(names=(*_LOCKS, "ebin"), suffixes=(".app", _ARCHIVE_SUFFIX), magics=_MAGICS)
    # Mix takes the versions from mix.exs.
    upgrade_line = UpgradeLine("_", "mix deps.update {words} # {list} or later")

    @override
    def should_read(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Skip the lockfile of a dependency, with which its author develops."""
        folder, _, name = path.rpartition("/")
        if name.endswith(".app"):
            return folder.rpartition("/")[2] == "ebin"
        if path.endswith(_ARCHIVE_SUFFIX) or (head.startswith(_MAGICS) and is_script_of(head, b"escript")):
            return True
        return name == "ebin" or (name in _LOCKS and "/deps/" not in f"/{path}")

    @override
    def read(self, path: str, file: BinaryIO) -> Extract:
        """Read a lockfile or an application.

        Packages for the build or the tests count too, because lockfiles do not mark them.
        """
        if path.endswith(_LOCKS):
            content = read_text(file, LOCK_LIMIT)
            read_lock = _read_mix_lock if path.endswith("mix.lock") else _read_rebar_lock
            return Extract(tuple(dict.fromkeys(read_lock(path, content))), is_lockfile=True)
        folder, _, name = path.rpartition("/")
        if name == "ebin":
            return Extract()
        if not name.endswith(".app"):
            return _read_archive(path, file)
        check_size(file, APPLICATION_LIMIT)
        package = _read_application(path, name.removesuffix(".app"), file.read())
        return Extract((package,), {package.purl: (f"{folder}/",)})

    @override
    def build_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        if not purl.version:
            raise UsageError(f"{purl} has no version", f"Write it as pkg:{purl.type}/NAME@VERSION.")
        if purl.type == "otp":
            return _make_otp_package(purl.name, purl.version, purl.qualifiers.get("repository_url", ""), "")
        return _make_hex_package(purl.namespace, purl.name, purl.version, "")

    @override
    def make_version_key(self, version: str) -> bytes:
        return semver.make_version_key(version, "Hex")


ECOSYSTEM: Ecosystem = Erlang()


def _make_hex_package(organization: str, name: str, version: str, path: str) -> Package:
    """Build a package of hex.pm, in lower case (purl-spec); no advisory covers an organization's package."""
    organization, lower = organization.lower(), name.lower()
    source_name = f"{organization}/{lower}" if organization else lower
    purl = write_purl("hex", organization, lower, version)
    return build_package("Hex", name, version, purl, path, source=(source_name, version))


def _make_otp_package(name: str, version: str, repository: str, path: str) -> Package:
    """Build the package of a part of Erlang/OTP or Elixir, which no feed covers."""
    purl = write_purl("otp", "", name.lower(), version, {"repository_url": repository})
    return Package(name, version, purl, "Erlang/OTP", source_name=name, source_version=version, path=path)


def _read_application(path: str, name: str, raw: bytes) -> Package:
    """Build the package that `{application, NAME, [{KEY, VALUE}, …]}.` describes (OTP, app(4)).

    Its version is `vsn`, a string without escapes. Raises UnreadableError.
    """
    terms = _parse_terms(decode_text(raw))
    match terms:
        case [["{", "application", atom, ["[", *properties]], "."] if atom in (name, f"'{name}'"):
            pass
        case _:
            raise UnreadableError(f"it is not an Erlang term {{application,{name},[…]}}")
    values = [entry[2:] for entry in properties if entry[:2] == ["{", "vsn"]]
    if not values:
        raise UnreadableError("it has no version (vsn)")
    strings = {value[0] if len(value) == 1 and isinstance(value[0], str) else "" for value in values}
    version = strings.pop()
    if strings or not version.startswith('"') or len(version) < 3 or "\\" in version:
        raise UnreadableError("its version (vsn) is not a plain string")
    version = version[1:-1]
    if name in _ELIXIR:
        return _make_otp_package(name, version, _ELIXIR_REPOSITORY, path)
    if name in _OTP:
        return _make_otp_package(name, version, _OTP_REPOSITORY, path)
    return _make_hex_package("", name, version, path)


def _parse_terms(content: str) -> list[Any]:
    """Parse Erlang terms into lists that begin with their bracket; other terms stay text."""
    top: list[Any] = []
    open_terms: list[list[Any]] = [top]
    for match in re.finditer(_PIECE, content, re.DOTALL):
        piece = match[0]
        if piece in ('"', "'"):
            raise UnreadableError("a string in it has no end")
        if piece in _BRACKETS.values():
            term = [piece]
            open_terms[-1].append(term)
            open_terms.append(term)
        elif piece in _BRACKETS:
            if open_terms.pop()[:1] != [_BRACKETS[piece]]:
                raise UnreadableError("its brackets do not match")
        elif piece != "," and piece[0] != "%":
            open_terms[-1].append(piece)
    if len(open_terms) > 1:
        raise UnreadableError("its brackets do not match")
    return top


def _read_mix_lock(path: str, content: str) -> Iterator[Package]:
    """Read mix.lock, one line for each application.

    Elixir writes `"APPLICATION": {:hex, :PACKAGE, "VERSION", …, "REPOSITORY", "…"}` (lib/mix/lib/mix/dep/lock.ex; Hex,
    lib/hex/utils.ex, `lock`). An entry from git has no version; it shares code, and so advisories, with the original.
    """
    for number, line in enumerate(content.split("\n"), 1):
        stripped_line = line.strip().removeprefix("%{").strip()
        if stripped_line in ("", "}") or stripped_line.startswith("#"):
            continue
        entry = re.fullmatch(r'"?([^\s":]+)"?: \{:(\w+), (.*)\},?\}?', stripped_line)
        if not entry:
            raise UnreadableError(f"line {number} is not in Mix's format: {stripped_line[:80]!r}")
        if entry[2] == "hex":
            package = re.match(r':"?(\w+)"?, "([^"\\]+)"', entry[3])
            if not package:
                raise UnreadableError(f"line {number} has no package and version: {stripped_line[:80]!r}")
            repository = re.search(r'\], "([^"\\]+)"(?:, (?:"\w+"|nil))?$', entry[3])
            organization = (repository[1] if repository else _HEXPM).removeprefix(f"{_HEXPM}:")
            yield _make_hex_package("" if organization == _HEXPM else organization, package[1], package[2], path)
        elif entry[2] == "git":
            yield _make_hex_package("", entry[1], "", path)


def _read_rebar_lock(path: str, content: str) -> Iterator[Package]:
    """Read rebar.lock (rebar3, rebar_config.erl, `write_lock_file`).

    From Hex: `{<<"APPLICATION">>,{pkg,<<"PACKAGE">>,<<"VERSION">>},LEVEL}`, others: `{git,"URL",{ref,"…"}}`.
    """
    pairs = re.findall(r'\{\s*pkg\s*,\s*<<"(\w+)">>\s*,\s*<<"([^"\\]+)">>', content)
    if not content.lstrip().startswith(("{", "[")) or len(pairs) != len(re.findall(r"\bpkg\b\s*,", content)):
        raise UnreadableError("its format is not that of rebar3")
    for name, version in pairs:
        yield _make_hex_package("", name, version, path)
    for name in re.findall(r'\{\s*<<"(\w+)">>\s*,\s*\{\s*git\s*,', content):
        yield _make_hex_package("", name, "", path)


def _read_archive(path: str, file: BinaryIO) -> Extract:
    """Read the applications of an archive; an escript that is not one contains only its own code."""
    from dockgate.scanner.formats.zip_archive import Archive, Section, is_zip

    section = Section(file, 0, file.seek(0, 2))
    if not path.endswith(_ARCHIVE_SUFFIX) and not is_zip(section):
        return Extract()
    archive = Archive(section, (b".app",), make_budget(READ_LIMIT))
    members = [entry for entry in archive.entries if entry.name.rpartition("/")[0].rpartition("/")[2] == "ebin"]
    if len(members) > MEMBER_LIMIT:
        raise UnreadableError(f"it contains {len(members)} applications; no more than {MEMBER_LIMIT} are read")
    packages: list[Package] = []
    unread_parts: list[tuple[str, str]] = []
    for entry in members:
        name = entry.name.rpartition("/")[2].removesuffix(".app")
        try:
            content = archive.read_all(entry, APPLICATION_LIMIT)
            packages.append(_read_application(f"{path}!/{entry.name}", name, content))
        except UnreadableError as error:
            unread_parts.append((entry.name, str(error)))
    if not packages and not unread_parts:
        return Extract()
    return Extract(tuple(packages), unread_parts=tuple(unread_parts), is_self_contained=True)
