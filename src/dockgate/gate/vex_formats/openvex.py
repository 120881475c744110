"""OpenVEX 0.2.0 (github.com/openvex/spec, OPENVEX-SPEC.md).

A statement is split by the subcomponents of its products. One matching identifier of a product is enough. A product
with unsupported identifiers stays in the statement: without products it would apply to the image that the document is
attached to.
"""

from typing import Any

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats import Format
from dockgate.gate.vex_formats._fields import JUSTIFICATIONS, Node, latest_time, sha256, unique
from dockgate.shared.interfaces import override

_CONTEXT = "https://openvex.dev/ns"
_VERSIONS = ("", "/v0.2.0")
_STATUSES = {status.value: status for status in VexStatus}


class OpenVex(Format):
    """OpenVEX 0.2.0."""

    name = "openvex"
    title = "OpenVEX 0.2.0"

    @override
    def recognises(self, document: dict[str, Any]) -> bool:
        context = document.get("@context")
        return isinstance(context, str) and context.startswith(_CONTEXT)

    @override
    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        context = root.get("@context")
        if context.name().rstrip("/") not in [_CONTEXT + version for version in _VERSIONS]:
            raise context.error("this version is not supported; supported: https://openvex.dev/ns/v0.2.0")
        author = root.get("author").required_name()
        at = latest_time(root.get("timestamp").time(), root.get("last_updated").time())
        if not root.get("statements").exists():
            raise root.get("statements").error("this is missing")
        return tuple(
            statement for node in root.get("statements").items() for statement in _statements(node, digest, author, at)
        )


FORMAT = OpenVex()


def _statements(node: Node, digest: str, author: str, at: str) -> list[VexStatement]:
    status = node.get("status").choice(_STATUSES)
    justification, impact = node.get("justification").name(), node.get("impact_statement").prose()
    if justification and justification not in JUSTIFICATIONS:
        raise node.get("justification").error(f"{justification!r} is not allowed; allowed: {', '.join(JUSTIFICATIONS)}")
    if status is VexStatus.NOT_AFFECTED and not (justification or impact):
        raise node.error("not_affected needs a justification or an impact_statement")
    groups: dict[tuple[str, ...], list[str]] = {}
    for product in node.get("products").items():
        components = [] if isinstance(product.value, str) else product.get("subcomponents").items()
        packages = unique(*(name for component in components for name in _names(component)))
        groups.setdefault(packages, []).extend(_names(product))
    return [
        VexStatement(
            document=digest,
            format=FORMAT.name,
            author=author,
            signer=None,
            vulnerabilities=_vulnerabilities(node.get("vulnerability")),
            status=status,
            products=unique(*products),
            packages=packages,
            justification=justification or None,
            impact=impact or node.get("status_notes").prose() or None,
            at=latest_time(node.get("timestamp").time(), node.get("last_updated").time()) or at or None,
        )
        for packages, products in (groups or {(): []}).items()
    ]


def _vulnerabilities(node: Node) -> tuple[str, ...]:
    """The name and its aliases; before 0.2.0 only the name, as a text."""
    if isinstance(node.value, str):
        return (node.required_name(),)
    return unique(node.get("name").required_name(), *(alias.name() for alias in node.get("aliases").items()))


def _names(node: Node) -> tuple[str, ...]:
    if isinstance(node.value, str):
        return (node.required_name(),)
    identifiers, hashes = node.get("identifiers"), node.get("hashes")
    names = unique(
        node.get("@id").name(),
        identifiers.get("purl").name(),
        sha256(hashes.get("sha-256").name()),
        identifiers.get("cpe23").name(),
        identifiers.get("cpe22").name(),
    )
    if not names:
        raise node.error("this has neither an @id nor an identifier")
    return names
