"""The base of ecosystems outside distributions: languages, editors, unpackaged programs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.model import Distribution, Package
from dockgate.scanner.ports import Ecosystem, PackageUpgrade, Triggers
from dockgate.shared.errors import UncomparableError, UsageError
from dockgate.shared.interfaces import override
from dockgate.shared.purl import Purl


class UpgradeLine(NamedTuple):
    """One command line that upgrades any number of packages.

    In `line`, `{words}` becomes the shell words made with `word`, and `{list}` the text made with `item`. Names may
    contain ASCII letters, digits and `signs`.
    """

    signs: str
    line: str
    word: str = "{name}"
    item: str = "{name} {version}"

    def build_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        """Return the line for these packages, and a remark if some are left out."""
        selected_upgrades, remark = select_upgrades(upgrades, lambda name: is_plain(name, self.signs))
        if not selected_upgrades:
            return remark
        words = dict.fromkeys(
            self.word.format(name=name, version=upgrade.version) for name, upgrade in selected_upgrades
        )
        items = ", ".join(self.item.format(name=name, version=upgrade.version) for name, upgrade in selected_upgrades)
        return (self.line.format(words=quote_words(words), list=items), *remark)


class StandaloneEcosystem(Ecosystem):
    """Defaults of an ecosystem whose packages belong to no distribution.

    A subclass sets the fields that have no value here, and defines the other methods of `scanner.ports.Ecosystem`. It
    sets `upgrade_line`, or defines `build_upgrade_commands`.
    """

    name: str
    version: int
    osv_names: tuple[str, ...] = ()
    can_omit_epoch = False
    can_omit_local_label = False
    purl_types: tuple[str, ...]
    distributions: tuple[str, ...] = ()
    database_paths: tuple[str, ...] = ()
    triggers: Triggers
    upgrade_line: UpgradeLine

    @override
    def assign_distribution(self, package: Package, distribution: Distribution) -> Package:
        """Return the package unchanged: its name in advisories is the same on every distribution."""
        return package

    @override
    def build_upgrade_commands(self, upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
        return self.upgrade_line.build_commands(upgrades)

    @override
    def make_version_key(self, version: str) -> Any:
        """Refuse every version: without a feed, no order is needed."""
        raise UncomparableError(f"Dockgate cannot compare versions of {self.name}, such as {version[:80]!r}")


def build_package(
    ecosystem: str, name: str, version: str, purl: str, path: str, *, source: tuple[str, str] | None = None
) -> Package:
    """Build a package from its name, version, package URL and path.

    `source` is its name and version in advisories if these differ from the installed ones.
    """
    source_name, source_version = source or (name, version)
    return Package(name, version, purl, ecosystem, source_name, source_version, path)


def check_purl(purl: Purl, form: str, *, namespace: str | None = None) -> None:
    """Raise UsageError unless a package URL has a version, and a namespace if one is needed.

    `namespace` is what it is called ("group"), None if none is needed; `form` is the advice.
    """
    if not purl.version or (namespace and not purl.namespace):
        missing_part = namespace if purl.version else "version"
        raise UsageError(f"{purl} has no {missing_part}", f"Write it as {form}.")
