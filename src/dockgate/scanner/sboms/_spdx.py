"""SPDX as JSON, 2.2 and 2.3: its packages."""

import json
from collections.abc import Iterator
from typing import Any

from dockgate.scanner.sboms._contents import (
    MIXED_ADVICE,
    Contents,
    Item,
    Properties,
    collect_properties,
    get_text,
    is_package,
    read_distribution,
    require_objects,
    select_objects,
)
from dockgate.shared.errors import UsageError

VERSIONS = ("SPDX-2.2", "SPDX-2.3")

_SYSTEM = ("OPERATING-SYSTEM", "OPERATING_SYSTEM")
# Purposes of packages that are none in our sense, unless they have a package's URL.
_NO_PACKAGES = ("CONTAINER", "FILE", "DEVICE")
_BUILT_FROM = "built package from: "  # how Trivy's sourceInfo begins, and ours


def read(document: dict[str, Any]) -> tuple[str, list[Contents]]:
    """Return the digest that the document describes, and its contents for each image.

    `_cyclonedx.read` returns the same.
    """
    version = document.get("spdxVersion")
    if version not in VERSIONS:
        raise UsageError(f"is {version if isinstance(version, str) else 'an unknown SPDX'}, which is not supported")
    described_ids = _list_described_ids(document)
    packages = require_objects(document.get("packages"), "packages")
    images = [
        get_text(package.get("SPDXID")) for package in packages if _read_properties(package).get_first("dockgate:image")
    ]
    document_digest = _read_properties(document).get_first("dockgate:digest")
    if len(images) < 2:
        return document_digest, [_read_contents(packages, described_ids)]
    containers = {  # SPDX id -> that of what contains it
        get_text(relationship.get("relatedSpdxElement")): get_text(relationship.get("spdxElementId"))
        for relationship in select_objects(document.get("relationships"))
        if relationship.get("relationshipType") == "CONTAINS"
    }
    parts: dict[str, list[dict[str, Any]]] = {image: [] for image in images}
    for package in packages:
        identity = get_text(package.get("SPDXID"))
        image = identity if identity in parts else containers.get(identity, "")
        if image not in parts:
            raise UsageError("describes several platforms, and packages that belong to none of them", MIXED_ADVICE)
        parts[image].append(package)
    if len(parts) < len(images):
        raise UsageError("describes the same image twice", MIXED_ADVICE)
    return document_digest, [_read_contents(part, described_ids) for part in parts.values()]


def _read_contents(packages: list[dict[str, Any]], described_ids: set[str]) -> Contents:
    contents = Contents()
    for package in packages:
        _take(package, described_ids, contents)
    return contents


def _list_described_ids(document: dict[str, Any]) -> set[str]:
    """Return the SPDX ids of what the document is about."""
    listed_ids = document.get("documentDescribes")
    described_ids = {get_text(item) for item in (listed_ids if isinstance(listed_ids, list) else ())}
    ends = {"DESCRIBES": "relatedSpdxElement", "DESCRIBED_BY": "spdxElementId"}
    for relationship in select_objects(document.get("relationships")):
        if end := ends.get(get_text(relationship.get("relationshipType"))):
            described_ids.add(get_text(relationship.get(end)))
    return described_ids


def _take(package: dict[str, Any], described_ids: set[str], contents: Contents) -> None:
    identity, purpose = get_text(package.get("SPDXID")), get_text(package.get("primaryPackagePurpose"))
    name, version = get_text(package.get("name")), get_text(package.get("versionInfo"))
    properties, purl = _read_properties(package), _find_purl(package)
    if purpose in _SYSTEM:
        if name and contents.distribution is None:
            description = properties.get_first("dockgate:distribution:name")
            contents.distribution = read_distribution(name, version, description, properties)
    elif properties.get_first("dockgate:image"):
        contents.image = properties
    else:
        # Trivy has a package for each file that names packages (a lockfile, a binary).
        is_group = bool(properties.get_first("aquasecurity:trivy:Class"))
        if is_package(purl) or not (purpose in _NO_PACKAGES or described_ids == {identity} or is_group):
            contents.items.append(
                Item(identity or None, name, version, purl, properties, _read_source(package), _read_maker(package))
            )


def _find_purl(package: dict[str, Any]) -> str | None:
    for reference in select_objects(package.get("externalRefs")):
        if reference.get("referenceType") == "purl":
            return get_text(reference.get("referenceLocator")) or None
    return None


def _read_source(package: dict[str, Any]) -> tuple[str, str | None] | None:
    info = get_text(package.get("sourceInfo"))
    if not info.startswith(_BUILT_FROM):
        return None
    name, _, version = info.removeprefix(_BUILT_FROM).strip().partition(" ")
    return (name, version or None) if name else None


def _read_maker(package: dict[str, Any]) -> str | None:
    """The supplier: "Person: NAME (ADDRESS)" with Syft, "Organization: NAME <ADDRESS>" with Trivy, "NOASSERTION"."""
    kind, colon, name = get_text(package.get("supplier")).partition(": ")
    is_named = name and colon and kind in ("Person", "Organization")
    return name.replace(" (", " <").replace(")", ">") if is_named else None


def _read_properties(package: dict[str, Any]) -> Properties:
    return collect_properties(
        pair for annotation in select_objects(package.get("annotations")) for pair in _read_annotation(annotation)
    )


def _read_annotation(annotation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    comment = get_text(annotation.get("comment"))
    if comment.startswith("dockgate {"):
        try:
            facts = json.loads(comment.removeprefix("dockgate "))
        except (ValueError, RecursionError):
            return
        for name, value in facts.items():
            for item in value if isinstance(value, list) else [value]:
                yield f"dockgate:{name}", get_text(item)
    elif get_text(annotation.get("annotator")).startswith("Tool: trivy"):
        name, _, value = comment.partition(": ")
        yield f"aquasecurity:trivy:{name}", value
