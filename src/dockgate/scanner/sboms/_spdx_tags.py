"""SPDX 2.2 and 2.3 in the tag-value form, turned into the JSON form of the same document.

Source: SPDX specification 2.3, clause 6.1 ("tag: value" lines, `<text>` for several lines) and the clauses of each tag.
"""

from collections.abc import Iterator
from typing import Any

from dockgate.shared.errors import UsageError

_OPENING_TAG, _CLOSING_TAG = "<text>", "</text>"
_PACKAGE_FIELDS = {
    "PackageVersion": "versionInfo",
    "PackageSupplier": "supplier",
    "PackageSourceInfo": "sourceInfo",
    "PrimaryPackagePurpose": "primaryPackagePurpose",
}
# Tags that begin something that is neither the document nor a package.
_OTHER_SECTIONS = ("FileName", "SnippetSPDXID", "LicenseID")


def parse(text: str) -> dict[str, Any]:
    """Return the document as JSON has it: version, packages, relationships, annotations.

    Raises UsageError naming the line.
    """
    packages: list[dict[str, Any]] = []
    document: dict[str, Any] = {"packages": packages, "relationships": []}
    annotations: list[dict[str, Any]] = []
    section: dict[str, Any] | None = document
    for number, tag, value in _read_tags(text):
        if tag == "PackageName":
            section = {"name": value}
            packages.append(section)
        elif tag in _OTHER_SECTIONS:
            section = None
        elif tag == "SPDXVersion":
            document["spdxVersion"] = value
        elif tag == "Relationship":
            parts = value.split()
            if len(parts) != 3:
                raise UsageError(f"has a Relationship that is not between two elements, in line {number}")
            names = ("spdxElementId", "relationshipType", "relatedSpdxElement")
            document["relationships"].append(dict(zip(names, parts, strict=True)))
        elif tag == "Annotator":
            annotations.append({"annotator": value})
        elif tag in ("AnnotationComment", "SPDXREF"):
            if not annotations:
                raise UsageError(f"has {tag} before any Annotator, in line {number}")
            annotations[-1]["comment" if tag == "AnnotationComment" else "of"] = value
        elif section is not None:
            _set_field(section, tag, value, number)
    # An annotation is of the element that its SPDXREF names, of the document where it names none.
    elements = {package.get("SPDXID"): package for package in packages}
    for annotation in annotations:
        elements.get(annotation.pop("of", ""), document).setdefault("annotations", []).append(annotation)
    return document


def _set_field(section: dict[str, Any], tag: str, value: str, number: int) -> None:
    if tag == "SPDXID":
        section["SPDXID"] = value
    elif tag in _PACKAGE_FIELDS:
        section[_PACKAGE_FIELDS[tag]] = value
    elif tag == "ExternalRef":
        category, kind, locator = (*value.split(None, 2), "", "")[:3]
        if not locator:
            raise UsageError(f"has an ExternalRef without category, type and locator, in line {number}")
        reference = {"referenceCategory": category, "referenceType": kind, "referenceLocator": locator}
        section.setdefault("externalRefs", []).append(reference)


def _read_tags(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, tag and value of each entry. A value in `<text>` may go over several lines."""
    lines = enumerate(text.splitlines(), 1)
    for number, raw in lines:
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        tag, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"has no tag in line {number}")
        value = value.strip()
        if value.startswith(_OPENING_TAG):
            block = [value.removeprefix(_OPENING_TAG)]
            while _CLOSING_TAG not in block[-1]:
                next_line = next(lines, None)
                if next_line is None:
                    raise UsageError(f"has a {_OPENING_TAG} in line {number} that does not end")
                block.append(next_line[1])
            value = "\n".join(block).partition(_CLOSING_TAG)[0]
        yield number, tag.strip(), value
