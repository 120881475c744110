"""Upgrade commands of npm: for a project, for its packages' dependencies, and globally."""

from collections.abc import Iterator, Sequence

from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.ports import PackageUpgrade

_MODULES = "node_modules/"


def commands(upgrades: Sequence[PackageUpgrade]) -> tuple[str, ...]:
    """Install top-level packages of a project; override dependencies of its packages.

    Packages in a lockfile are overridden too (npm, package.json, "overrides").
    """
    selected, remark = select_upgrades(upgrades, _is_name)
    installed: dict[str, list[str]] = {}
    overridden: dict[str, list[str]] = {}
    global_dependencies: list[str] = []
    for name, upgrade in selected:
        places = {
            _project_folder(placed.package.path) for placed in upgrades if placed.package.purl == upgrade.package.purl
        }
        for folder in sorted({folder for folder, _ in places}):
            nested = (folder, True) in places
            if nested and folder == _GLOBAL:
                global_dependencies.append(f"{name} {upgrade.version}")
            elif nested:
                overridden.setdefault(folder, []).append(f"overrides[{name}]=^{upgrade.version}")
            else:
                installed.setdefault(folder, []).append(f"{name}@{upgrade.version}")
    advice = (
        (f"# Upgrade what is installed for all and brings {', '.join(global_dependencies)} or later.",)
        if global_dependencies
        else ()
    )
    return (*_lines(installed, overridden), *advice, *remark)


_GLOBAL = ""


def _lines(installed: dict[str, list[str]], overridden: dict[str, list[str]]) -> Iterator[str]:
    if _GLOBAL in installed:
        wants = installed.pop(_GLOBAL)
        yield f"npm install --global {quote_words(wants)}"
    for folder in sorted(installed.keys() | overridden.keys()):
        steps = [f"cd {quote_words([folder])}"]
        if folder in overridden:
            steps.append(f"npm pkg set {quote_words(overridden[folder])}")
        steps.append("npm install" + (f" {quote_words(installed[folder])}" if folder in installed else ""))
        yield " && ".join(steps)


def _project_folder(path: str) -> tuple[str, bool]:
    """Return the project's folder, "" for global packages, and whether another package contains it."""
    above, modules, below = path.partition(_MODULES)
    if not modules:
        return "/" + path.rpartition("/")[0], True
    above = above.strip("/")
    nested = _MODULES in below
    if above.rpartition("/")[2] == "lib":
        return _GLOBAL, nested
    return "/" + above, nested


def _is_name(name: str) -> bool:
    """Whether it is "name" or "@scope/name" (npm, package.json, "name")."""
    scope, slash, own = name.removeprefix("@").partition("/")
    if name.startswith("@"):
        return bool(slash) and is_plain(scope, "._-~") and is_plain(own, "._-~")
    return is_plain(name, "._-~")
