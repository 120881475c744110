"""npm's commands: for a project, for what others of its packages brought, and for what is installed for all."""

from collections.abc import Iterator, Sequence

from dockgate.scanner.formats.shell import is_plain, quote_words, select_upgrades
from dockgate.scanner.ports import Raised

_MODULES = "node_modules/"


def commands(raised: Sequence[Raised]) -> tuple[str, ...]:
    """What lies at the top of a project's node_modules is installed there; what lies below another package, or stands
    in a lockfile, is overridden for all that want it (npm's package.json, "overrides")."""
    kept, remark = select_upgrades(raised, _is_name)
    installed: dict[str, list[str]] = {}
    overridden: dict[str, list[str]] = {}
    brought: list[str] = []
    for name, one in kept:
        places = {_place(other.package.path) for other in raised if other.package.purl == one.package.purl}
        for folder in sorted({folder for folder, _ in places}):
            nested = (folder, True) in places
            if nested and folder == _GLOBAL:
                brought.append(f"{name} {one.version}")
            elif nested:
                overridden.setdefault(folder, []).append(f"overrides[{name}]=^{one.version}")
            else:
                installed.setdefault(folder, []).append(f"{name}@{one.version}")
    told = (f"# Upgrade what is installed for all and brings {', '.join(brought)} or later.",) if brought else ()
    return (*_lines(installed, overridden), *told, *remark)


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


def _place(path: str) -> tuple[str, bool]:
    """The project's folder ("" for what is installed for all users), and whether the package lies below another."""
    above, modules, below = path.partition(_MODULES)
    if not modules:
        return "/" + path.rpartition("/")[0], True
    above = above.strip("/")
    nested = _MODULES in below
    if above.rpartition("/")[2] == "lib":
        return _GLOBAL, nested
    return "/" + above, nested


def _is_name(name: str) -> bool:
    """Whether it is "name" or "@scope/name" (npm's package.json, "name")."""
    scope, slash, own = name.removeprefix("@").partition("/")
    if name.startswith("@"):
        return bool(slash) and is_plain(scope, "._-~") and is_plain(own, "._-~")
    return is_plain(name, "._-~")
