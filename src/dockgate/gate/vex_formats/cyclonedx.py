"""CycloneDX VEX, 1.4 to 1.7: `vulnerabilities[].analysis` of a bill of materials as JSON.

The author is who made the bill: `metadata.manufacturer` (1.6), else the first of `metadata.authors`, else
`metadata.supplier`. The product is `metadata.component`. Where that says nothing by which an image could be known, or
a vulnerability affects what is in another bill (a BOM-link), the packages are the products.
"""

from typing import Any
from urllib.parse import unquote

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats._fields import Node, later, sha256, unique

_VERSIONS = ("1.4", "1.5", "1.6", "1.7")
_STATES = {
    "resolved": VexStatus.FIXED,
    "resolved_with_pedigree": VexStatus.FIXED,
    "exploitable": VexStatus.AFFECTED,
    "in_triage": VexStatus.UNDER_INVESTIGATION,
    "false_positive": VexStatus.NOT_AFFECTED,
    "not_affected": VexStatus.NOT_AFFECTED,
}
_JUSTIFICATIONS = {
    "code_not_present": "vulnerable_code_not_present",
    "code_not_reachable": "vulnerable_code_not_in_execute_path",
    "protected_by_mitigating_control": "inline_mitigations_already_exist",
    **{
        word: word
        for word in (
            "requires_configuration",
            "requires_dependency",
            "requires_environment",
            "protected_by_compiler",
            "protected_at_runtime",
            "protected_at_perimeter",
        )
    },
}
"""its words, in OpenVEX's where that has one"""
_NESTING = 64
_LINK = "urn:cdx:"


class CycloneDx:
    name = "cyclonedx"
    title = "CycloneDX 1.4 to 1.7"

    def knows(self, document: dict[str, Any]) -> bool:
        return document.get("bomFormat") == "CycloneDX"

    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        version = root.get("specVersion")
        if version.name() not in _VERSIONS:
            raise version.refuse(f"{version.name()!r} is not known; known are {', '.join(_VERSIONS)}")
        bill = _Bill(root, digest)
        return tuple(statement for one in root.get("vulnerabilities").items() for statement in bill.statements(one))


FORMAT = CycloneDx()


class _Bill:
    def __init__(self, root: Node, digest: str) -> None:
        self._digest = digest
        metadata = root.get("metadata")
        self._at = metadata.get("timestamp").time()
        authors = [one.get("name").name() for one in metadata.get("authors").items()]
        makers = (
            metadata.get("manufacturer").get("name").name(),
            *authors,
            metadata.get("supplier").get("name").name(),
        )
        self._author = next(filter(None, makers), "")
        image = metadata.get("component")
        self._root = image.get("bom-ref").name()
        self._products = _identities(image) if image.exists() else ()
        self._components = {**_components(image), **_components(root)}

    def statements(self, node: Node) -> list[VexStatement]:
        """None for a vulnerability without a state: then nothing is said of it."""
        analysis = node.get("analysis")
        if not analysis.get("state").exists():
            return []
        state, word = analysis.get("state"), analysis.get("justification")
        status = state.choice(_STATES)
        if word.name() and word.name() not in _JUSTIFICATIONS:
            raise word.refuse(f"{word.name()!r} is not known; known are {', '.join(_JUSTIFICATIONS)}")
        justification = _JUSTIFICATIONS.get(word.name(), "")
        own = [one for one, ours in ((state.name(), status.value), (word.name(), justification)) if one != ours]
        at = later(analysis.get("lastUpdated").time(), analysis.get("firstIssued").time())
        names = [node.get("id").need(), *(one.get("id").name() for one in node.get("references").items())]
        return [
            VexStatement(
                document=self._digest,
                format=FORMAT.name,
                author=self._author,
                signer="",
                vulnerabilities=unique(*names),
                status=status,
                products=products,
                packages=packages,
                justification=justification,
                impact=". ".join(filter(None, (", ".join(own), analysis.get("detail").prose()))),
                at=at or later(node.get("updated").time()) or self._at,
            )
            for products, packages in self._subjects(node)
        ]

    def _subjects(self, node: Node) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Products, and packages inside of these."""
        affected = node.get("affects").items()
        if not affected:
            return [(self._products, ())]
        whole = False
        inside: list[str] = []
        alone: list[str] = []
        for one in affected:
            ref = one.get("ref").need()
            if ref == self._root and self._products:
                whole = True
            elif ref in self._components and self._products:
                inside += _versions(one, self._components[ref])
            elif ref.startswith(_LINK):
                alone += _versions(one, (unquote(ref.partition("#")[2]) or ref,))
            else:
                alone += _versions(one, self._components.get(ref, (ref,)))
        return [
            *([(self._products, ())] if whole else []),
            *([(self._products, unique(*inside))] if inside else []),
            *([(unique(*alone), ())] if alone else []),
        ]


def _components(node: Node) -> dict[str, tuple[str, ...]]:
    """Bom-ref -> identities, of all components below a node, whatever they are nested in."""
    found: dict[str, tuple[str, ...]] = {}
    waiting = [(one, 1) for one in node.get("components").items()] if node.exists() else []
    while waiting:
        component, depth = waiting.pop()
        if depth > _NESTING:
            raise component.refuse(f"components are nested more than {_NESTING} deep")
        ref = component.get("bom-ref").name() or component.get("purl").name()
        if ref:
            found[ref] = _identities(component) or (ref,)
        waiting += [(one, depth + 1) for one in component.get("components").items()]
    return found


def _identities(component: Node) -> tuple[str, ...]:
    """The purl; of an image also its digest, which stands among its hashes or as its version."""
    names = [component.get("purl").name()]
    if component.get("type").name() == "container":
        names += [
            sha256(one.get("content").name())
            for one in component.get("hashes").items()
            if one.get("alg").name() == "SHA-256"
        ]
        version = component.get("version").name()
        names.append(version if sha256(version.removeprefix("sha256:")) == version else "")
    return unique(*names)


def _versions(affected: Node, names: tuple[str, ...]) -> list[str]:
    """The names; those without a version with each version that is said to be affected. Ranges fit nothing: they are
    not compared here."""
    versions = [one for one in affected.get("versions").items() if one.get("status").name() != "unaffected"]
    if not versions:
        return list(names)
    said = [one.get("version").name() or one.get("range").name() for one in versions]
    found = []
    for name in names:
        path, question, rest = name.partition("?")
        bare = "@" not in path.rpartition("/")[2]
        found += [f"{path}@{version}{question}{rest}" for version in said] if bare else [name]
    return found
