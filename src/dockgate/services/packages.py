"""Package URLs and versions without an image: look up vulnerabilities, compare versions."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dockgate.scanner import ecosystems
from dockgate.scanner.model import Distribution, Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms.purls import parse_purl
from dockgate.shared.errors import NotFoundError, UncomparableError, UsageError
from dockgate.shared.purl import Purl, is_of_type
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Finding, UndeterminedFact
from dockgate.vulnerabilities.ports import AdvisoryReader
from dockgate.vulnerabilities.versions import list_order_names

_DISTRIBUTION_TYPES = ("apk", "deb", "rpm")
_ADVICE = "Say of which release it is, as in ?distro=debian-12."


class Purls:
    """A reader of the package URLs of these ecosystems."""

    def __init__(self, ecosystems: Sequence[Ecosystem]) -> None:
        self._ecosystems_by_type = {
            purl_type: ecosystem for ecosystem in ecosystems for purl_type in ecosystem.purl_types
        }

    def parse(self, text: str) -> Purl:
        """Return the parsed package URL. Raises UsageError for any other text."""
        try:
            return parse_purl(text)
        except ValueError as error:
            raise UsageError(
                f"{text!r} is not a package URL: {error}", "Write it as pkg:TYPE/NAMESPACE/NAME@VERSION."
            ) from None

    def is_known(self, purl: Purl) -> bool:
        """Return whether any ecosystem reads packages of its type."""
        return purl.type in self._ecosystems_by_type

    def make_package(self, purl: Purl, distribution: Distribution | None = None) -> Package:
        """Return the package that it names; `distribution` is where it is installed, if the purl does not say.

        Raises UsageError when no ecosystem reads its type, or when it lacks what its ecosystem needs.
        """
        ecosystem = self._ecosystems_by_type.get(purl.type)
        if ecosystem is None:
            types = ", ".join(sorted(self._ecosystems_by_type))
            raise UsageError(f"Dockgate reads no packages of the type {purl.type}", f"Types are: {types}.")
        return ecosystem.build_from_purl(purl, distribution)


@dataclass(frozen=True, slots=True)
class PackageResult:
    """The findings of one package URL, and the reasons for what could not be determined (`undetermined`).

    `advisory_count`: how many vulnerabilities of any version have an advisory; with none, the name may not exist.

    `error` says what is wrong with the package URL itself; all else is then empty.
    """

    purl: str
    package: Package | None = None
    findings: tuple[Finding, ...] = ()
    undetermined: tuple[str, ...] = ()
    advisory_count: int = 0
    error: str | None = None


def check_packages(batches: Iterable[Sequence[str]], advisories: AdvisoryReader) -> Iterator[PackageResult]:
    """Look up each package URL, in order.

    Those of a batch are looked up at once, and answered when all are. Raises DatabaseError when the advisory database
    breaks off.
    """
    all_ecosystems = ecosystems.load()
    purls = Purls(all_ecosystems)
    for batch in batches:
        with _disable_collector():
            read = {text: _read_purl(purls, text) for text in batch}
            packages = tuple(result.package for result in read.values() if result.package)
            matcher = Matcher(advisories.read_snapshot([Inventory(None, None, None, (), packages, ())]), all_ecosystems)
            results = {text: _match_package(result, matcher) for text, result in read.items()}
        yield from (results[text] for text in batch)


@contextmanager
def _disable_collector() -> Iterator[None]:
    """Switch the garbage collector off while a batch is checked.

    Searching all objects of a batch takes a tenth of its time, and finds nothing.
    """
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.freeze()
            gc.enable()


def _match_package(result: PackageResult, matcher: Matcher) -> PackageResult:
    if result.package is None:
        return result
    matches = matcher.match((result.package,))
    reasons = tuple(_describe_reason(entry, result.package) for entry in matches.undetermined)
    return PackageResult(
        result.purl, result.package, matches.findings, reasons, matcher.count_vulnerabilities(result.package)
    )


def _describe_reason(entry: UndeterminedFact, package: Package) -> str:
    """Return the reason, with advice where the package URL does not name a distribution's release."""
    is_release_missing = is_of_type(package.purl, *_DISTRIBUTION_TYPES) and ":" not in package.ecosystem
    return f"{entry.reason} {_ADVICE}" if entry.kind == "uncovered" and is_release_missing else entry.reason


def _read_purl(purls: Purls, text: str) -> PackageResult:
    try:
        purl = purls.parse(text)
        if not purls.is_known(purl):
            return PackageResult(text, undetermined=(f"Dockgate reads no packages of the type {purl.type}.",))
        return PackageResult(text, purls.make_package(purl))
    except UsageError as error:
        return PackageResult(text, error=error.full_message)


@dataclass(frozen=True, slots=True)
class ComparedVersions:
    """The order of `first` and `second`: "<", "=", ">" or "?".

    `reason` says why they cannot be compared.
    """

    first: str
    second: str
    order: str
    reason: str | None = None


def compare_versions(ecosystem: str, pairs: Iterable[tuple[str, str]]) -> Iterator[ComparedVersions]:
    """Compare each pair of versions by the ecosystem of this name.

    The name is OSV's ("Debian", "PyPI") or ours ("dpkg"). Raises NotFoundError, at once, for a name that is neither.
    """
    ordering_ecosystems = _load_ordering_ecosystems()
    for candidate in list_order_names(ecosystem.lower()):
        for entry in ordering_ecosystems:
            if candidate in (name.lower() for name in (entry.name, *entry.osv_names)):
                return (_compare(entry.make_version_key, first, second) for first, second in pairs)
    raise NotFoundError(f"no ecosystem is called {ecosystem!r}", f"Name one of: {', '.join(list_ecosystem_names())}.")


def list_ecosystem_names() -> tuple[str, ...]:
    """Return every name that `compare_versions` accepts, sorted; of those that differ by case alone OSV's."""
    ordering_ecosystems = _load_ordering_ecosystems()
    own_names = [ecosystem.name for ecosystem in ordering_ecosystems]
    osv_names = [name for ecosystem in ordering_ecosystems for name in ecosystem.osv_names]
    names = {name.lower(): name for name in (*own_names, *osv_names)}
    return tuple(names[name] for name in sorted(names))


def _load_ordering_ecosystems() -> Sequence[Ecosystem]:
    """The ecosystems whose versions have an order."""
    return [ecosystem for ecosystem in ecosystems.load() if ecosystem.osv_names]


def _compare(key: Callable[[str], Any], first: str, second: str) -> ComparedVersions:
    try:
        first_key, second_key = key(first), key(second)
    except UncomparableError as error:
        return ComparedVersions(first, second, "?", str(error))
    order = "<" if first_key < second_key else "=" if first_key == second_key else ">"
    return ComparedVersions(first, second, order)
