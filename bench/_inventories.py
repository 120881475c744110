"""What each program says that an image holds, in words that can be compared."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from packageurl import PackageURL

import _images
import _peers

DOCKGATE = Path(sys.executable).parent / "dockgate"


class Package(NamedTuple):
    """`type` is the package URL's; `source` is a distribution package's source with its version, else ""."""

    type: str
    name: str
    version: str
    source: str = ""

    def __str__(self) -> str:
        source = f" of {self.source}" if self.source else ""
        return f"{self.type} {self.name} {self.version}{source}"


@dataclass
class Seen:
    """The files in which a program found a package, as far as it reports them.

    `owned`: Dockgate found all of them to be owned by a distribution package.
    """

    paths: set[str] = field(default_factory=set)
    owned: bool = True


Inventory = dict[Package, Seen]


def list_dockgate_packages(image: Path) -> Inventory:
    cache = str(_images.BUILD / "work" / "dockgate")
    document = _run([str(DOCKGATE), "sbom", f"oci:{image}", "-o", "json"], {"DOCKGATE_CACHE": cache})
    packages: Inventory = {}
    for entry in (package for platform in document["platforms"] for package in platform["packages"]):
        source = entry["source"]
        entry_seen = packages.setdefault(normalize_package(entry["purl"], source["name"], source["version"]), Seen())
        entry_seen.paths.add(entry["path"])
        entry_seen.owned = entry_seen.owned and bool(entry["owner"])
    return packages


def list_syft_packages(image: Path) -> Inventory:
    packages: Inventory = {}
    for artifact in _run(_peers.make_syft_command(image, "json"), _peers.SYFT_ENVIRONMENT)["artifacts"]:
        metadata = artifact.get("metadata") or {}
        package = normalize_package(artifact["purl"], metadata.get("source", ""), metadata.get("sourceVersion", ""))
        paths = (location["path"].removeprefix("/") for location in artifact["locations"])
        packages.setdefault(package, Seen(owned=False)).paths.update(paths)
    return packages


def list_trivy_packages(image: Path) -> Inventory:
    cache = _images.BUILD / "work" / "trivy"
    _peers.write_java_database(cache)
    packages: Inventory = {}
    for component in _run(_peers.make_trivy_command(image, "cyclonedx", cache), {}).get("components", ()):
        if "purl" not in component:  # the operating system, and programs that are made of packages
            continue
        properties = {pair["name"].rpartition(":")[2]: pair["value"] for pair in component.get("properties", ())}
        version = _join_version(
            properties.get("SrcVersion", ""), properties.get("SrcEpoch", ""), properties.get("SrcRelease", "")
        )
        entry_seen = packages.setdefault(
            normalize_package(component["purl"], properties.get("SrcName", ""), version), Seen(owned=False)
        )
        entry_seen.paths.update([properties["FilePath"]] if "FilePath" in properties else [])
    return packages


def normalize_package(purl: str, source: str = "", source_version: str = "") -> Package:
    """The package in one spelling for all programs.

    `source` and `source_version` are a distribution package's, "" for the same as its own.
    """
    purl_parts = PackageURL.from_string(purl)
    qualifiers: Mapping[str, str] = dict(purl_parts.qualifiers or {})
    name = "/".join(part for part in (purl_parts.namespace, purl_parts.name) if part)
    version = purl_parts.version or ""
    match purl_parts.type:
        case "deb":
            # Trivy writes the epoch as a qualifier, the others before the version, as dpkg does.
            version = _join_version(version, qualifiers.get("epoch", ""))
            source = f"{source or purl_parts.name} {source_version or version}"
            return Package(purl_parts.type, f"{purl_parts.name}:{qualifiers.get('arch', '')}", version, source)
        case "golang":
            # Syft writes the end of a long module path as subpath. Trivy writes paths in lower case, the standard
            # library's version with a "v", and without one that of a program which has it from the linker's flags.
            name = "/".join(part for part in (name, purl_parts.subpath) if part).lower()
            version = version.removeprefix("v")
    return Package(purl_parts.type, name, version)


def _join_version(version: str, epoch: str, release: str = "") -> str:
    return (f"{epoch}:" if epoch else "") + version + (f"-{release}" if release else "")


def _run(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    result = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=False)
    if result.returncode not in (0, 3):
        sys.exit(f"{command[0]} ended with {result.returncode}")
    document: dict[str, Any] = json.loads(result.stdout)
    return document
