"""VEX statements: whose are believed, what they speak of, and which finding they excuse. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from dockgate.gate import patterns
from dockgate.gate.model import Policy, VexStatement, VexStatus
from dockgate.gate.policy import vex_authors
from dockgate.scanner.model import Inventory, Package
from dockgate.shared.timestamps import moment
from dockgate.vulnerabilities.model import Finding

PRINCIPAL = "principal:"
# How a `VexStatement.signer` begins.
KEY = "key:"
EXCUSES = (VexStatus.NOT_AFFECTED, VexStatus.FIXED)
_OCI = "pkg:oci/"
# What distributions write for `arch` when they speak of a source.
_SOURCES = ("source", "src")


class Applicable:
    """The statements that speak of one platform of an image, asked by finding, as of `now`.

    One that is dated in the future excuses nothing until then: nobody can say today what holds only tomorrow. What it
    takes back, it takes back at once.
    """

    def __init__(
        self, given: Sequence[VexStatement], policy: Policy, inventory: Inventory, images: Collection[str], now: str
    ) -> None:
        self._now = moment(now)
        self._trusted = {author.name: author.fingerprints for author in vex_authors(policy)}
        present = _present(inventory.packages) if given else {}
        self._named: dict[str, list[VexStatement]] = {}
        for statement in given:
            if not statement.products or any(_is_there(product, images, present) for product in statement.products):
                for name in dict.fromkeys(statement.vulnerabilities):
                    self._named.setdefault(name, []).append(statement)
        self._images = images

    def excuse(self, finding: Finding) -> VexStatement | None:
        """The statement by which the finding does not count: of each author that is believed, the latest speaks."""
        newest: dict[str, VexStatement] = {}
        for statement in self._of(finding):
            if self._believed(statement):
                before = newest.get(statement.author)
                if before is None or _age(statement) > _age(before):
                    newest[statement.author] = statement
        excuses = [statement for statement in newest.values() if statement.status in EXCUSES]
        return min(excuses, key=lambda excuse: (excuse.author, excuse.document), default=None)

    def unbelieved(self, finding: Finding) -> list[VexStatement]:
        """What would excuse the finding, were it believed; once for each author and who vouches."""
        found = {
            (statement.author, statement.signer, statement.status): statement
            for statement in self._of(finding)
            if statement.status in EXCUSES and not self._believed(statement)
        }
        return [found[key] for key in sorted(found)]

    def _of(self, finding: Finding) -> list[VexStatement]:
        named = dict.fromkeys(
            statement
            for name in dict.fromkeys((finding.id, *finding.aliases))
            for statement in self._named.get(name, ())
        )
        return [statement for statement in named if self._speaks_of(statement, finding.package)]

    def _speaks_of(self, statement: VexStatement, package: Package) -> bool:
        """By its packages; without such by its products, where an image stands for all that is in it."""
        if statement.packages:
            return any(_is_package(one, package) for one in statement.packages)
        return not statement.products or any(
            is_image(product, self._images) or _is_package(product, package) for product in statement.products
        )

    def doubt(self, statement: VexStatement) -> str:
        """Why an excuse is not believed, as the end of a sentence."""
        if not statement.signer:
            return "nobody vouches for it: the document is not signed by a key that the policy lists"
        if self._vouched(statement):
            return f"it is dated in the future, at {statement.at}"
        return "the policy does not trust this author" + (" with this key" if statement.signer.startswith(KEY) else "")

    def _believed(self, statement: VexStatement) -> bool:
        return self._vouched(statement) and not (statement.status in EXCUSES and self._to_come(statement))

    def _to_come(self, statement: VexStatement) -> bool:
        at = moment(statement.at)
        return at is not None and (self._now is None or at > self._now)

    def _vouched(self, statement: VexStatement) -> bool:
        keys = self._trusted.get(statement.author)
        if keys is None:
            return False
        signer = statement.signer
        return signer.startswith(PRINCIPAL) or (signer.startswith(KEY) and signer.removeprefix(KEY) in keys)


def select_statements(
    given: Iterable[VexStatement], images: Collection[str], inventories: Iterable[Inventory]
) -> tuple[VexStatement, ...]:
    """Those that may speak of this image, in a stable order: the rest is not for its verdict to keep."""
    present = _present(package for inventory in inventories for package in inventory.packages)
    chosen = dict.fromkeys(
        statement
        for statement in given
        if not statement.products or any(_is_there(product, images, present) for product in statement.products)
    )
    return tuple(sorted(chosen, key=_order))


def reason(statement: VexStatement) -> str:
    """ "not_affected: vulnerable_code_not_present. Only the headers are used." """
    said = [f"{statement.status.value}{': ' if statement.justification else ''}{statement.justification}"]
    return ". ".join(filter(None, (*said, statement.impact.strip())))


def is_image(product: str, images: Collection[str]) -> bool:
    """Whether a digest, or a purl of the type "oci" with a digest, names one of the images. By tag or name alone none
    is meant: the next image of that name may be another."""
    if product.startswith(_OCI):
        path = product.partition("#")[0].partition("?")[0]
        return unquote(path.rpartition("@")[2]) in images if "@" in path else False
    return product in images


# Packages by the paths of their purls, those of their sources too.
Present = Mapping[str, list[Package]]


def _present(packages: Iterable[Package]) -> Present:
    found: dict[str, list[Package]] = {}
    for package in packages:
        for path, _ in patterns.identities(package):
            found.setdefault(path, []).append(package)
    return found


def _is_there(product: str, images: Collection[str], present: Present) -> bool:
    if is_image(product, images):
        return True
    if not product.startswith("pkg:") or product.startswith(_OCI):
        return False
    return any(_is_package(product, package) for package in present.get(patterns.split(product)[0], ()))


def _is_package(purl: str, package: Package) -> bool:
    """Path and version are the same (without a version: any), and so is each qualifier that both have."""
    path, version = patterns.split(purl)
    for own_path, own_version in patterns.identities(package):
        if own_path == path and version in ("", own_version):
            own = _qualifiers(package.purl)
            return all(own.get(key, value) == value for key, value in _qualifiers(purl).items())
    return False


@lru_cache(maxsize=8192)
def _qualifiers(purl: str) -> dict[str, str]:
    text = purl.partition("#")[0].partition("?")[2]
    return {key.lower(): value for key, value in parse_qsl(text) if not (key.lower() == "arch" and value in _SOURCES)}


def _age(statement: VexStatement) -> tuple[float, bool, str]:
    """By which the latest is chosen. Of two of one time the one that excuses nothing wins."""
    at = moment(statement.at)
    return at.timestamp() if at else float("-inf"), statement.status not in EXCUSES, statement.document


def _order(statement: VexStatement) -> tuple[str, ...]:
    return (
        statement.document,
        statement.signer,
        *statement.vulnerabilities,
        statement.status.value,
        *statement.products,
        *statement.packages,
        statement.justification,
        statement.impact,
        statement.at,
    )
