"""Read packages from SPDX documents in JSON, by package URLs of one type (SPDX 2.3, 7.21)."""

from collections.abc import Callable, Iterator
from typing import Any

from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError

# A path in the document, and the reason.
UnreadPart = tuple[str, str]


def read_packages(
    content: dict[str, Any], prefix: str, parse: Callable[[str], Package | None], *, ignore_invalid: bool = False
) -> tuple[dict[str, Package], tuple[UnreadPart, ...]]:
    """Return the packages of a document by package URL, and the parts that could not be read.

    `prefix` is the beginning of the package URLs to read; `parse` returns None for one without name and version.
    Entries that are not SPDX packages are unread parts, unless `ignore_invalid`. Raises UnreadableError if the content
    is not an SPDX document.
    """
    entries = content.get("packages")
    if not isinstance(entries, list):
        raise UnreadableError("it is not an SPDX document: it has no list of packages")
    packages: dict[str, Package] = {}
    unread: list[UnreadPart] = []
    for position, entry in enumerate(entries):
        references = entry.get("externalRefs", []) if isinstance(entry, dict) else None
        if not isinstance(references, list) and not ignore_invalid:
            unread.append((f"packages/{position}", "it is not an SPDX package"))
        for purl in _package_urls(references, prefix):
            if package := parse(purl):
                packages[package.purl] = package
            else:
                unread.append((f"packages/{position}", f"its package URL has no name and version: {purl[:200]}"))
    return packages, tuple(unread)


def _package_urls(references: Any, prefix: str) -> Iterator[str]:
    for reference in references if isinstance(references, list) else ():
        locator = reference.get("referenceLocator") if isinstance(reference, dict) else None
        if isinstance(locator, str) and locator.startswith(prefix):
            yield locator
