"""The contents of an SBOM of any format: items that may be packages, and properties of tools."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeGuard

from dockgate.scanner.model import Distribution, Unread
from dockgate.scanner.osrelease import find_os_id
from dockgate.shared.errors import UsageError
from dockgate.shared.purl import is_of_type

# Advice for documents of several images that cannot be distinguished.
MIXED_ADVICE = "Create a bill of materials for each platform: `dockgate sbom IMAGE --platform OS/ARCH`."


@dataclass(frozen=True, slots=True)
class Properties:
    """Named texts, several for a name: CycloneDX properties, or SPDX annotations."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def get_first(self, *names: str) -> str:
        """Return the first text of the first of these names that is there, an empty one without any."""
        return next((self.values[name][0] for name in names if self.values.get(name)), "")

    def get_all(self, name: str) -> tuple[str, ...]:
        return self.values.get(name, ())

    def list_unread_entries(self) -> Iterable[Unread]:
        """Return the unread entries that Dockgate itself wrote into the document."""
        columns = (self.get_all(f"dockgate:unread:{field.name}") for field in fields(Unread))
        return (Unread(path, reason, layer or None) for path, reason, layer in zip(*columns, strict=False))


def collect_properties(pairs: Iterable[tuple[str, str]]) -> Properties:
    texts_by_name: dict[str, list[str]] = {}
    for name, text in pairs:
        texts_by_name.setdefault(name, []).append(text)
    return Properties({name: tuple(texts) for name, texts in texts_by_name.items()})


@dataclass(frozen=True, slots=True)
class Item:
    """An item that may be a package.

    `reference` is its name within the document, `purl` its package URL, `source` the name and version of what it was
    built from, `maker` who maintains or sells it ("Docker <support@docker.com>"). Each is None if unknown, the version
    of the source too.
    """

    reference: str | None
    name: str
    version: str
    purl: str | None
    properties: Properties
    source: tuple[str, str | None] | None = None
    maker: str | None = None

    def as_unread(self, reason: str) -> Unread:
        item_name = f"{self.name} {self.version}".strip() or "a component without a name"
        return Unread(self.reference or "/", f"The document names {item_name}, which cannot be judged: {reason}.")


@dataclass(slots=True)
class Contents:
    """The contents of an SBOM for one image. `digest` is the image's, None if the document has none."""

    image: Properties = field(default_factory=Properties)
    digest: str | None = None
    distribution: Distribution | None = None
    items: list[Item] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


def read_distribution(name: str, version: str, description: str, properties: Properties) -> Distribution:
    """The distribution that an operating system component describes, as Dockgate, Syft or Trivy write it."""
    values = {field.name: properties.get_all(f"dockgate:distribution:{field.name}") for field in fields(Distribution)}
    return Distribution(
        id=properties.get_first("dockgate:distribution:id")
        or find_os_id(properties.get_first("syft:distro:id") or name),
        version=properties.get_first("dockgate:distribution:version", "syft:distro:versionID")
        or version.partition(" ")[0],
        name=description or None,
        like=values["like"] or tuple(properties.get_first("syft:distro:idLike:0").split()),
        support_end=next(iter(values["support_end"]), None),
        repository=next(iter(values["repository"]), None),
    )


def is_package(purl: str | None) -> TypeGuard[str]:
    """Return whether a package URL is of a package: of anything but an image.

    The type that a document states for it does not count.
    """
    return purl is not None and not is_of_type(purl, "oci", "docker")


def get_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def select_objects(value: Any) -> list[dict[str, Any]]:
    """Return the JSON objects in a list; other values are ignored."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def require_objects(value: Any, description: str) -> list[dict[str, Any]]:
    """Return the JSON objects in an optional list.

    Raises UsageError for any other value, which would otherwise be missed.
    """
    result = select_objects(value)
    if value is not None and (not isinstance(value, list) or len(result) < len(value)):
        raise UsageError(f"has {description} that are not a list of objects")
    return result
