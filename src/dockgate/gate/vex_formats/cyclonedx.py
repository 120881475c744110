"""CycloneDX VEX, 1.4 to 1.7: `vulnerabilities[].analysis` of a bill of materials as JSON.

The author is `metadata.manufacturer` (1.6), else the first of `metadata.authors`, else `metadata.supplier`. The product
is `metadata.component`. If that does not identify an image, or a vulnerability affects a component of another bill (a
BOM-link), the packages are the products.
"""

from typing import Any
from urllib.parse import unquote

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats import Format
from dockgate.gate.vex_formats._fields import Node, drop_duplicates, parse_sha256, select_latest_time
from dockgate.shared.digest import get_hex
from dockgate.shared.interfaces import override
from dockgate.shared.purl import get_version, strip_qualifiers

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
    def can_read(self, document: dict[str, Any]) -> bool:
        return document.get("bomFormat") == "CycloneDX"

    @override
    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        version = root.get("specVersion")
        if version.read_name() not in _VERSIONS:
            stated_version = version.read_name() or ""
            raise version.make_error(f"{stated_version!r} is not supported; supported: {', '.join(_VERSIONS)}")
        bom = _Bom(root, digest)
        vulnerabilities = root.get("vulnerabilities").list_items()
        return tuple(statement for vulnerability in vulnerabilities for statement in bom.read_statements(vulnerability))


FORMAT = CycloneDx()


class _Bom:
    def __init__(self, root: Node, digest: str) -> None:
        self._digest = digest
        metadata = root.get("metadata")
        self._at = metadata.get("timestamp").read_time()
        authors = (metadata.get("manufacturer"), *metadata.get("authors").list_items(), metadata.get("supplier"))
        self._author = next(filter(None, [author.get("name").read_name() for author in authors]), "")
        image = metadata.get("component")
        self._root = image.get("bom-ref").read_name()
        self._products = _list_identities(image) if image.is_present() else ()
        self._components = {**_collect_components(image), **_collect_components(root)}

    def read_statements(self, node: Node) -> list[VexStatement]:
        """The statements about a vulnerability; none without an analysis state."""
        analysis = node.get("analysis")
        if not analysis.get("state").is_present():
            return []
        state, reason = analysis.get("state"), analysis.get("justification")
        status = state.read_status(_STATES)
        reason_word = reason.read_name()
        if reason_word is not None and reason_word not in _JUSTIFICATIONS:
            raise reason.make_error(f"{reason_word!r} is not allowed; allowed: {', '.join(_JUSTIFICATIONS)}")
        justification = _JUSTIFICATIONS[reason_word] if reason_word is not None else None
        words = ((state.require_name(), status.value), (reason_word, justification))
        original_words = [original for original, translation in words if original and original != translation]
        at = select_latest_time(analysis.get("lastUpdated").read_time(), analysis.get("firstIssued").read_time())
        names = [
            node.get("id").require_name(),
            *(reference.get("id").read_name() for reference in node.get("references").list_items()),
        ]
        return [
            VexStatement(
                document=self._digest,
                format=FORMAT.name,
                author=self._author,
                signer=None,
                vulnerabilities=drop_duplicates(*names),
                status=status,
                products=products,
                packages=packages,
                justification=justification,
                impact=". ".join(filter(None, (", ".join(original_words), analysis.get("detail").read_prose())))
                or None,
                at=at or select_latest_time(node.get("updated").read_time()) or self._at,
            )
            for products, packages in self._list_subjects(node)
        ]

    def _list_subjects(self, node: Node) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Products, and the packages inside each."""
        affected_nodes = node.get("affects").list_items()
        if not affected_nodes:
            return [(self._products, ())]
        is_product_affected = False
        packages: list[str] = []
        standalone: list[str] = []
        for entry in affected_nodes:
            ref = entry.get("ref").require_name()
            if ref == self._root and self._products:
                is_product_affected = True
            elif ref in self._components and self._products:
                packages += _add_versions(entry, self._components[ref])
            elif ref.startswith(_BOM_LINK):
                standalone += _add_versions(entry, (unquote(ref.partition("#")[2]) or ref,))
            else:
                standalone += _add_versions(entry, self._components.get(ref, (ref,)))
        return [
            *([(self._products, ())] if is_product_affected else []),
            *([(self._products, drop_duplicates(*packages))] if packages else []),
            *([(drop_duplicates(*standalone), ())] if standalone else []),
        ]


def _collect_components(node: Node) -> dict[str, tuple[str, ...]]:
    """Bom-ref -> identities, of all components below a node, nested ones included."""
    identities: dict[str, tuple[str, ...]] = {}
    pending = [(component, 1) for component in node.get("components").list_items()] if node.is_present() else []
    while pending:
        component, depth = pending.pop()
        if depth > _NESTING_LIMIT:
            raise component.make_error(f"components are nested more than {_NESTING_LIMIT} deep")
        ref = component.get("bom-ref").read_name() or component.get("purl").read_name()
        if ref:
            identities[ref] = _list_identities(component) or (ref,)
        pending += [(child, depth + 1) for child in component.get("components").list_items()]
    return identities


def _list_identities(component: Node) -> tuple[str, ...]:
    """The purl; for an image also its digest, from its hashes or its version."""
    names: list[str | None] = [component.get("purl").read_name()]
    if component.get("type").read_name() == "container":
        names += [
            parse_sha256(entry.get("content").read_name())
            for entry in component.get("hashes").list_items()
            if entry.get("alg").read_name() == "SHA-256"
        ]
        version = component.get("version").read_name()
        names.append(version if version and parse_sha256(get_hex(version)) == version else None)
    return drop_duplicates(*names)


def _add_versions(affected_node: Node, names: tuple[str, ...]) -> list[str]:
    """The names; one without a version gets each listed version: the affected ones, or all if none is affected.

    Ranges are not compared, and match nothing.
    """
    entries = affected_node.get("versions").list_items()
    if not entries:
        return list(names)
    affected_entries = [entry for entry in entries if entry.get("status").read_name() != "unaffected"]
    versions = [_read_version(entry) for entry in affected_entries or entries]
    full_names = []
    for name in names:
        path = strip_qualifiers(name)
        has_version = get_version(name) is not None
        full_names += [name] if has_version else [f"{path}@{version}{name[len(path) :]}" for version in versions]
    return full_names


def _read_version(entry: Node) -> str:
    """The version, or the range."""
    version = entry.get("version").read_name() or entry.get("range").read_name()
    if version is None:
        raise entry.make_error("this has neither a version nor a range")
    return version
