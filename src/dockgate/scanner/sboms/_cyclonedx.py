"""CycloneDX as JSON, 1.2 to 1.7: its components, whatever they are nested in."""

from collections.abc import Iterator
from typing import Any

from dockgate.scanner.model import Unread
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
from dockgate.shared.digest import is_digest
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import get_version

VERSIONS = ("1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
NESTING_LIMIT = 64

# Types of components that are not packages, unless they have a package's URL.
_NO_PACKAGES = ("container", "cryptographic-asset", "data", "device", "file", "machine-learning-model")


def read(document: dict[str, Any]) -> tuple[str | None, list[Contents]]:
    """Return the digest that the document describes, and its contents for each image.

    The digest is None if it is that of the only image. Of several images only our own documents are understood.
    Raises UsageError whose message continues the file's name.
    """
    version = document.get("specVersion")
    if version not in VERSIONS:
        raise UsageError(f"is CycloneDX {version}, which is not supported")
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    root = root if isinstance(root, dict) else {}
    components = require_objects(document.get("components"), "components")
    platforms = [component for component in components if _is_platform(component)]
    if platforms and not _is_platform(root):
        if len(platforms) < len(components):
            raise UsageError("describes several platforms, and components that belong to none of them", MIXED_ADVICE)
        return _find_digest(root), [_read_contents(platform, []) for platform in platforms]
    contents = _read_contents(root, components)
    aggregates = (
        get_text(composition.get("aggregate")) for composition in select_objects(document.get("compositions"))
    )
    if not contents.image.values and any(aggregate.startswith("incomplete") for aggregate in aggregates):
        contents.unread.append(Unread("/", "The document says of itself that it is incomplete."))
    return None, [contents]


def _is_platform(component: dict[str, Any]) -> bool:
    return component.get("type") == "container" and bool(_read_properties(component).get_first("dockgate:image"))


def _read_contents(root: dict[str, Any], components: list[dict[str, Any]]) -> Contents:
    contents = Contents(image=_read_properties(root), digest=_find_digest(root))
    purl = _find_purl(root)
    is_released = is_package(purl) and ("@" in purl or bool(get_text(root.get("version"))))
    if root.get("type") == "library" or is_released:  # a bill of one package and what that needs
        _take(root, contents)
    for component in _list_components([*require_objects(root.get("components"), "components"), *components]):
        _take(component, contents)
    return contents


def _list_components(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield all components, also those within others, in their order."""
    waiting = [(component, 1) for component in reversed(components)]
    while waiting:
        component, depth = waiting.pop()
        if depth > NESTING_LIMIT:
            raise UsageError(f"has components nested more than {NESTING_LIMIT} deep")
        yield component
        waiting += [
            (child, depth + 1) for child in reversed(require_objects(component.get("components"), "components"))
        ]


def _take(component: dict[str, Any], contents: Contents) -> None:
    kind, properties = get_text(component.get("type")), _read_properties(component)
    if kind == "operating-system":
        name, version = get_text(component.get("name")), get_text(component.get("version"))
        if name and contents.distribution is None:
            contents.distribution = read_distribution(name, version, get_text(component.get("description")), properties)
    elif kind == "container" and properties.get_first("dockgate:image"):
        raise UsageError("describes an image inside an image", MIXED_ADVICE)
    else:
        # Trivy has a component without purl for each file that names packages (a lockfile, a binary).
        is_group = not component.get("purl") and bool(properties.get_first("aquasecurity:trivy:Class"))
        if is_package(_find_purl(component)) or (kind not in _NO_PACKAGES and not is_group):
            contents.items.append(_build_item(component, properties))


def _build_item(component: dict[str, Any], properties: Properties) -> Item:
    purl = _find_purl(component)
    group, name = get_text(component.get("group")), get_text(component.get("name"))
    full_name = f"{group}/{name}" if group and not purl else name
    reference = get_text(component.get("bom-ref")) or purl or full_name or None
    version = get_text(component.get("version"))
    return Item(reference, full_name, version, purl, properties, _read_source(properties), _read_maker(component))


def _read_maker(component: dict[str, Any]) -> str | None:
    """Syft names the publisher, Trivy the supplier."""
    supplier = component.get("supplier")
    supplier_name = get_text(supplier.get("name")) if isinstance(supplier, dict) else None
    return get_text(component.get("publisher")) or supplier_name or None


def _find_purl(component: dict[str, Any]) -> str | None:
    return get_text(component.get("purl")) or None


def _read_source(properties: Properties) -> tuple[str, str | None] | None:
    """Join the epoch, version and release that Trivy writes as separate properties."""
    name = properties.get_first("aquasecurity:trivy:SrcName")
    if not name:
        return None
    names = (f"aquasecurity:trivy:Src{part}" for part in ("Epoch", "Version", "Release"))
    epoch, version, release = map(properties.get_first, names)
    full_version = (f"{epoch}:" if epoch not in ("", "0") else "") + version + (f"-{release}" if release else "")
    return name, full_version if version else None


def _find_digest(root: dict[str, Any]) -> str | None:
    """Return the image's digest: Syft has it as the version, Trivy in the purl."""
    candidates = [get_text(root.get("version")), get_version(get_text(root.get("purl"))) or ""]
    digests = (item.replace("%3A", ":").replace("%3a", ":") for item in candidates)
    return next((digest for digest in digests if is_digest(digest)), None)


def _read_properties(component: dict[str, Any]) -> Properties:
    return collect_properties(
        (get_text(item.get("name")), get_text(item.get("value")))
        for item in select_objects(component.get("properties"))
    )
