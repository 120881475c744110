"""Read the `.app` file that describes an Erlang application."""

import re
from typing import Any

from dockgate.scanner.ecosystems.erlang.package import application_package
from dockgate.scanner.formats.content import decode
from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError

_BRACKETS = {"}": "{", "]": "[", ">>": "<<"}
# A piece of Erlang: a comment, string, quoted atom, character, bracket, or the text between these.
_PIECE = r"""%[^\n]*+|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\$(?:\\.|.)|<<|>>|[^\s"'%$<>{}\[\],.]++|\S"""


def read_application(path: str, name: str, content: bytes) -> Package:
    """Build the package that an `.app` file describes. Raises UnreadableError."""
    return application_package(name, _version(decode(content), name), path)


def _version(content: str, name: str) -> str:
    """Return `vsn`, a string without escapes, of `{application, NAME, [{KEY, VALUE}, …]}.` (OTP, app(4))."""
    terms = _terms(content)
    match terms:
        case [["{", "application", atom, ["[", *properties]], "."] if atom in (name, f"'{name}'"):
            pass
        case _:
            raise UnreadableError(f"it is not an Erlang term {{application,{name},[…]}}.")
    values = [entry[2:] for entry in properties if entry[:2] == ["{", "vsn"]]
    if not values:
        raise UnreadableError("it has no vsn")
    strings = {value[0] if len(value) == 1 and isinstance(value[0], str) else "" for value in values}
    version = strings.pop()
    if strings or not version.startswith('"') or len(version) < 3 or "\\" in version:
        raise UnreadableError("its vsn is not one plain string")
    return version[1:-1]


def _terms(content: str) -> list[Any]:
    """Parse Erlang terms into lists that begin with their bracket; other terms stay text."""
    top: list[Any] = []
    open_terms: list[list[Any]] = [top]
    for match in re.finditer(_PIECE, content, re.DOTALL):
        piece = match[0]
        if piece in ('"', "'"):
            raise UnreadableError("a string in it has no end")
        if piece in _BRACKETS.values():
            term = [piece]
            open_terms[-1].append(term)
            open_terms.append(term)
        elif piece in _BRACKETS:
            if open_terms.pop()[:1] != [_BRACKETS[piece]]:
                raise UnreadableError("its brackets do not match")
        elif piece != "," and piece[0] != "%":
            open_terms[-1].append(piece)
    if len(open_terms) > 1:
        raise UnreadableError("its brackets do not match")
    return top
