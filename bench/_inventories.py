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
    """Where a program found a package: the files that told of it, as far as it says.

    `owned`: all of them are a distribution package's, by Dockgate's word.
    """

    paths: set[str] = field(default_factory=set)
    owned: bool = True


Inventory = dict[Package, Seen]


def ours(image: Path) -> Inventory:
    cache = str(_images.BUILD / "work" / "dockgate")
    document = _run([str(DOCKGATE), "sbom", f"oci:{image}", "-o", "json"], {"DOCKGATE_CACHE": cache})
    found: Inventory = {}
    for one in (package for platform in document["platforms"] for package in platform["packages"]):
        source = one["source"]
        seen = found.setdefault(normal(one["purl"], source["name"], source["version"]), Seen())
        seen.paths.add(one["path"])
        seen.owned = seen.owned and bool(one["owner"])
    return found


def syft(image: Path) -> Inventory:
    found: Inventory = {}
    for one in _run(_peers.syft(image, "json"), _peers.SYFT_ENVIRONMENT)["artifacts"]:
        told = one.get("metadata") or {}
        package = normal(one["purl"], told.get("source", ""), told.get("sourceVersion", ""))
        paths = (place["path"].removeprefix("/") for place in one["locations"])
        found.setdefault(package, Seen(owned=False)).paths.update(paths)
    return found


def trivy(image: Path) -> Inventory:
    cache = _images.BUILD / "work" / "trivy"
    _peers.java_database(cache)
    found: Inventory = {}
    for one in _run(_peers.trivy(image, "cyclonedx", cache), {}).get("components", ()):
        if "purl" not in one:  # the operating system, and programs that are made of packages
            continue
        told = {pair["name"].rpartition(":")[2]: pair["value"] for pair in one.get("properties", ())}
        version = _joined(told.get("SrcVersion", ""), told.get("SrcEpoch", ""), told.get("SrcRelease", ""))
        seen = found.setdefault(normal(one["purl"], told.get("SrcName", ""), version), Seen(owned=False))
        seen.paths.update([told["FilePath"]] if "FilePath" in told else [])
    return found


def normal(purl: str, source: str = "", source_version: str = "") -> Package:
    """The same package in the same words, whoever speaks of it.

    `source` and `source_version` are a distribution package's, "" for the same as its own.
    """
    one = PackageURL.from_string(purl)
    qualifiers: Mapping[str, str] = dict(one.qualifiers or {})
    name = "/".join(part for part in (one.namespace, one.name) if part)
    version = one.version or ""
    match one.type:
        case "deb":
            # Trivy writes the epoch as a qualifier, the others before the version, as dpkg does.
            version = _joined(version, qualifiers.get("epoch", ""))
            source = f"{source or one.name} {source_version or version}"
            return Package(one.type, f"{one.name}:{qualifiers.get('arch', '')}", version, source)
        case "golang":
            # Syft writes the end of a long module path as subpath. Trivy writes paths in lower case, the standard
            # library's version with a "v", and without one that of a program which has it from the linker's flags.
            name = "/".join(part for part in (name, one.subpath) if part).lower()
            version = version.removeprefix("v")
    return Package(one.type, name, version)


def _joined(version: str, epoch: str, release: str = "") -> str:
    return (f"{epoch}:" if epoch else "") + version + (f"-{release}" if release else "")


def _run(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"{command[0]} ended with {done.returncode}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document
