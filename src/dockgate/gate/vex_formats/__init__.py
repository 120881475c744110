"""VEX documents, read. A module here is a format: it holds one object named `FORMAT` (`Format`).

Bytes in, statements of the core out, with the `signer` left empty: who vouches for a document is not in it. Whatever is
wrong is refused with its place; nothing that is not understood excuses anything. Modules whose name begins with "_" are
shared by the others and are no formats.
"""

import json
from typing import Any, Protocol

from dockgate.gate.model import VexStatement
from dockgate.gate.vex_formats._fields import Node, Refused
from dockgate.shared import canonical, plugins
from dockgate.shared.errors import UsageError

SIZE_LIMIT = 8 * 2**20
"""bytes: as many as the API takes"""
COUNT_LIMIT = 100_000
"""names of products, packages and vulnerabilities, in all statements together"""


class Format(Protocol):
    """A format: one module of this folder."""

    name: str
    """"openvex", as `VexStatement.format` has it"""
    title: str
    """for messages: "OpenVEX 0.2.0" """

    def knows(self, document: dict[str, Any]) -> bool:
        """Whether the document says that it is of this format, in whatever version."""
        ...

    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        """Every statement, in a stable order. Raises Refused."""
        ...


def load(package: str = __name__) -> tuple[Format, ...]:
    """Every format, by module name. Raises DockgateError naming the one that is broken."""
    return tuple(plugins.load(package, "FORMAT", "VEX format", "read"))


def read(data: bytes, name: str) -> tuple[VexStatement, ...]:
    """The statements of a document called `name` in messages. Raises UsageError naming the place at fault."""
    formats = load()
    known = ", ".join(one.title for one in formats)
    document = _parsed(data, name)
    found = next((one for one in formats if one.knows(document)), None)
    if found is None:
        raise UsageError(f"{name} is no VEX document.", f"Read are: {known}.")
    try:
        statements = found.read(Node(document), canonical.digest(data))
    except Refused as refusal:
        raise UsageError(f"{name}: {refusal}", f"It is read as {found.title}.") from None
    count = sum(len(one.vulnerabilities) + len(one.products) + len(one.packages) for one in statements)
    if count > COUNT_LIMIT:
        raise UsageError(f"{name} speaks of {count} things, at most {COUNT_LIMIT} are read.", "Split it.")
    return statements


def _parsed(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > SIZE_LIMIT:
        raise UsageError(f"{name} has {len(data)} bytes, at most {SIZE_LIMIT} are read.", "Split it.")
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_constant)
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply.", "Is it a VEX document?") from None
    except ValueError as error:
        raise UsageError(f"{name} is no JSON: {error}.", "VEX documents are read as JSON.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{name} holds no JSON object.", "VEX documents are read as JSON.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ in which of two keys they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _constant(text: str) -> None:
    raise ValueError(f"{text} is no number")
