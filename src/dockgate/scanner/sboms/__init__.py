"""Read SBOMs, written by Dockgate or by other tools, as inventories.

Supported are CycloneDX JSON 1.2 to 1.7 and SPDX 2.2 and 2.3, as JSON and as tag-value, also inside in-toto statements.
A package is an item with a package URL of a known type. An item without one is unread, unless it is something else:
a file, the image itself, a group of packages. Only documents written by Dockgate say which language packages a
distribution's package owns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockgate.scanner.inventory import make_package_key, make_unread_key
from dockgate.scanner.model import Distribution, Inventory, Package, Unread
from dockgate.scanner.ports import Ecosystem
from dockgate.scanner.sboms import _cyclonedx, _intoto, _spdx, _spdx_tags
from dockgate.scanner.sboms._contents import Contents, Item, Properties
from dockgate.scanner.sboms._packages import Packages, find_distribution
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.strict_json import parse_json

# Bytes. Syft's SPDX document of an image of 500 MB has about 10 million.
SIZE_LIMIT = 64 * 1024 * 1024

_ADVICE = "Supported: CycloneDX 1.2 to 1.7 (JSON), and SPDX 2.2 and 2.3 (JSON or tag-value)."


@dataclass(frozen=True, slots=True)
class SbomDocument:
    """The inventories in an SBOM: one, or one for each platform if Dockgate wrote it for an index.

    `digest` is of the image or index. An inventory's `image` is the digest in the document, else the document's own.
    """

    digest: str
    inventories: tuple[Inventory, ...]


def read(path: Path, ecosystems: Sequence[Ecosystem]) -> SbomDocument:
    """Read the document at `path`.

    Raises UsageError that names the file if it is not an SBOM, and OSError.
    """
    with path.open("rb") as file:
        raw = file.read(SIZE_LIMIT + 1)
    if len(raw) > SIZE_LIMIT:
        raise UsageError(
            f"{path} has more than {SIZE_LIMIT} bytes, which is too large for a bill of materials",
            "Create it without the entries of single files.",
        )
    try:
        document, subject = _intoto.unwrap(_parse_document(raw))
        if document.get("bomFormat") == "CycloneDX":
            document_digest, contents = _cyclonedx.read(document)
        elif "spdxVersion" in document:
            document_digest, contents = _spdx.read(document)
        else:
            raise UsageError("is not a bill of materials")
    except UsageError as error:
        raise UsageError(f"{path} {error}", error.advice or _ADVICE) from None
    own_digest = subject or compute_digest(raw)
    inventories = tuple(_build_inventory(image, own_digest, ecosystems) for image in contents)
    return SbomDocument(
        document_digest or (inventories[0].image_digest if len(inventories) == 1 else own_digest), inventories
    )


def build_package(
    purl: str,
    version: str,
    distribution: Distribution | None,
    source: tuple[str, str | None] | None = None,
    *,
    ecosystems: Sequence[Ecosystem],
) -> Package | None:
    """The package of a purl as other tools write it, by this version if it has none; None if unknown."""
    package_found = Packages(ecosystems, distribution).build_package(
        Item(purl, "", version, purl, Properties(), source)
    )
    return package_found if isinstance(package_found, Package) else None


def _parse_document(raw: bytes) -> dict[str, Any]:
    start = raw[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        raise UsageError("is XML, which is not supported")
    if start.startswith((b"SPDXVersion:", b"#")):
        return _spdx_tags.parse(raw.decode("utf-8-sig", "replace"))
    try:
        document = parse_json(raw.decode("utf-8-sig"))
    except RecursionError:
        raise UsageError("is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise UsageError("contains no JSON object")
    return document


def _build_inventory(contents: Contents, digest: str, ecosystems: Sequence[Ecosystem]) -> Inventory:
    image = contents.image
    system = contents.distribution or find_distribution(contents.items)
    package_builder = Packages(ecosystems, system)
    packages: set[Package] = set()
    unread_entries = {*contents.unread, *image.list_unread_entries()}
    for item in contents.items:
        package_found = package_builder.build_package(item)
        if isinstance(package_found, Unread):
            unread_entries.add(package_found)
        else:
            packages.add(package_found)
    if not packages and not unread_entries and not image.values:
        unread_entries.add(Unread("/", "The document names no package."))
    layers = image.get_all("dockgate:layers")
    base_layers = image.get_first("dockgate:base_layers")
    return Inventory(
        image=image.get_first("dockgate:image") or contents.digest or digest,
        platform=image.get_first("dockgate:platform") or None,
        distribution=system,
        layers=layers,
        packages=tuple(sorted(packages, key=make_package_key)),
        unread=tuple(sorted(unread_entries, key=make_unread_key)),
        base_layers=min(int(base_layers), len(layers)) if base_layers.isdecimal() and len(base_layers) < 5 else 0,
        base=image.get_first("dockgate:base") or None,
        created=image.get_first("dockgate:created") or None,
        user=image.get_first("dockgate:user") or None,
    )
