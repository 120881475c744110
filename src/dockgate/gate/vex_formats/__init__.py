"""VEX documents. Each module is a format, with one object named `FORMAT` (`Format`).

From bytes to statements; their `signer` is None, because a document does not contain it. Errors name the location.
What is not understood never accepts a finding. Modules whose name starts with "_" are shared helpers.
"""

from typing import Any, Protocol

from dockgate.gate.model import VexStatement
from dockgate.gate.vex_formats._fields import InvalidDocumentError, Node
from dockgate.shared import plugins
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.strict_json import parse_json

SIZE_LIMIT = 8 * 2**20  # bytes, the limit of the API
COUNT_LIMIT = 100_000  # names of products, packages and vulnerabilities, in all statements together


class Format(Protocol):
    """A VEX format.

    `name` is that of `VexStatement.format` ("openvex"), `title` is for messages ("OpenVEX 0.2.0").
    """

    name: str
    title: str

    def can_read(self, document: dict[str, Any]) -> bool:
        """Return whether the document declares this format, in any version."""
        ...

    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        """All statements, in a stable order. Raises InvalidDocumentError."""
        ...


def load(package: str = __name__) -> tuple[Format, ...]:
    """All formats, by module name. Raises DockgateError, which names the module that fails to load."""
    return tuple(plugins.load(package, "FORMAT", "VEX format", "read"))


def read(data: bytes, name: str) -> tuple[VexStatement, ...]:
    """The statements of a document, which messages call `name`. UsageError names the location."""
    formats = load()
    document = _parse(data, name)
    vex_format = next((candidate for candidate in formats if candidate.can_read(document)), None)
    if vex_format is None:
        titles = ", ".join(candidate.title for candidate in formats)
        raise UsageError(f"{name} is not a VEX document", f"Supported: {titles}.")
    try:
        statements = vex_format.read(Node(document), compute_digest(data))
    except InvalidDocumentError as error:
        raise UsageError(f"{name}: {error}", f"The document was read as {vex_format.title}.") from None
    count = sum(
        len(statement.vulnerabilities) + len(statement.products) + len(statement.packages) for statement in statements
    )
    if count > COUNT_LIMIT:
        raise UsageError(f"{name} has {count} names, the limit is {COUNT_LIMIT}", "Split the document.")
    return statements


def _parse(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > SIZE_LIMIT:
        raise UsageError(f"{name} has {len(data)} bytes, the limit is {SIZE_LIMIT}", "Split the document.")
    try:
        document = parse_json(data.decode("utf-8-sig"))
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply", "Check that it is a VEX document.") from None
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}", "Convert the document to JSON.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{name} is not a JSON object", "Check that it is a VEX document.")
    return document
