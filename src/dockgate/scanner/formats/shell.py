"""Commands for a shell out of what a hostile image says: what is no legal name never gets into one."""

from collections.abc import Callable, Iterable, Sequence

from dockgate.scanner.model import Package
from dockgate.scanner.ports import Raised

LONGEST = 256
"""characters of a name or version; longer ones are no package's"""
VERSION = ".+~:-_^,"
"""what versions may hold beside letters and digits, in one ecosystem or the other"""

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def legal(text: str, signs: str) -> bool:
    """Whether it begins with a letter or digit of ASCII, and has nothing but those and `signs`."""
    return 0 < len(text) <= LONGEST and text[0] in _PLAIN and _PLAIN.union(signs).issuperset(text)


def called(
    raised: Sequence[Raised], is_name: Callable[[str], bool], name: Callable[[Package], str] = lambda one: one.name
) -> tuple[list[tuple[str, Raised]], tuple[str, ...]]:
    """Each package once, by its name and version, sorted, with the name that its manager knows it by; and a remark
    when some are left out because their names, versions or paths are none."""
    kept: dict[tuple[str, str], Raised] = {}
    refused = set()
    for one in raised:
        known = name(one.package)
        if is_name(known) and legal(one.version, VERSION) and one.package.path.isprintable():
            kept.setdefault((known, one.version), one)
        else:
            refused.add(one.package.purl)
    packages = f"{len(refused)} package{'' if len(refused) == 1 else 's'}"
    remark = (f"# {packages} left out, of which the image gives no legal name, version or path.",) if refused else ()
    return [(known, kept[known, version]) for known, version in sorted(kept)], remark


def quoted(words: Iterable[str]) -> str:
    """As words of a POSIX shell."""
    from shlex import quote

    return " ".join(map(quote, words))
