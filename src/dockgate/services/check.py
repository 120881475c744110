"""Look up the vulnerabilities of package URLs, without an image."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dockgate.scanner import ecosystems
from dockgate.scanner.model import Inventory, Package
from dockgate.scanner.ports import Ecosystem
from dockgate.services.purls import Purls
from dockgate.shared.errors import UsageError
from dockgate.vulnerabilities.matching import Matcher
from dockgate.vulnerabilities.model import Finding, Undetermined
from dockgate.vulnerabilities.ports import AdvisoryReader

_OF_DISTRIBUTIONS = ("pkg:apk/", "pkg:deb/", "pkg:rpm/")
_ADVICE = "Say of which release it is, as in ?distro=debian-12."


@dataclass(frozen=True, slots=True)
class Answer:
    """The findings of one package URL, and the reasons for what could not be determined (`undetermined`).

    `advisory_count`: how many vulnerabilities of any version have an advisory; with none, the name may not exist.

    `error` says what is wrong with the package URL itself; all else is then empty.
    """

    purl: str
    package: Package | None = None
    findings: tuple[Finding, ...] = ()
    undetermined: tuple[str, ...] = ()
    advisory_count: int = 0
    error: str = ""


def check(batches: Iterable[Sequence[str]], advisories: AdvisoryReader) -> Iterator[Answer]:
    """An answer for each package URL, in order. Those of a batch are looked up at once, and answered when all are.

    Raises DatabaseError when the advisory database breaks off.
    """
    kinds = ecosystems.load()
    reader = Purls(kinds)
    for batch in batches:
        with _uncollected():
            answers = _answers(batch, reader, advisories, kinds)
        yield from answers


def _answers(
    batch: Sequence[str], reader: Purls, advisories: AdvisoryReader, kinds: Sequence[Ecosystem]
) -> list[Answer]:
    read = {text: _read(reader, text) for text in batch}
    packages = tuple(answer.package for answer in read.values() if answer.package)
    matcher = Matcher(advisories.snapshot([Inventory("", "", None, (), packages, ())]), kinds)
    answers = {text: _judged(answer, matcher) for text, answer in read.items()}
    return [answers[text] for text in batch]


@contextmanager
def _uncollected() -> Iterator[None]:
    """Switch the garbage collector off while a batch is checked.

    Searching all objects of a batch takes a tenth of its time, and finds nothing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()


def _judged(answer: Answer, matcher: Matcher) -> Answer:
    if answer.package is None:
        return answer
    matches = matcher.match((answer.package,))
    reasons = tuple(_reason(entry, answer.package) for entry in matches.undetermined)
    return Answer(answer.purl, answer.package, matches.findings, reasons, matcher.count_vulnerabilities(answer.package))


def _reason(entry: Undetermined, package: Package) -> str:
    """An image says of which release it is; a package URL has to."""
    releases = package.purl.startswith(_OF_DISTRIBUTIONS) and ":" not in package.ecosystem
    return f"{entry.reason} {_ADVICE}" if entry.kind == "uncovered" and releases else entry.reason


def _read(reader: Purls, text: str) -> Answer:
    try:
        purl = reader.parse(text)
        if not reader.knows(purl):
            return Answer(text, undetermined=(f"No ecosystem here reads packages of the type {purl.type}.",))
        return Answer(text, reader.package(purl))
    except UsageError as error:
        return Answer(text, error=f"{error} {error.advice}")
