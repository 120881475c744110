"""Build the package of an Erlang application, and find its name on hex.pm."""

from dockgate.scanner.model import Package
from dockgate.shared.purl import write

_ELIXIR = frozenset(("eex", "elixir", "ex_unit", "iex", "logger", "mix"))
# Names that hex.pm reserves for Elixir and OTP (hexpm, lib/hexpm/repository/package.ex).
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
_ELIXIR_REPOSITORY = "https://github.com/elixir-lang/elixir"
_OTP_REPOSITORY = "https://github.com/erlang/otp"


def hex_package(organization: str, name: str, version: str, path: str) -> Package:
    """Build a package of hex.pm; names are in lower case (purl-spec).

    No advisory covers an organization's package.
    """
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


def otp_package(name: str, version: str, repository: str, path: str) -> Package:
    """Build the package of a part of Erlang/OTP or Elixir, which no feed covers."""
    purl = write("otp", "", name.lower(), version, {"repository_url": repository})
    return Package(name, version, purl, "Erlang/OTP", source_name=name, source_version=version, path=path)


def application_package(name: str, version: str, path: str) -> Package:
    """Build the package of an application: a part of Elixir or OTP, else the one on hex.pm."""
    if name in _ELIXIR:
        return otp_package(name, version, _ELIXIR_REPOSITORY, path)
    if name in _OTP:
        return otp_package(name, version, _OTP_REPOSITORY, path)
    return hex_package("", name, version, path)
