"""Small OCI layouts, and a small advisory feed for their packages."""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def make_debian_files(**packages: str) -> dict[str, str]:
    """The files of a Debian with these packages (name=version)."""
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
        for name, version in packages.items()
    ]
    return {"etc/os-release": OS_RELEASE, "var/lib/dpkg/status": "\n".join(stanzas)}


def make_python_files(name: str, version: str) -> dict[str, str]:
    folder = f"usr/local/lib/python3.13/site-packages/{name}-{version}.dist-info"
    return {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{folder}/RECORD": f"{name}-{version}.dist-info/METADATA,,\n",
    }


class Layout:
    """An OCI layout folder in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def add_blob(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def add_document(self, document: Mapping[str, Any], kind: str) -> dict[str, Any]:
        return self.add_blob(json.dumps(document).encode(), kind)

    def add_manifest(self, *layers: Mapping[str, str], architecture: str = "amd64") -> dict[str, Any]:
        """An image of these layers (path -> content), as an index's entry."""
        blobs = [_pack_tar(layer) for layer in layers]
        config = {
            "os": "linux",
            "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in blobs]},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add_document(config, CONFIG),
            "layers": [self.add_blob(gzip.compress(blob, 1, mtime=0), LAYER) for blob in blobs],
        }
        platform = {"os": "linux", "architecture": architecture}
        return {**self.add_document(document, MANIFEST), "platform": platform}

    def index(self, *manifests: Mapping[str, Any]) -> dict[str, Any]:
        return self.add_document({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}, INDEX)

    def tag_manifest(self, descriptor: Mapping[str, Any], tag: str = "1") -> str:
        """Makes it what the layout holds; returns its digest."""
        entry = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}}
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return str(descriptor["digest"])


def write_image(folder: Path, *layers: Mapping[str, str]) -> str:
    """A layout of one image; returns what `dockgate scan` is given for it."""
    layout = Layout(folder)
    layout.tag_manifest(layout.add_manifest(*layers))
    return f"oci:{folder}"


def write_feeds(folder: Path) -> Path:
    """A folder of feeds: openssl and zlib of Debian 13, jinja2 of PyPI, and a KEV catalogue that names none of them."""
    records = {
        "Debian": [
            _make_advisory(
                "DEBIAN-CVE-2025-0001", "Debian:13", "openssl", "3.5.4-1", "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
            ),
            _make_advisory("DEBIAN-CVE-2025-0002", "Debian:13", "zlib", "", "AV:L/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L"),
        ],
        "PyPI": [_make_advisory("PYSEC-2019-217", "PyPI", "jinja2", "2.10.1", "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N")],
    }
    for ecosystem, advisories in records.items():
        path = folder / "osv" / ecosystem / "all.zip"
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as archive:
            for advisory in advisories:
                archive.writestr(f"{advisory['id']}.json", json.dumps(advisory))
    (folder / "kev.json").write_text(json.dumps({"vulnerabilities": []}))
    return folder


def _make_advisory(identity: str, ecosystem: str, name: str, fixed: str, vector: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
    return {
        "schema_version": "1.7.0",
        "id": identity,
        "modified": "2026-01-01T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "summary": f"Something is wrong with {name}",
        "severity": [{"type": "CVSS_V3", "score": f"CVSS:3.1/{vector}"}],
        "upstream": [identity.removeprefix("DEBIAN-")] if identity.startswith("DEBIAN-") else [],
        "affected": [
            {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
        ],
    }


def _pack_tar(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content.encode())
            tar.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()
