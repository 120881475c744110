"""What a document says, whatever its format: items that claim to be packages, and what is said beside the standard."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from dockgate.scanner.model import Distribution, Unread
from dockgate.scanner.osrelease import os_id
from dockgate.shared.errors import UsageError

# Advice for documents of several images that cannot be told apart.
MIXED = "Write one of each platform: `dockgate sbom IMAGE --platform OS/ARCH`."


@dataclass(frozen=True, slots=True)
class Traits:
    """Names and texts, each name possibly several times: CycloneDX' properties, and what SPDX has in annotations."""

    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, *names: str) -> str:
        """The first text of the first of these names that is there, else ""."""
        return next((self.said[name][0] for name in names if self.said.get(name)), "")

    def all(self, name: str) -> tuple[str, ...]:
        return self.said.get(name, ())

    def unread(self) -> Iterable[Unread]:
        """What we said could not be read."""
        columns = (self.all(f"dockgate:unread:{one.name}") for one in fields(Unread))
        return (Unread(*entry) for entry in zip(*columns, strict=False))


def collect(pairs: Iterable[tuple[str, str]]) -> Traits:
    held: dict[str, list[str]] = {}
    for name, text in pairs:
        held.setdefault(name, []).append(text)
    return Traits({name: tuple(texts) for name, texts in held.items()})


@dataclass(frozen=True, slots=True)
class Item:
    """What claims to be a package. `reference` is its name within the document, `source` the name and version of what
    it was built from, `maker` who maintains or sells it ("Docker <support@docker.com>"), each "" where it is not said.
    """

    reference: str
    name: str
    version: str
    purl: str
    traits: Traits
    source: tuple[str, str] = ("", "")
    maker: str = ""

    def unread(self, why: str) -> Unread:
        who = f"{self.name} {self.version}".strip() or "a component without a name"
        return Unread(self.reference or "/", f"The document names {who}, which cannot be judged: {why}.")


@dataclass(slots=True)
class Contents:
    """What is said of one image. `digest` is its own, "" where the document does not say it."""

    image: Traits = field(default_factory=Traits)
    digest: str = ""
    distribution: Distribution | None = None
    items: list[Item] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)


def system(name: str, version: str, description: str, traits: Traits) -> Distribution:
    """The distribution that an operating system's component tells of, in our form, Syft's or Trivy's."""
    said = {one.name: traits.all(f"dockgate:distribution:{one.name}") for one in fields(Distribution)}
    return Distribution(
        id=traits.one("dockgate:distribution:id") or os_id(traits.one("syft:distro:id") or name),
        version=traits.one("dockgate:distribution:version", "syft:distro:versionID") or version.partition(" ")[0],
        name=description,
        like=said["like"] or tuple(traits.one("syft:distro:idLike:0").split()),
        support_end=next(iter(said["support_end"]), ""),
        repository=next(iter(said["repository"]), ""),
    )


def is_package(purl: str) -> bool:
    """Whether a package URL is of anything but an image: then it is of a package, whatever a document calls that."""
    return bool(purl) and not purl.startswith(("pkg:oci/", "pkg:docker/"))


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; whatever else stands there is none of ours to judge."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def listed(value: Any, what: str) -> list[dict[str, Any]]:
    """The same of what may be left out, but not be anything else: UsageError, for it would go unnoticed."""
    found = objects(value)
    if value is not None and (not isinstance(value, list) or len(found) < len(value)):
        raise UsageError(f"has {what} that are none.")
    return found
