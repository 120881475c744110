"""Write the upgrades of a remediation as commands of each package manager. Pure."""

from collections.abc import Sequence

from dockgate.gate.model import Upgrade
from dockgate.scanner.model import Inventory
from dockgate.scanner.ports import Ecosystem, PackageUpgrade
from dockgate.vulnerabilities.versions import ordered_as


def commands(upgrades: Sequence[Upgrade], inventory: Inventory, ecosystems: Sequence[Ecosystem]) -> tuple[str, ...]:
    """Shell lines for the upgrades. Upgrades of unknown ecosystems have none."""
    versions = {upgrade.package: upgrade.fixed for upgrade in upgrades}
    upgraded = [
        PackageUpgrade(package, versions[package.purl]) for package in inventory.packages if package.purl in versions
    ]
    lines: list[str] = []
    for ecosystem in ecosystems if upgraded else ():
        matching = [
            entry for entry in upgraded if not set(ordered_as(entry.package.ecosystem)).isdisjoint(ecosystem.osv_names)
        ]
        if matching:
            lines += ecosystem.upgrade_commands(matching)
    return tuple(lines)
