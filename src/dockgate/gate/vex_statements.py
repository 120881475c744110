"""Decide which VEX statements are trusted, what they apply to, and which findings they excuse. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from dockgate.gate import patterns
from dockgate.gate.model import Policy, VexStatement, VexStatus
from dockgate.gate.policy import list_vex_authors
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.purl import get_version, is_of_type, is_purl, split_qualifiers
from dockgate.shared.timestamps import parse_time
from dockgate.vulnerabilities.model import Finding

_EXCUSES = (VexStatus.NOT_AFFECTED, VexStatus.FIXED)
_OCI = "oci"
# The values of `arch` with which distributions name a source package.
_SOURCES = ("source", "src")


class PlatformStatements:
    """The statements about one platform of an image, by finding, as of `now`.

    A statement dated in the future excuses nothing yet. If it withdraws an excuse, the withdrawal counts at once.
    """

    def __init__(
        self,
        statements: Sequence[VexStatement],
        policy: Policy,
        inventory: Inventory,
        images: Collection[str],
        now: str,
    ) -> None:
        self._now = parse_time(now)
        self._trusted_keys = {author.name: author.fingerprints for author in list_vex_authors(policy)}
        self._images = images
        self._by_vulnerability: dict[str, list[VexStatement]] = {}
        packages = _group_packages_by_path(inventory.packages) if statements else {}
        for statement in statements:
            if _is_about(statement, images, packages):
                for name in dict.fromkeys(statement.vulnerabilities):
                    self._by_vulnerability.setdefault(name, []).append(statement)

    def find_excuse(self, finding: Finding) -> VexStatement | None:
        """The trusted statement that excuses the finding. Only the latest statement of each author counts."""
        latest_statements: dict[str, VexStatement] = {}
        for statement in self.list_statements_on(finding):
            if self._is_trusted(statement):
                previous = latest_statements.get(statement.author)
                if previous is None or _rank_by_age(statement) > _rank_by_age(previous):
                    latest_statements[statement.author] = statement
        excuses = [statement for statement in latest_statements.values() if statement.status in _EXCUSES]
        return min(excuses, key=lambda excuse: (excuse.author, excuse.document), default=None)

    def list_untrusted_statements(self, finding: Finding) -> list[VexStatement]:
        """The statements that would excuse the finding if they were trusted, one for each author and signer."""
        statements = {
            (statement.author, statement.signer or "", statement.status): statement
            for statement in self.list_statements_on(finding)
            if statement.status in _EXCUSES and not self._is_trusted(statement)
        }
        return [statements[key] for key in sorted(statements)]

    def explain_distrust(self, statement: VexStatement) -> str:
        """Return why an excuse is not trusted, as the end of a sentence."""
        if not statement.signer:
            return "the document is not signed by a key that the policy lists"
        if self._has_trusted_signer(statement):
            return f"it is dated in the future, at {statement.at}"
        return "the policy does not trust this author" + (" with this key" if statement.signer.key else "")

    def list_statements_on(self, finding: Finding) -> list[VexStatement]:
        """All statements about the finding, trusted or not."""
        statements = dict.fromkeys(
            statement
            for name in dict.fromkeys((finding.id, *finding.aliases))
            for statement in self._by_vulnerability.get(name, ())
        )
        return [statement for statement in statements if self._is_covered(statement, finding.package)]

    def _is_covered(self, statement: VexStatement, package: Package) -> bool:
        """Return whether the statement's packages include this one; without packages, whether its products do.

        A product that is an image covers all that the image contains.
        """
        if statement.packages:
            return any(is_package(purl, package) for purl in statement.packages)
        return not statement.products or any(
            is_image(product, self._images) or is_package(product, package) for product in statement.products
        )

    def _is_trusted(self, statement: VexStatement) -> bool:
        at = parse_time(statement.at)
        is_in_future = at is not None and (self._now is None or at > self._now)
        return self._has_trusted_signer(statement) and not (is_in_future and statement.status in _EXCUSES)

    def _has_trusted_signer(self, statement: VexStatement) -> bool:
        keys, signer = self._trusted_keys.get(statement.author), statement.signer
        if keys is None or signer is None:
            return False
        return signer.principal is not None or signer.key in keys


def select_statements(
    statements: Iterable[VexStatement], images: Collection[str], inventories: Iterable[Inventory]
) -> tuple[VexStatement, ...]:
    """The statements that can apply to an image, in a stable order.

    Only these are stored with its verdict.
    """
    packages = _group_packages_by_path(package for inventory in inventories for package in inventory.packages)
    selected_statements = dict.fromkeys(statement for statement in statements if _is_about(statement, images, packages))
    return tuple(sorted(selected_statements, key=_make_sort_key))


def describe(statement: VexStatement) -> str:
    """The statement in words: "not_affected: vulnerable_code_not_present. Only the headers are used."."""
    status = ": ".join(filter(None, (statement.status.value, statement.justification)))
    return ". ".join(filter(None, (status, (statement.impact or "").strip())))


def is_image(product: str, images: Collection[str]) -> bool:
    """Return whether a digest, or a purl of type "oci" with a digest, names one of the images.

    A tag or a name is not enough: the next image of that name may be a different one.
    """
    return parse_image_digest(product) in images


def parse_image_digest(product: str) -> str | None:
    """The digest of the image that a product names as `is_image` understands it, None for a package."""
    if is_of_type(product, _OCI):
        digest = get_version(product)
        return None if digest is None else unquote(digest)
    return None if is_purl(product) else product


# Packages by the paths of their purls, and of their sources' purls.
_PackagesByPath = Mapping[str, list[Package]]


def _group_packages_by_path(packages: Iterable[Package]) -> _PackagesByPath:
    by_path: dict[str, list[Package]] = {}
    for package in packages:
        for path, _ in patterns.list_identities(package):
            by_path.setdefault(path, []).append(package)
    return by_path


def _is_about(statement: VexStatement, images: Collection[str], packages: _PackagesByPath) -> bool:
    """Return whether a product of the statement is one of the images or packages.

    Without products it is about any image.
    """
    return not statement.products or any(_is_present(product, images, packages) for product in statement.products)


def _is_present(product: str, images: Collection[str], packages: _PackagesByPath) -> bool:
    can_be_package = is_purl(product) and not is_of_type(product, _OCI)
    candidates = packages.get(patterns.split(product)[0], ()) if can_be_package else ()
    return is_image(product, images) or any(is_package(product, package) for package in candidates)


def is_package(purl: str, package: Package) -> bool:
    """Return whether the purl names the package.

    Path and common qualifiers are the same, and the version if the purl has one.
    """
    path, version = patterns.split(purl)
    for own_path, own_version in patterns.list_identities(package):
        if own_path == path and version in (None, own_version):
            package_qualifiers = _parse_qualifiers(package.purl)
            return all(package_qualifiers.get(key, value) == value for key, value in _parse_qualifiers(purl).items())
    return False


@lru_cache(maxsize=8192)
def _parse_qualifiers(purl: str) -> dict[str, str]:
    _, qualifiers = split_qualifiers(purl)
    pairs = [(key.lower(), value) for key, value in parse_qsl(qualifiers)]
    return {key: value for key, value in pairs if not (key == "arch" and value in _SOURCES)}


def _rank_by_age(statement: VexStatement) -> tuple[float, bool, str]:
    """The order of an author's statements, latest last.

    At equal times, one that excuses nothing is the later one. Of a statement without a time it is not known which ones
    are later: an excuse counts as the oldest, any other as the latest.
    """
    at, is_retraction = parse_time(statement.at), statement.status not in _EXCUSES
    time = at.timestamp() if at else float("inf") if is_retraction else float("-inf")
    return time, is_retraction, statement.document


def _make_sort_key(statement: VexStatement) -> tuple[str, ...]:
    subjects = (*statement.vulnerabilities, statement.status.value, *statement.products, *statement.packages)
    details = statement.justification or "", statement.impact or "", statement.at or ""
    return statement.document, statement.signer or "", *subjects, *details
