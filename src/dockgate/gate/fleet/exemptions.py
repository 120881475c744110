"""Where waivers and VEX statements may change verdicts when they come and go. Pure.

A scope is a superset. Too many images only cost time. A missing image keeps a wrong verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dockgate.gate import patterns, vex_statements
from dockgate.gate.model import VexStatement, Waiver
from dockgate.scanner.model import Package


@dataclass(frozen=True, slots=True)
class ExemptionScope:
    """Images whose verdicts a waiver or a VEX statement may change.

    `images` are the only ones, by the digest of a manifest or an index; `repository` is a pattern of theirs. With
    `has_finding`, only those with a finding that has one of the `names`, in one of the `packages`: patterns, or with
    `is_exact` package URLs as VEX names them. None is for any.
    """

    images: frozenset[str] | None = None
    repository: str | None = None
    has_finding: bool = False
    names: frozenset[str] | None = None
    packages: tuple[str, ...] | None = None
    is_exact: bool = False

    def has_repository(self, repository: str) -> bool:
        """Return whether images of this repository are in the scope."""
        return self.repository is None or patterns.is_match(repository, self.repository)

    def list_paths(self) -> tuple[str | None, ...]:
        """The paths of package URLs that findings in the scope have, None for any path."""
        paths = [patterns.split(name)[0] for name in self.packages or ()]
        return tuple(None if "*" in path and not self.is_exact else path for path in paths) or (None,)

    def has_package(self, package: Package) -> bool:
        """Return whether findings in this package are in the scope."""
        is_match = vex_statements.is_package if self.is_exact else patterns.is_package_match
        return self.packages is None or any(is_match(name, package) for name in self.packages)


def make_waiver_scope(waiver: Waiver) -> ExemptionScope:
    """Where a waiver may change a verdict (`waivers`, `unread_waivers`).

    One for unread content, a rule or all of an image has no finding to look for.
    """
    images = frozenset((waiver.image,)) if waiver.image else None
    if waiver.unread or waiver.rule or not (waiver.vulnerability or waiver.package):
        return ExemptionScope(images, waiver.repository)
    names = frozenset((waiver.vulnerability,)) if waiver.vulnerability else None
    return ExemptionScope(images, waiver.repository, True, names, (waiver.package,) if waiver.package else None)


def make_statement_scopes(statement: VexStatement, attached_to: str | None) -> Sequence[ExemptionScope]:
    """Where a VEX statement may change a verdict (`vex_statements`).

    There is a scope for each way to name a product. `attached_to` is the digest of the image that the document is
    attached to, None for one that was uploaded. Does not check whether the image contains the product.
    """
    names, packages = frozenset(statement.vulnerabilities), statement.packages or None
    if attached_to is not None or not statement.products:
        return [ExemptionScope(frozenset((attached_to,)) if attached_to else None, None, True, names, packages, True)]
    digests = {product: vex_statements.parse_image_digest(product) for product in statement.products}
    images = frozenset(digest for digest in digests.values() if digest is not None)
    products = tuple(product for product, digest in digests.items() if digest is None)
    scopes = []
    if images:
        scopes.append(ExemptionScope(images, None, True, names, packages, True))
    if products:
        scopes.append(ExemptionScope(None, None, True, names, packages or products, True))
    return scopes
