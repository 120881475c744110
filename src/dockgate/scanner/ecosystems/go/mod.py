"""Read go.mod: the modules that a build needs (Go Modules Reference, "go.mod files")."""

from collections.abc import Iterator
from itertools import takewhile

from dockgate.scanner.ecosystems.go.buildinfo import Module, replace_module
from dockgate.shared.errors import UnreadableError

COMPLETE_SINCE = 17  # before Go 1.17, the file lists only modules that are imported directly


def read(content: str) -> tuple[list[Module], bool]:
    """Return the required modules, with replacements applied, and whether the list is complete.

    Go's own module tree ("std", "cmd") contains copies of its modules, so the required ones are not used.
    """
    required_modules: list[Module] = []
    replacements: dict[tuple[str, str], tuple[str, str]] = {}
    is_complete = False
    for number, words in _read_directives(content):
        match words:
            case ["module", "std" | "cmd"]:
                return [], True
            case ["require", path, version]:
                required_modules.append(Module(path, version))
            case ["replace", path, "=>", *replacement] if len(replacement) in (1, 2):
                replacements[path, ""] = replacement[0], "".join(replacement[1:])
            case ["replace", path, version, "=>", *replacement] if len(replacement) in (1, 2):
                replacements[path, version] = replacement[0], "".join(replacement[1:])
            case ["go", version]:
                minor = "".join(takewhile("0123456789".__contains__, version[2:6]))  # 22 of "1.22rc1"
                is_complete = int(minor or "0") >= COMPLETE_SINCE
            case ["require" | "replace" | "go", *_]:
                raise UnreadableError(f"line {number} is not in the format of go.mod: {' '.join(words)[:80]!r}")
            case _:
                pass
    modules: list[Module] = []
    for module in required_modules:
        # A replacement of the module's version precedes one of all its versions.
        substitute = replacements.get(module) or replacements.get((module.path, ""))
        modules.append(replace_module(module, *substitute) if substitute else module)
    return modules, is_complete


def _read_directives(content: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and words of each directive; in a block, the block's verb comes first."""
    block = ""
    for number, line in enumerate(content.split("\n"), 1):
        plain = line.partition("//")[0].replace("(", " ( ").replace(")", " ) ")
        words = [word.strip('"`') for word in plain.split()]
        if block and words:
            if words == [")"]:
                block = ""
            else:
                yield number, [block, *words]
        elif words[1:2] == ["("]:
            block = words[0] if len(words) == 2 else ""
        elif words:
            yield number, words
    if block:
        raise UnreadableError(f"its block of {block} has no end")
