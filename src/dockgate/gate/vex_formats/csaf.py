"""CSAF 2.0, profiles VEX and security advisory (OASIS Standard, chapters 3.2, 4.4, 4.5).

A document has a tree of products, and their status per vulnerability. An advisory may omit why a product is not
affected; such an entry accepts nothing. A draft is for feedback before the release (3.2.1.12.7): it says nothing yet.

A product that is a component of another (`relationships`) is a package inside it. If the other has only a CPE, as a
distribution has, the component becomes the product, if its purl has a version: without one it would match the same
package of every release.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dockgate.gate.model import VexStatement, VexStatus
from dockgate.gate.vex_formats import Format
from dockgate.gate.vex_formats._fields import JUSTIFICATIONS, InvalidDocumentError, Node, drop_duplicates, parse_sha256
from dockgate.shared.interfaces import override
from dockgate.shared.purl import get_version, is_purl

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
_NESTING_LIMIT = 64


class Csaf(Format):
    """CSAF 2.0, profiles VEX and security advisory."""

    name = "csaf"
    title = "CSAF 2.0, profiles VEX and security advisory"

    @override
    def can_read(self, document: dict[str, Any]) -> bool:
        head = document.get("document")
        return isinstance(head, dict) and "csaf_version" in head

    @override
    def read(self, root: Node, digest: str) -> tuple[VexStatement, ...]:
        head = root.get("document")
        for node, supported_values in (
            (head.get("csaf_version"), ("2.0",)),
            (head.get("category"), (_VEX, _ADVISORY)),
            (head.get("tracking").get("status"), ("final", "interim")),
        ):
            if node.read_name() not in supported_values:
                raise node.make_error(
                    f"{node.read_name() or ''!r} is not supported; supported: {', '.join(supported_values)}"
                )
        is_vex = head.get("category").read_name() == _VEX
        author = head.get("publisher").get("name").require_name()
        at = head.get("tracking").get("current_release_date").read_time()
        tree = _Tree(root.get("product_tree"))
        return tuple(
            VexStatement(digest, FORMAT.name, author, None, names, *assessment, at=at)
            for vulnerability in root.get("vulnerabilities").list_items()
            for names in (_read_vulnerability_names(vulnerability),)
            for assessment in _read_assessments(vulnerability, tree, should_have_reasons=is_vex)
        )


FORMAT = Csaf()

# Status, products, packages, justification, impact.
_Assessment = tuple[VexStatus, tuple[str, ...], tuple[str, ...], str | None, str | None]


def _read_vulnerability_names(node: Node) -> tuple[str, ...]:
    names = drop_duplicates(
        node.get("cve").read_name(),
        *(identifier.get("text").read_name() for identifier in node.get("ids").list_items()),
    )
    if not names:
        raise node.make_error("this has neither a cve nor ids")
    return names


def _read_assessments(node: Node, tree: "_Tree", *, should_have_reasons: bool) -> Iterator[_Assessment]:
    """The assessments of a vulnerability by status, flags and threats.

    Products with the same assessment are together. A product that is not affected without a reason is an error if
    `should_have_reasons`, else it is skipped.
    """
    statuses: dict[str, VexStatus] = {}
    for key, status in _STATUSES.items():
        for product_id in node.get("product_status").get(key).list_items():
            if statuses.setdefault(product_id.require_name(), status) is not status:
                raise product_id.make_error(f"{product_id.require_name()} has two contradicting statuses")
    flags = _read_texts_by_product(node.get("flags"), "label", statuses, tree)
    threats = _read_texts_by_product(node.get("threats"), "details", statuses, tree, category="impact")
    groups: dict[tuple[VexStatus, str | None, str | None], list[str]] = {}
    for product, status in statuses.items():
        label, impact = flags.get(product), threats.get(product)
        if label is not None and label not in JUSTIFICATIONS:
            raise node.get("flags").make_error(f"{label!r} is not allowed; allowed: {', '.join(JUSTIFICATIONS)}")
        if status is VexStatus.NOT_AFFECTED and not (label or impact):
            if not should_have_reasons:
                continue
            raise node.make_error(f"{product} is known_not_affected, without a flag or a threat that says why")
        is_unaffected = status is VexStatus.NOT_AFFECTED
        groups.setdefault((status, label if is_unaffected else None, impact), []).append(product)
    for (status, label, impact), products in groups.items():
        for subjects, packages in tree.list_subjects(products, node):
            yield status, subjects, packages, label, impact


def _read_texts_by_product(
    node: Node, key: str, products: Iterable[str], tree: "_Tree", category: str | None = None
) -> dict[str, str | None]:
    """Product id -> the text under `key` of the first entry for it, or for a group that has it.

    Each group is looked at once, and only for these products: thousands of vulnerabilities can name a group of
    thousands.
    """
    texts: dict[str, str | None] = {}
    remaining_products, seen_groups = set(products), set[str]()
    for entry in node.list_items():
        if category and entry.get("category").read_name() != category:
            continue
        named_products = remaining_products.intersection(
            [product.require_name() for product in entry.get("product_ids").list_items()]
        )
        for group in entry.get("group_ids").list_items():
            name = group.require_name()
            if name not in tree.groups:
                raise group.make_error(f"there is no product group {name!r}")
            if name not in seen_groups:
                seen_groups.add(name)
                named_products |= remaining_products & tree.groups[name]
        texts |= dict.fromkeys(named_products, entry.get(key).read_prose())
        remaining_products -= named_products
    return texts


@dataclass(slots=True)
class _Product:
    """A product by its `names` (purls and digests) and `fallback_names` (CPE, id).

    `component` and `container` are the ids of a relationship: the product is this component inside that container. Both
    are None for other products.
    """

    names: tuple[str, ...] = ()
    fallback_names: tuple[str, ...] = ()
    component: str | None = None
    container: str | None = None


@dataclass(slots=True)
class _Tree:
    node: Node
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    _products: dict[str, _Product] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for product in (*_collect_products(self.node), *self.node.get("full_product_names").list_items()):
            self._add(product)
        for relationship in self.node.get("relationships").list_items():
            inner = self._add(relationship.get("full_product_name"))
            inner.component = relationship.get("product_reference").require_name()
            inner.container = relationship.get("relates_to_product_reference").require_name()
        for group in self.node.get("product_groups").list_items():
            products = frozenset(product.require_name() for product in group.get("product_ids").list_items())
            self.groups[group.get("group_id").require_name()] = products

    def _add(self, node: Node) -> _Product:
        identity = node.get("product_id").require_name()
        if identity in self._products:
            raise node.make_error(f"the product {identity!r} is defined twice")
        helper = node.get("product_identification_helper")
        hashes = [
            parse_sha256(file_hash.get("value").read_name())
            for entry in helper.get("hashes").list_items()
            for file_hash in entry.get("file_hashes").list_items()
            if (file_hash.get("algorithm").read_name() or "").lower() == "sha256"
        ]
        product = _Product(
            drop_duplicates(helper.get("purl").read_name(), *hashes),
            drop_duplicates(helper.get("cpe").read_name(), identity),
        )
        self._products[identity] = product
        return product

    def list_subjects(self, products: Iterable[str], at: Node) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Products, and the packages inside each; products as a whole come first, without packages."""
        complete: list[str] = []
        partial: dict[tuple[str, ...], list[str]] = {}
        for identity in products:
            product = self._find(identity, at)
            if product.component is None or product.container is None:
                complete += product.names or product.fallback_names
                continue
            component, container = self._find(product.component, at), self._find(product.container, at)
            if container.names:
                partial.setdefault(container.names, []).extend(component.names or component.fallback_names)
            else:
                complete += [name for name in component.names if _has_version(name)] or product.fallback_names
        if complete:
            yield drop_duplicates(*complete), ()
        for names, packages in partial.items():
            yield names, drop_duplicates(*packages)

    def _find(self, identity: str, at: Node) -> _Product:
        if identity not in self._products:
            raise at.make_error(f"there is no product {identity!r} in the product_tree")
        return self._products[identity]


def _collect_products(node: Node) -> list[Node]:
    """The products of a tree of branches, in the order of the document."""
    products: list[Node] = []
    pending = [(branch, 1) for branch in reversed(node.get("branches").list_items())]
    while pending:
        branch, depth = pending.pop()
        if depth > _NESTING_LIMIT:
            raise InvalidDocumentError(f"product_tree: branches are nested more than {_NESTING_LIMIT} deep")
        if branch.get("product").is_present():
            products.append(branch.get("product"))
        pending += [(child, depth + 1) for child in reversed(branch.get("branches").list_items())]
    return products


def _has_version(name: str) -> bool:
    return not is_purl(name) or get_version(name) is not None
