"""CSAF 2.0, profiles VEX and security advisory (OASIS Standard, chapters 3.2, 4.4, 4.5): products of a tree, and their
status by vulnerability. An advisory need not say why a product is not affected; then it excuses nothing.

A product that is a component of another (`relationships`) is a package inside of it. Where the other is known by a CPE
alone, as a whole distribution is, the component is taken for the product, if its purl has a version: without one it
would stand for the same package of every release.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats._fields import Node, Refused, sha256, unique

_VEX, _ADVISORY = "csaf_vex", "csaf_security_advisory"
_STATUSES = {
    "known_not_affected": VexStatus.NOT_AFFECTED,
    "fixed": VexStatus.FIXED,
    "first_fixed": VexStatus.FIXED,
    "known_affected": VexStatus.AFFECTED,
    "first_affected": VexStatus.AFFECTED,
    "last_affected": VexStatus.AFFECTED,
    "under_investigation": VexStatus.UNDER_INVESTIGATION,
}
_LABELS = (
    "component_not_present",
    "inline_mitigations_already_exist",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_not_present",
)
_NESTING = 64


class Csaf:
    name = "csaf"
    title = "CSAF 2.0, profiles VEX and security advisory"

    def knows(self, document: dict[str, Any]) -> bool:
        head = document.get("document")
        return isinstance(head, dict) and "csaf_version" in head

    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        head = root.get("document")
        for key, known in (("csaf_version", ("2.0",)), ("category", (_VEX, _ADVISORY))):
            if (found := head.get(key)).name() not in known:
                raise found.refuse(f"{found.name()!r} is not read; read is {' or '.join(map(repr, known))}")
        is_vex = head.get("category").name() == _VEX
        author = head.get("publisher").get("name").need()
        at = head.get("tracking").get("current_release_date").time()
        tree = _Tree(root.get("product_tree"))
        return tuple(
            VexStatement(digest, FORMAT.name, author, "", names, *said, at=at)
            for one in root.get("vulnerabilities").items()
            for names in (_vulnerabilities(one),)
            for said in _said(one, tree, needs_reasons=is_vex)
        )


FORMAT = Csaf()

_Said = tuple[VexStatus, tuple[str, ...], tuple[str, ...], str, str]
"""status, products, packages, justification, impact"""


def _vulnerabilities(node: Node) -> tuple[str, ...]:
    names = unique(node.get("cve").name(), *(one.get("text").name() for one in node.get("ids").items()))
    if not names:
        raise node.refuse("it has neither a cve nor ids")
    return names


def _said(node: Node, tree: "_Tree", *, needs_reasons: bool) -> Iterator[_Said]:
    """What the vulnerability's status, flags and threats say, products of which the same is said together.

    A product that is not affected without a reason is refused where the profile `needs_reasons`, else left out."""
    statuses: dict[str, VexStatus] = {}
    for key, status in _STATUSES.items():
        for one in node.get("product_status").get(key).items():
            if statuses.setdefault(one.need(), status) is not status:
                raise one.refuse(f"{one.need()} has two statuses that contradict each other")
    flags = _by_product(node.get("flags"), "label", tree)
    threats = _by_product(node.get("threats"), "details", tree, only="impact")
    groups: dict[tuple[VexStatus, str, str], list[str]] = {}
    for product, status in statuses.items():
        label, impact = flags.get(product, ""), threats.get(product, "")
        if label and label not in _LABELS:
            raise node.get("flags").refuse(f"{label!r} is not known; known are {', '.join(_LABELS)}")
        if status is VexStatus.NOT_AFFECTED and not (label or impact):
            if not needs_reasons:
                continue
            raise node.refuse(f"{product} is known_not_affected, and neither a flag nor a threat says why")
        excused = status is VexStatus.NOT_AFFECTED
        groups.setdefault((status, label if excused else "", impact), []).append(product)
    for (status, label, impact), products in groups.items():
        for subjects, packages in tree.subjects(products, node):
            yield status, subjects, packages, label, impact


def _by_product(node: Node, key: str, tree: "_Tree", only: str = "") -> dict[str, str]:
    """Product id -> what the entries that name it, or a group that it is in, say."""
    found: dict[str, str] = {}
    for one in node.items():
        if only and one.get("category").name() != only:
            continue
        named = [product.need() for product in one.get("product_ids").items()]
        for group in one.get("group_ids").items():
            if group.need() not in tree.groups:
                raise group.refuse(f"there is no product group {group.need()!r}")
            named += tree.groups[group.need()]
        for product in named:
            found.setdefault(product, one.get(key).prose())
    return found


@dataclass(slots=True)
class _Product:
    """`names` are those that can be known again: purls and digests; `other` any that cannot."""

    names: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    component: str = ""
    of: str = ""


@dataclass(slots=True)
class _Tree:
    node: Node
    groups: dict[str, list[str]] = field(default_factory=dict)
    _products: dict[str, _Product] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for product in (*_branches(self.node), *self.node.get("full_product_names").items()):
            self._add(product)
        for one in self.node.get("relationships").items():
            known = self._add(one.get("full_product_name"))
            known.component = one.get("product_reference").need()
            known.of = one.get("relates_to_product_reference").need()
        for one in self.node.get("product_groups").items():
            self.groups[one.get("group_id").need()] = [product.need() for product in one.get("product_ids").items()]

    def _add(self, node: Node) -> _Product:
        identity = node.get("product_id").need()
        if identity in self._products:
            raise node.refuse(f"there is a second product {identity!r}")
        helper = node.get("product_identification_helper")
        hashes = [
            sha256(one.get("value").name())
            for entry in helper.get("hashes").items()
            for one in entry.get("file_hashes").items()
            if one.get("algorithm").name().lower() == "sha256"
        ]
        self._products[identity] = known = _Product(
            unique(helper.get("purl").name(), *hashes), unique(helper.get("cpe").name(), identity)
        )
        return known

    def subjects(self, products: Iterable[str], at: Node) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Products, and packages inside of these."""
        alone: list[str] = []
        inside: dict[tuple[str, ...], list[str]] = {}
        for identity in products:
            known = self._find(identity, at)
            if not known.component:
                alone += known.names or known.other
                continue
            component, whole = self._find(known.component, at), self._find(known.of, at)
            if whole.names:
                inside.setdefault(whole.names, []).extend(component.names or component.other)
            else:
                alone += [name for name in component.names if _has_version(name)] or known.other
        if alone:
            yield unique(*alone), ()
        for names, packages in inside.items():
            yield names, unique(*packages)

    def _find(self, identity: str, at: Node) -> _Product:
        if identity not in self._products:
            raise at.refuse(f"there is no product {identity!r} in the product_tree")
        return self._products[identity]


def _branches(node: Node) -> list[Node]:
    found: list[Node] = []
    waiting = [(one, 1) for one in reversed(node.get("branches").items())]
    while waiting:
        branch, depth = waiting.pop()
        if depth > _NESTING:
            raise Refused(f"product_tree: branches are nested more than {_NESTING} deep")
        if branch.get("product").exists():
            found.append(branch.get("product"))
        waiting += [(one, depth + 1) for one in reversed(branch.get("branches").items())]
    return found


def _has_version(name: str) -> bool:
    return not name.startswith("pkg:") or "@" in name.partition("?")[0].rpartition("/")[2]
