"""Applications of Erlang and Elixir as installed: the `ebin/NAME.app` of each, wherever it lies, since releases, builds
and plugins lay them out differently, also in plugins and programs in one file. Where nothing is installed, the
lockfiles of Mix and rebar3.

An application does not tell its package on hex.pm, which mostly has the same name. Those of Erlang/OTP and of Elixir
are no packages, their names being reserved there; no feed tells of them, so that one that no distribution's package
owns is undetermined.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from dockgate.scanner.ecosystems.erlang import zip_packages
from dockgate.scanner.formats import semver
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.standalone import StandaloneEcosystem
from dockgate.scanner.formats.text import check_size, text
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, Raised, Triggers
from dockgate.shared.errors import UnreadableError, UsageError
from dockgate.shared.purl import Purl, write

APPLICATION_LIMIT = 128 * 1024
"""Bytes of an application's file; Elixir's own, with 280 modules, has 8,000."""
LOCK_LIMIT = 4 * 1024 * 1024
"""Bytes of a lockfile; one with 100 packages has 30,000."""

_LOCKS = ("mix.lock", "rebar.lock")
_ELIXIR = frozenset(("eex", "elixir", "ex_unit", "iex", "logger", "mix"))
_OTP = frozenset(
    (
        *(
            "asn1",
            "common_test",
            "compiler",
            "crypto",
            "debugger",
            "dialyzer",
            "diameter",
            "edoc",
            "eldap",
            "erl_docgen",
        ),
        *("erl_interface", "erts", "et", "eunit", "ftp", "hipe", "inets", "jinterface", "kernel", "megaco", "mnesia"),
        *("observer", "odbc", "os_mon", "parsetools", "public_key", "reltool", "runtime_tools", "sasl", "snmp", "ssh"),
        *("ssl", "stdlib", "syntax_tools", "tftp", "toolbar", "tools", "typer", "wx", "xmerl"),
    )
)
"""Names that hex.pm reserves for Elixir and OTP (hexpm's lib/hexpm/repository/package.ex)"""
_SOURCES = {"": "", "elixir": "https://github.com/elixir-lang/elixir", "otp": "https://github.com/erlang/otp"}
_HEXPM = "hexpm"
_BRACKETS = {"}": "{", "]": "[", ">>": "<<"}
_PIECE = r"""%[^\n]*+|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\$(?:\\.|.)|<<|>>|[^\s"'%$<>{}\[\],.]++|\S"""
"""of Erlang: a comment, a string, a quoted atom, a character, a bracket, or what stands between these"""


class Erlang(StandaloneEcosystem):
    name = "erlang"
    version = 5
    orders: tuple[str, ...] = ("Hex",)
    purls: tuple[str, ...] = ("hex", "otp")
    triggers = Triggers(names=(*_LOCKS, "ebin"), suffixes=(".app", zip_packages.SUFFIX), magics=zip_packages.MAGICS)

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Also the folders of applications, so that links in their place are seen. A dependency's own lockfile is what
        its author develops with."""
        folder, _, name = path.rpartition("/")
        if name.endswith(".app"):
            return folder.rpartition("/")[2] == "ebin"
        if zip_packages.may_be(path, head):
            return True
        return name == "ebin" or (name in _LOCKS and "/deps/" not in f"/{path}")

    def read(self, path: str, file: BinaryIO) -> Extract:
        """Lockfiles do not tell what serves the build or the tests alone, so that it counts, too."""
        if path.endswith(_LOCKS):
            check_size(file, LOCK_LIMIT)
            content = text(file.read())
            locked = _locked_by_mix if path.endswith("mix.lock") else _locked_by_rebar
            return Extract(tuple(dict.fromkeys(locked(path, content))), lock=True)
        folder, _, name = path.rpartition("/")
        if name == "ebin":
            return Extract()
        if not name.endswith(".app"):
            return zip_packages.read(path, file, APPLICATION_LIMIT, _application)
        check_size(file, APPLICATION_LIMIT)
        package = _application(path, name.removesuffix(".app"), file.read())
        return Extract((package,), {package.purl: (f"{folder}/",)})

    def package(self, purl: Purl, distribution: Distribution | None) -> Package:
        if not purl.version:
            raise UsageError(f"{purl} has no version.", f"Write it as pkg:{purl.type}/NAME@VERSION.")
        if purl.type == "otp":
            return _otp(purl.name, purl.version, purl.qualifiers.get("repository_url", ""), "")
        return _package(purl.namespace, purl.name, purl.version, "")

    def upgrade(self, raised: Sequence[Raised]) -> tuple[str, ...]:
        """Mix takes the versions from mix.exs."""
        return upgrade_command(raised, "_", "mix deps.update {words} # {list} or later")

    def key(self, version: str) -> bytes:
        """Semantic Versioning 2.0.0, as Elixir's Version has it."""
        return semver.key(version, "Hex")


ECOSYSTEM: Ecosystem = Erlang()


def _package(organization: str, name: str, version: str, path: str) -> Package:
    """A package of an organization is none of those that advisories speak of. Names are in lower case (purl-spec)."""
    organization, lower = organization.lower(), name.lower()
    return Package(
        name=name,
        version=version,
        purl=write("hex", organization, lower, version),
        ecosystem="Hex",
        source_name=f"{organization}/{lower}" if organization else lower,
        source_version=version,
        path=path,
    )


def _application(path: str, name: str, content: bytes) -> Package:
    version = _version(text(content), name)
    source = "elixir" if name in _ELIXIR else "otp" if name in _OTP else ""
    return _otp(name, version, _SOURCES[source], path) if source else _package("", name, version, path)


def _otp(name: str, version: str, repository: str, path: str) -> Package:
    purl = write("otp", "", name.lower(), version, {"repository_url": repository})
    return Package(name, version, purl, "Erlang/OTP", source_name=name, source_version=version, path=path)


def _version(content: str, name: str) -> str:
    """The `vsn` of `{application, NAME, [{KEY, VALUE}, …]}.` (OTP's app(4)), a string without escapes."""
    terms = _terms(content)
    match terms:
        case [["{", "application", atom, ["[", *properties]], "."] if atom in (name, f"'{name}'"):
            pass
        case _:
            raise UnreadableError(f"it is no Erlang term {{application,{name},[…]}}.")
    values = [entry[2:] for entry in properties if entry[:2] == ["{", "vsn"]]
    if not values:
        raise UnreadableError("it has no vsn")
    told = {value[0] if len(value) == 1 and isinstance(value[0], str) else "" for value in values}
    version = told.pop()
    if told or not version.startswith('"') or len(version) < 3 or "\\" in version:
        raise UnreadableError("its vsn is not one plain string")
    return version[1:-1]


def _terms(content: str) -> list[Any]:
    """Erlang terms as lists that begin with their bracket; all else is text as it is written, commas left out."""
    top: list[Any] = []
    open_: list[list[Any]] = [top]
    for found in re.finditer(_PIECE, content, re.DOTALL):
        piece = found[0]
        if piece in ('"', "'"):
            raise UnreadableError("a string in it has no end")
        if piece in _BRACKETS.values():
            made = [piece]
            open_[-1].append(made)
            open_.append(made)
        elif piece in _BRACKETS:
            if open_.pop()[:1] != [_BRACKETS[piece]]:
                raise UnreadableError("its brackets do not match")
        elif piece != "," and piece[0] != "%":
            open_[-1].append(piece)
    if len(open_) > 1:
        raise UnreadableError("its brackets do not match")
    return top


def _locked_by_mix(path: str, content: str) -> Iterator[Package]:
    """A line for each application, as Mix writes it (Elixir's lib/mix/lib/mix/dep/lock.ex): `"APPLICATION": {:hex,
    :PACKAGE, "VERSION", …, "REPOSITORY", "…"}`, other origins under other names (Hex's lib/hex/utils.ex, `lock`).

    What is from git has no version; it shares its code, and so the advisories, with what it was forked from.
    """
    for number, line in enumerate(content.split("\n"), 1):
        given = line.strip().removeprefix("%{").strip()
        if given in ("", "}") or given.startswith("#"):
            continue
        entry = re.fullmatch(r'"?([^\s":]+)"?: \{:(\w+), (.*)\},?\}?', given)
        if not entry:
            raise UnreadableError(f"line {number} is not how Mix writes it: {given[:80]!r}")
        if entry[2] == "hex":
            told = re.match(r':"?(\w+)"?, "([^"\\]+)"', entry[3])
            if not told:
                raise UnreadableError(f"line {number} has no package and version: {given[:80]!r}")
            repository = re.search(r'\], "([^"\\]+)"(?:, (?:"\w+"|nil))?$', entry[3])
            organization = (repository[1] if repository else _HEXPM).removeprefix(f"{_HEXPM}:")
            yield _package("" if organization == _HEXPM else organization, told[1], told[2], path)
        elif entry[2] == "git":
            yield _package("", entry[1], "", path)


def _locked_by_rebar(path: str, content: str) -> Iterator[Package]:
    """`{<<"APPLICATION">>,{pkg,<<"PACKAGE">>,<<"VERSION">>},LEVEL}`, and `{git,"URL",{ref,"…"}}` for what is not from
    Hex (rebar3's rebar_config.erl, `write_lock_file`)."""
    found = re.findall(r'\{\s*pkg\s*,\s*<<"(\w+)">>\s*,\s*<<"([^"\\]+)">>', content)
    if not content.lstrip().startswith(("{", "[")) or len(found) != len(re.findall(r"\bpkg\b\s*,", content)):
        raise UnreadableError("it is not how rebar3 writes it")
    for name, version in found:
        yield _package("", name, version, path)
    for name in re.findall(r'\{\s*<<"(\w+)">>\s*,\s*\{\s*git\s*,', content):
        yield _package("", name, "", path)
