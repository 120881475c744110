"""Read packages from SPDX documents in JSON, by package URLs of one type (SPDX 2.3, 7.21)."""

from collections.abc import Callable, Mapping
from typing import Any

from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import is_of_type, split_qualifiers, strip_scheme


def read_packages(
    content: dict[str, Any],
    purl_type: str,
    build: Callable[[str, str, Mapping[str, str]], Package],
    *,
    should_ignore_invalid: bool = False,
) -> tuple[dict[str, Package], tuple[tuple[str, str], ...]]:
    """Return the packages of a document by package URL, and the unread parts.

    An unread part is a path in the document, and a reason. `build` makes a package from name, version and qualifiers.
    Entries that are not SPDX packages are unread parts, unless `should_ignore_invalid`. Raises UnreadableError if the
    content is not an SPDX document.
    """
    from urllib.parse import unquote

    entries = content.get("packages")
    if not isinstance(entries, list):
        raise UnreadableError("it is not an SPDX document: it has no list of packages")
    packages: dict[str, Package] = {}
    unread_parts: list[tuple[str, str]] = []
    for position, entry in enumerate(entries):
        references = entry.get("externalRefs", []) if isinstance(entry, dict) else None
        if not isinstance(references, list) and not should_ignore_invalid:
            unread_parts.append((f"packages/{position}", "it is not an SPDX package"))
        for reference in references if isinstance(references, list) else ():
            purl = reference.get("referenceLocator") if isinstance(reference, dict) else None
            if not isinstance(purl, str) or not is_of_type(purl, purl_type):
                continue
            purl_path, query = split_qualifiers(purl)
            name, _, version = strip_scheme(purl_path).removeprefix(f"{purl_type}/").rpartition("@")
            if name and version:
                pairs = (pair.partition("=") for pair in query.split("&"))
                qualifiers = {key: unquote(value) for key, _, value in pairs}
                package = build(unquote(name), unquote(version), qualifiers)
                packages[package.purl] = package
            else:
                unread_parts.append((f"packages/{position}", f"its package URL has no name and version: {purl[:200]}"))
    return packages, tuple(unread_parts)
