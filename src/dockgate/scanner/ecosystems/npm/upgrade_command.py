"""Upgrade commands of npm: for a project, for its packages' dependencies, and globally."""

from collections.abc import Sequence

from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.ports import PackageUpgrade


def build_commands(upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
    """Install a project's own packages; override its packages' dependencies and locked ones ("overrides")."""
    selected_upgrades, remark = select_upgrades(upgrades, _is_name)
    words_by_folder: dict[str, list[str]] = {}
    overridden: dict[str, list[str]] = {}
    global_packages: list[str] = []
    global_dependencies: list[str] = []
    for name, upgrade in selected_upgrades:
        nesting_by_folder: dict[str | None, bool] = {}
        for same_upgrade in upgrades:
            if same_upgrade.package.purl == upgrade.package.purl:
                folder, is_nested = _find_project_folder(same_upgrade.package.path)
                nesting_by_folder[folder] = is_nested or nesting_by_folder.get(folder, False)
        for folder, is_nested in nesting_by_folder.items():
            if folder is None and is_nested:
                global_dependencies.append(f"{name} {upgrade.version}")
            elif folder is None:
                global_packages.append(f"{name}@{upgrade.version}")
            elif is_nested:
                overridden.setdefault(folder, []).append(f"overrides[{name}]=^{upgrade.version}")
            else:
                words_by_folder.setdefault(folder, []).append(f"{name}@{upgrade.version}")
    lines = [f"npm install --global {quote_words(global_packages)}"] if global_packages else []
    for folder in sorted(words_by_folder.keys() | overridden.keys()):
        steps = [f"cd {quote_words([folder])}"]
        if folder in overridden:
            steps.append(f"npm pkg set {quote_words(overridden[folder])}")
        steps.append("npm install" + (f" {quote_words(words_by_folder[folder])}" if folder in words_by_folder else ""))
        lines.append(" && ".join(steps))
    if global_dependencies:
        lines.append(f"# Upgrade the global packages that install {', '.join(global_dependencies)} or later.")
    return (*lines, *remark)


def _find_project_folder(path: str) -> tuple[str | None, bool]:
    """Return the project's folder, None for global packages, and whether another package contains it."""
    parent, modules, inner_path = path.partition("node_modules/")
    if not modules:
        return "/" + path.rpartition("/")[0], True
    parent = parent.strip("/")
    return None if parent.rpartition("/")[2] == "lib" else f"/{parent}", "node_modules/" in inner_path


def _is_name(name: str) -> bool:
    """Return whether it is "name" or "@scope/name" (npm, package.json, "name")."""
    scope, slash, own_name = name.removeprefix("@").partition("/")
    if name.startswith("@"):
        return bool(slash) and is_plain(scope, "._-~") and is_plain(own_name, "._-~")
    return is_plain(name, "._-~")
