"""The upgrades of a remediation as commands, each package manager's by its ecosystem. Pure."""

from collections.abc import Sequence

from dockgate.gate.model import Upgrade
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem, Raised
from dockgate.vulnerabilities.versions import ordered_as


def commands(upgrades: Sequence[Upgrade], inventory: Inventory, ecosystems: Sequence[Ecosystem]) -> tuple[str, ...]:
    """One line of shell each; those of an ecosystem that no one here knows have none."""
    versions = {upgrade.package: upgrade.fixed for upgrade in upgrades}
    raised = [Raised(package, versions[package.purl]) for package in inventory.packages if package.purl in versions]
    lines: list[str] = []
    for kind in ecosystems if raised else ():
        ours = [one for one in raised if not set(ordered_as(one.package.ecosystem)).isdisjoint(kind.orders)]
        if ours:
            lines += kind.upgrade(ours)
    return tuple(lines)
