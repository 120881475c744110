"""Erlang and Elixir applications as installed: `ebin/NAME.app`; else the locks of Mix and rebar3.

The files may be anywhere, also in plugins and single-file programs. An application does not state its package on
hex.pm, which mostly has the same name. hex.pm reserves the names of Erlang/OTP's and Elixir's applications; no feed
covers these, so one that no distribution's package owns is undetermined.
"""

from collections.abc import Sequence
from typing import BinaryIO

from dockgate.scanner.ecosystems.erlang import zip_packages
from dockgate.scanner.ecosystems.erlang.app_file import read_application
from dockgate.scanner.ecosystems.erlang.lock import read_mix_lock, read_rebar_lock
from dockgate.scanner.ecosystems.erlang.package import hex_package, otp_package
from dockgate.scanner.formats import semver
from dockgate.scanner.formats.content import check_size, decode
from dockgate.scanner.formats.shell import upgrade_command
from dockgate.scanner.formats.standalone import StandaloneEcosystem
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, Extract, PackageUpgrade, Triggers
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import Purl

# Bytes of an application's file; Elixir's own, with 280 modules, has 8,000.
APPLICATION_LIMIT = 128 * 1024
# Bytes of a lockfile; one with 100 packages has 30,000.
LOCK_LIMIT = 4 * 1024 * 1024

_LOCKS = ("mix.lock", "rebar.lock")


class Erlang(StandaloneEcosystem):
    """Erlang and Elixir applications, ecosystem Hex."""

    name = "erlang"
    version = 5
    osv_names: tuple[str, ...] = ("Hex",)
    purl_types: tuple[str, ...] = ("hex", "otp")
    triggers = Triggers(names=(*_LOCKS, "ebin"), suffixes=(".app", zip_packages.SUFFIX), magics=zip_packages.MAGICS)

    def wants(self, path: str, size: int, mode: int, head: bytes) -> bool:
        """Include the folders of applications, so that links in their place are found.

        The lockfile of a dependency is what its author develops with.
        """
        folder, _, name = path.rpartition("/")
        if name.endswith(".app"):
            return folder.rpartition("/")[2] == "ebin"
        if zip_packages.may_be_archive(path, head):
            return True
        return name == "ebin" or (name in _LOCKS and "/deps/" not in f"/{path}")

    def read(self, path: str, file: BinaryIO) -> Extract:
        """Lockfiles do not mark packages for the build or the tests, so these count too."""
        if path.endswith(_LOCKS):
            check_size(file, LOCK_LIMIT)
            content = decode(file.read())
            locked = read_mix_lock if path.endswith("mix.lock") else read_rebar_lock
            return Extract(tuple(dict.fromkeys(locked(path, content))), is_lockfile=True)
        folder, _, name = path.rpartition("/")
        if name == "ebin":
            return Extract()
        if not name.endswith(".app"):
            return zip_packages.read(path, file, APPLICATION_LIMIT, read_application)
        check_size(file, APPLICATION_LIMIT)
        package = read_application(path, name.removesuffix(".app"), file.read())
        return Extract((package,), {package.purl: (f"{folder}/",)})

    def package_from_purl(self, purl: Purl, distribution: Distribution | None) -> Package:
        if not purl.version:
            raise UsageError(f"{purl} has no version.", f"Write it as pkg:{purl.type}/NAME@VERSION.")
        if purl.type == "otp":
            return otp_package(purl.name, purl.version, purl.qualifiers.get("repository_url", ""), "")
        return hex_package(purl.namespace, purl.name, purl.version, "")

    def upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Mix takes the versions from mix.exs."""
        return upgrade_command(upgrades, "_", "mix deps.update {words} # {list} or later")

    def version_key(self, version: str) -> bytes:
        """Semantic Versioning 2.0.0, as in Elixir's Version."""
        return semver.version_key(version, "Hex")


ECOSYSTEM: Ecosystem = Erlang()
