"""SPDX as JSON, 2.2 and 2.3: its packages."""

import json
from collections.abc import Iterator
from typing import Any

from dockgate.core.errors import UsageError
from dockgate.sboms._contents import Contents, Item, Traits, collect, objects, system, text

VERSIONS = ("SPDX-2.2", "SPDX-2.3")

_SYSTEM = ("OPERATING-SYSTEM", "OPERATING_SYSTEM")
_NO_PACKAGES = ("CONTAINER", "FILE", "DEVICE")
"""purposes of packages that are none in our sense"""
_BUILT_FROM = "built package from: "
"""how Trivy's sourceInfo begins, and ours"""


def read(document: dict[str, Any]) -> Contents:
    """Raises UsageError whose message follows upon the file's name."""
    version = document.get("spdxVersion")
    if version not in VERSIONS:
        raise UsageError(f"is {version if isinstance(version, str) else 'an unknown SPDX'}, which is not known here.")
    contents = Contents()
    described = _described(document)
    for package in objects(document.get("packages")):
        _take(package, described, contents)
    return contents


def _described(document: dict[str, Any]) -> set[str]:
    """The SPDX ids of what the document is about."""
    relations = [
        (text(one.get("spdxElementId")), text(one.get("relationshipType")), text(one.get("relatedSpdxElement")))
        for one in objects(document.get("relationships"))
    ]
    listed = document.get("documentDescribes")
    return (
        {to for _, kind, to in relations if kind == "DESCRIBES"}
        | {of for of, kind, _ in relations if kind == "DESCRIBED_BY"}
        | {text(one) for one in (listed if isinstance(listed, list) else ())}
    )


def _take(package: dict[str, Any], described: set[str], contents: Contents) -> None:
    identity, purpose = text(package.get("SPDXID")), text(package.get("primaryPackagePurpose"))
    name, version = text(package.get("name")), text(package.get("versionInfo"))
    traits, purl = _traits(package), _purl(package)
    if purpose in _SYSTEM:
        if name and contents.distribution is None:
            description = traits.one("dockgate:distribution:name")
            contents.distribution = system(name, version, description, traits)
    elif traits.one("dockgate:image"):
        if contents.image.said:
            raise UsageError("is of several platforms.", "Write one of each: `dockgate sbom IMAGE --platform OS/ARCH`.")
        contents.image = traits
    elif purpose not in _NO_PACKAGES and (purl or not (described == {identity} or _is_group(traits))):
        contents.items.append(Item(identity, name, version, purl, traits, _source(package)))


def _is_group(traits: Traits) -> bool:
    """Trivy has a package for each file that tells of packages (a lockfile, a binary)."""
    return bool(traits.one("aquasecurity:trivy:Class"))


def _purl(package: dict[str, Any]) -> str:
    for reference in objects(package.get("externalRefs")):
        if reference.get("referenceType") == "purl":
            return text(reference.get("referenceLocator"))
    return ""


def _source(package: dict[str, Any]) -> tuple[str, str]:
    info = text(package.get("sourceInfo"))
    if not info.startswith(_BUILT_FROM):
        return "", ""
    name, _, version = info.removeprefix(_BUILT_FROM).strip().partition(" ")
    return name, version


def _traits(package: dict[str, Any]) -> Traits:
    return collect(pair for one in objects(package.get("annotations")) for pair in _annotated(one))


def _annotated(annotation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    comment = text(annotation.get("comment"))
    if comment.startswith("dockgate {"):
        try:
            facts = json.loads(comment.removeprefix("dockgate "))
        except (ValueError, RecursionError):
            return
        for name, value in facts.items():
            for one in value if isinstance(value, list) else [value]:
                yield f"dockgate:{name}", text(one)
    elif text(annotation.get("annotator")).startswith("Tool: trivy"):
        name, _, value = comment.partition(": ")
        yield f"aquasecurity:trivy:{name}", value
