"""OpenVEX 0.2.0 (github.com/openvex/spec, OPENVEX-SPEC.md).

A statement is split by the subcomponents of its products. One matching identifier of a product is enough. A product
with unsupported identifiers stays in the statement: without products it would apply to the image that the document is
attached to.
"""

from typing import Any

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats import Format
from dockgate.gate.vex_formats._fields import JUSTIFICATIONS, Node, drop_duplicates, parse_sha256, select_latest_time
from dockgate.shared.interfaces import override

_CONTEXT = "https://openvex.dev/ns"
_VERSIONS = ("", "/v0.2.0")
_STATUSES = {status.value: status for status in VexStatus}


class OpenVex(Format):
    """OpenVEX 0.2.0."""

    name = "openvex"
    title = "OpenVEX 0.2.0"

    @override
    def can_read(self, document: dict[str, Any]) -> bool:
        context = document.get("@context")
        return isinstance(context, str) and context.startswith(_CONTEXT)

    @override
    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        context = root.get("@context")
        if (context.read_name() or "").rstrip("/") not in [_CONTEXT + version for version in _VERSIONS]:
            raise context.make_error("this version is not supported; supported: https://openvex.dev/ns/v0.2.0")
        author = root.get("author").require_name()
        at = select_latest_time(root.get("timestamp").read_time(), root.get("last_updated").read_time())
        if not root.get("statements").is_present():
            raise root.get("statements").make_error("this is missing")
        return tuple(
            statement
            for node in root.get("statements").list_items()
            for statement in _read_statements(node, digest, author, at)
        )


FORMAT = OpenVex()


def _read_statements(node: Node, digest: str, author: str, at: str | None) -> list[VexStatement]:
    status = node.get("status").read_status(_STATUSES)
    justification, impact = node.get("justification").read_name(), node.get("impact_statement").read_prose()
    if justification is not None and justification not in JUSTIFICATIONS:
        raise node.get("justification").make_error(
            f"{justification!r} is not allowed; allowed: {', '.join(JUSTIFICATIONS)}"
        )
    if status is VexStatus.NOT_AFFECTED and not (justification or impact):
        raise node.make_error("not_affected needs a justification or an impact_statement")
    groups: dict[tuple[str, ...], list[str]] = {}
    for product in node.get("products").list_items():
        components = [] if isinstance(product.value, str) else product.get("subcomponents").list_items()
        packages = drop_duplicates(*(name for component in components for name in _read_product_names(component)))
        groups.setdefault(packages, []).extend(_read_product_names(product))
    return [
        VexStatement(
            document=digest,
            format=FORMAT.name,
            author=author,
            signer=None,
            vulnerabilities=_read_vulnerability_names(node.get("vulnerability")),
            status=status,
            products=drop_duplicates(*products),
            packages=packages,
            justification=justification,
            impact=impact or node.get("status_notes").read_prose(),
            at=select_latest_time(node.get("timestamp").read_time(), node.get("last_updated").read_time()) or at,
        )
        for packages, products in (groups or {(): []}).items()
    ]


def _read_vulnerability_names(node: Node) -> tuple[str, ...]:
    """The name and its aliases; before 0.2.0 only the name, as a text."""
    if isinstance(node.value, str):
        return (node.require_name(),)
    return drop_duplicates(
        node.get("name").require_name(), *(alias.read_name() for alias in node.get("aliases").list_items())
    )


def _read_product_names(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, str):
        return (node.require_name(),)
    identifiers, hashes = node.get("identifiers"), node.get("hashes")
    names = drop_duplicates(
        node.get("@id").read_name(),
        identifiers.get("purl").read_name(),
        parse_sha256(hashes.get("sha-256").read_name()),
        identifiers.get("cpe23").read_name(),
        identifiers.get("cpe22").read_name(),
    )
    if not names:
        raise node.make_error("this has neither an @id nor an identifier")
    return names
