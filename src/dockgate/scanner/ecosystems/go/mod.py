"""go.mod: which modules are to be built in, after the Go Modules Reference, "go.mod files"."""

from collections.abc import Iterator
from itertools import takewhile

from dockgate.scanner.ecosystems.go.buildinfo import Module, replace_module
from dockgate.shared.errors import UnreadableError

# Before go 1.17 the file names the modules that are imported directly, and leaves out what those need.
COMPLETE_SINCE = 17


def read(content: str) -> tuple[list[Module], bool]:
    """The required modules, replacements applied, and whether these are all that are built in.

    Go's own module tree ("std", "cmd") has its modules copied in: of those it requires none are built in.
    """
    required: list[Module] = []
    replacements: dict[tuple[str, str], tuple[str, str]] = {}
    is_complete = False
    for number, words in _directives(content):
        match words:
            case ["module", "std" | "cmd"]:
                return [], True
            case ["require", path, version]:
                required.append(Module(path, version))
            case ["replace", path, "=>", *replacement] if len(replacement) in (1, 2):
                replacements[path, ""] = replacement[0], "".join(replacement[1:])
            case ["replace", path, version, "=>", *replacement] if len(replacement) in (1, 2):
                replacements[path, version] = replacement[0], "".join(replacement[1:])
            case ["go", version]:
                is_complete = _minor_version(version) >= COMPLETE_SINCE
            case ["require" | "replace" | "go", *_]:
                raise UnreadableError(f"line {number} is not how go.mod is written: {' '.join(words)[:80]!r}")
            case _:
                pass
    return [_apply_replacements(module, replacements) for module in required], is_complete


def _apply_replacements(module: Module, replacements: dict[tuple[str, str], tuple[str, str]]) -> Module:
    """A replacement of one version goes before that of all."""
    replacement = replacements.get((module.path, module.version)) or replacements.get((module.path, ""))
    return replace_module(module, *replacement) if replacement else module


def _directives(content: str) -> Iterator[tuple[int, list[str]]]:
    """Each directive with its line's number: the words of its line, a block's verb before each of the block's."""
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


def _minor_version(version: str) -> int:
    """17 for "1.17" and "1.17.2", 22 for "1.22rc1"."""
    return int("".join(takewhile("0123456789".__contains__, version[2:6])) or "0")
