"""The history of a package: its entries in the databases of an image's layers. Pure."""

from typing import NamedTuple

from dockgate.scanner.model import Package

# Version, source name, source version and vendor of a package: they select the advisories.
Identity = tuple[str, str, str, str | None]

# The index of a layer in the image, the base's lowest is 0.
LayerIndex = int


class HistoryEntry(NamedTuple):
    """An entry of a package in the database of a layer."""

    layer: LayerIndex
    package: Package


class Owner(NamedTuple):
    """A package that lists a path in a layer. `name` is one of its owner names."""

    layer: LayerIndex
    name: str


class FileList(NamedTuple):
    """A list of a package's files: the layer and file that it is in, and its packed paths."""

    layer: LayerIndex
    source: str
    packed_paths: str


def has_parallel_versions(history: list[HistoryEntry]) -> bool:
    """Return whether any layer has several versions of the package at once."""
    versions: dict[LayerIndex, str] = {}
    return any(versions.setdefault(layer, package.version) != package.version for layer, package in history)


def get_identity(package: Package) -> Identity:
    """Return what selects the advisories of a package."""
    return package.version, package.source_name, package.source_version, package.vendor


def describe_difference(package: Package, compared_with: Package) -> str:
    """Return the version, with the source or vendor if only these differ."""
    if package.version != compared_with.version:
        return package.version
    source, other_source = (
        f"{candidate.source_name} {candidate.source_version}" for candidate in (package, compared_with)
    )
    if source != other_source:
        return f"{package.version} of the source {source}"
    return f"{package.version} by {(package.vendor or '').lstrip('=?') or 'an unknown maker'}"
