"""Build shell commands from image content: only legal names get into a command."""

from collections.abc import Callable, Iterable, Sequence

from dockgate.scanner.ports import PackageUpgrade

LENGTH_LIMIT = 256  # characters of a name or version; no real one is longer
VERSION = ".+~:-_^,"  # characters in versions besides letters and digits, in any ecosystem

_ALPHANUMERIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def is_plain(text: str, signs: str) -> bool:
    """Return whether the text begins with an ASCII letter or digit and contains only those and `signs`."""
    return 0 < len(text) <= LENGTH_LIMIT and text[0] in _ALPHANUMERIC and _ALPHANUMERIC.union(signs).issuperset(text)


def select_upgrades(
    upgrades: Sequence[PackageUpgrade], is_name: Callable[[str], bool]
) -> tuple[list[tuple[str, PackageUpgrade]], tuple[str, ...]]:
    """Return each package once with its name, sorted, and a remark if some are left out.

    Those with illegal names, versions or paths are.
    """
    selected_upgrades: dict[tuple[str, str], PackageUpgrade] = {}
    refused_names = set()
    for upgrade in upgrades:
        name = upgrade.package.name
        if is_name(name) and is_plain(upgrade.version, VERSION) and upgrade.package.path.isprintable():
            selected_upgrades.setdefault((name, upgrade.version), upgrade)
        else:
            refused_names.add(upgrade.package.purl)
    packages = f"{len(refused_names)} package{'' if len(refused_names) == 1 else 's'}"
    remark = (f"# {packages} left out: the image gives no legal name, version or path.",) if refused_names else ()
    return [(key[0], selected_upgrades[key]) for key in sorted(selected_upgrades)], remark


def quote_words(words: Iterable[str]) -> str:
    """Quote words for a POSIX shell and join them with blanks."""
    from shlex import quote

    return " ".join(map(quote, words))
