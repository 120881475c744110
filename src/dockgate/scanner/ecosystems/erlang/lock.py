"""Read the lockfiles of Mix and rebar3."""

import re
from collections.abc import Iterator

from dockgate.scanner.ecosystems.erlang.package import hex_package
from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError

_HEXPM = "hexpm"


def read_mix_lock(path: str, content: str) -> Iterator[Package]:
    """Read mix.lock, one line for each application.

    Elixir writes `"APPLICATION": {:hex, :PACKAGE, "VERSION", …, "REPOSITORY", "…"}` (lib/mix/lib/mix/dep/lock.ex; Hex,
    lib/hex/utils.ex, `lock`). An entry from git has no version; it shares code, and so advisories, with the original.
    """
    for number, line in enumerate(content.split("\n"), 1):
        stripped = line.strip().removeprefix("%{").strip()
        if stripped in ("", "}") or stripped.startswith("#"):
            continue
        entry = re.fullmatch(r'"?([^\s":]+)"?: \{:(\w+), (.*)\},?\}?', stripped)
        if not entry:
            raise UnreadableError(f"line {number} is not how Mix writes it: {stripped[:80]!r}")
        if entry[2] == "hex":
            package = re.match(r':"?(\w+)"?, "([^"\\]+)"', entry[3])
            if not package:
                raise UnreadableError(f"line {number} has no package and version: {stripped[:80]!r}")
            repository = re.search(r'\], "([^"\\]+)"(?:, (?:"\w+"|nil))?$', entry[3])
            organization = (repository[1] if repository else _HEXPM).removeprefix(f"{_HEXPM}:")
            yield hex_package("" if organization == _HEXPM else organization, package[1], package[2], path)
        elif entry[2] == "git":
            yield hex_package("", entry[1], "", path)


def read_rebar_lock(path: str, content: str) -> Iterator[Package]:
    """Read rebar.lock: `{<<"APPLICATION">>,{pkg,<<"PACKAGE">>,<<"VERSION">>},LEVEL}`.

    Entries that are not from Hex are `{git,"URL",{ref,"…"}}` (rebar3, rebar_config.erl, `write_lock_file`).
    """
    pairs = re.findall(r'\{\s*pkg\s*,\s*<<"(\w+)">>\s*,\s*<<"([^"\\]+)">>', content)
    if not content.lstrip().startswith(("{", "[")) or len(pairs) != len(re.findall(r"\bpkg\b\s*,", content)):
        raise UnreadableError("it is not how rebar3 writes it")
    for name, version in pairs:
        yield hex_package("", name, version, path)
    for name in re.findall(r'\{\s*<<"(\w+)">>\s*,\s*\{\s*git\s*,', content):
        yield hex_package("", name, "", path)
