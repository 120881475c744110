"""CycloneDX VEX, 1.4 to 1.7: `vulnerabilities[].analysis` of a bill of materials as JSON.

The author is `metadata.manufacturer` (1.6), else the first of `metadata.authors`, else `metadata.supplier`. The product
is `metadata.component`. If that does not identify an image, or a vulnerability affects a component of another bill (a
BOM-link), the packages are the products.
"""

from typing import Any
from urllib.parse import unquote

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats import Format
from dockgate.gate.vex_formats._fields import Node, latest_time, sha256, unique
from dockgate.shared.digest import get_hex
from dockgate.shared.interfaces import override

_VERSIONS = ("1.4", "1.5", "1.6", "1.7")
_STATES = {
    "resolved": VexStatus.FIXED,
    "resolved_with_pedigree": VexStatus.FIXED,
    "exploitable": VexStatus.AFFECTED,
    "in_triage": VexStatus.UNDER_INVESTIGATION,
    "false_positive": VexStatus.NOT_AFFECTED,
    "not_affected": VexStatus.NOT_AFFECTED,
}
# CycloneDX's words -> OpenVEX's where that has one.
_JUSTIFICATIONS = {
    "code_not_present": "vulnerable_code_not_present",
    "code_not_reachable": "vulnerable_code_not_in_execute_path",
    "protected_by_mitigating_control": "inline_mitigations_already_exist",
    **{word: word for word in ("requires_configuration", "requires_dependency", "requires_environment")},
    **{word: word for word in ("protected_by_compiler", "protected_at_runtime", "protected_at_perimeter")},
}
_NESTING_LIMIT = 64
_BOM_LINK = "urn:cdx:"


class CycloneDx(Format):
    """CycloneDX 1.4 to 1.7 (`vulnerabilities[].analysis`)."""

    name = "cyclonedx"
    title = "CycloneDX 1.4 to 1.7"

    @override
    def recognises(self, document: dict[str, Any]) -> bool:
        return document.get("bomFormat") == "CycloneDX"

    @override
    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        version = root.get("specVersion")
        if version.name() not in _VERSIONS:
            raise version.error(f"{version.name()!r} is not supported; supported: {', '.join(_VERSIONS)}")
        bom = _Bom(root, digest)
        vulnerabilities = root.get("vulnerabilities").items()
        return tuple(statement for vulnerability in vulnerabilities for statement in bom.statements(vulnerability))


FORMAT = CycloneDx()


class _Bom:
    def __init__(self, root: Node, digest: str) -> None:
        self._digest = digest
        metadata = root.get("metadata")
        self._at = metadata.get("timestamp").time()
        authors = (metadata.get("manufacturer"), *metadata.get("authors").items(), metadata.get("supplier"))
        self._author = next(filter(None, [author.get("name").name() for author in authors]), "")
        image = metadata.get("component")
        self._root = image.get("bom-ref").name()
        self._products = _identities(image) if image.exists() else ()
        self._components = {**_components(image), **_components(root)}

    def statements(self, node: Node) -> list[VexStatement]:
        """The statements about a vulnerability; none without an analysis state."""
        analysis = node.get("analysis")
        if not analysis.get("state").exists():
            return []
        state, reason = analysis.get("state"), analysis.get("justification")
        status = state.choice(_STATES)
        if reason.name() and reason.name() not in _JUSTIFICATIONS:
            raise reason.error(f"{reason.name()!r} is not allowed; allowed: {', '.join(_JUSTIFICATIONS)}")
        justification = _JUSTIFICATIONS.get(reason.name(), "")
        words = ((state.name(), status.value), (reason.name(), justification))
        original_words = [original for original, translation in words if original != translation]
        at = latest_time(analysis.get("lastUpdated").time(), analysis.get("firstIssued").time())
        names = [
            node.get("id").required_name(),
            *(reference.get("id").name() for reference in node.get("references").items()),
        ]
        return [
            VexStatement(
                document=self._digest,
                format=FORMAT.name,
                author=self._author,
                signer=None,
                vulnerabilities=unique(*names),
                status=status,
                products=products,
                packages=packages,
                justification=justification or None,
                impact=". ".join(filter(None, (", ".join(original_words), analysis.get("detail").prose()))) or None,
                at=at or latest_time(node.get("updated").time()) or self._at or None,
            )
            for products, packages in self._subjects(node)
        ]

    def _subjects(self, node: Node) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Products, and the packages inside each."""
        affected_nodes = node.get("affects").items()
        if not affected_nodes:
            return [(self._products, ())]
        affects_product = False
        packages: list[str] = []
        standalone: list[str] = []
        for entry in affected_nodes:
            ref = entry.get("ref").required_name()
            if ref == self._root and self._products:
                affects_product = True
            elif ref in self._components and self._products:
                packages += _with_versions(entry, self._components[ref])
            elif ref.startswith(_BOM_LINK):
                standalone += _with_versions(entry, (unquote(ref.partition("#")[2]) or ref,))
            else:
                standalone += _with_versions(entry, self._components.get(ref, (ref,)))
        return [
            *([(self._products, ())] if affects_product else []),
            *([(self._products, unique(*packages))] if packages else []),
            *([(unique(*standalone), ())] if standalone else []),
        ]


def _components(node: Node) -> dict[str, tuple[str, ...]]:
    """Bom-ref -> identities, of all components below a node, nested ones included."""
    identities: dict[str, tuple[str, ...]] = {}
    pending = [(component, 1) for component in node.get("components").items()] if node.exists() else []
    while pending:
        component, depth = pending.pop()
        if depth > _NESTING_LIMIT:
            raise component.error(f"components are nested more than {_NESTING_LIMIT} deep")
        ref = component.get("bom-ref").name() or component.get("purl").name()
        if ref:
            identities[ref] = _identities(component) or (ref,)
        pending += [(child, depth + 1) for child in component.get("components").items()]
    return identities


def _identities(component: Node) -> tuple[str, ...]:
    """The purl; for an image also its digest, from its hashes or its version."""
    names = [component.get("purl").name()]
    if component.get("type").name() == "container":
        names += [
            sha256(entry.get("content").name())
            for entry in component.get("hashes").items()
            if entry.get("alg").name() == "SHA-256"
        ]
        version = component.get("version").name()
        names.append(version if sha256(get_hex(version)) == version else "")
    return unique(*names)


def _with_versions(affected_node: Node, names: tuple[str, ...]) -> list[str]:
    """The names; one without a version gets each affected version.

    Ranges are not compared, and match nothing.
    """
    entries = [entry for entry in affected_node.get("versions").items() if entry.get("status").name() != "unaffected"]
    if not entries:
        return list(names)
    versions = [entry.get("version").name() or entry.get("range").name() for entry in entries]
    full_names = []
    for name in names:
        path, question, qualifiers = name.partition("?")
        has_version = "@" in path.rpartition("/")[2]
        full_names += [name] if has_version else [f"{path}@{version}{question}{qualifiers}" for version in versions]
    return full_names
