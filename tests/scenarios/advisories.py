"""A small advisory feed for live servers: Debian 13 whole, with one critical vulnerability in `demo` before 2.0."""

import json
import zipfile
from pathlib import Path


def record(
    name: str, package: str, fixed: str, vector: str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
) -> dict[str, object]:
    return {
        "schema_version": "1.7.0",
        "id": f"DEBIAN-{name}",
        "modified": "2026-11-20T00:00:00Z",
        "published": "2026-11-20T00:00:00Z",
        "upstream": [name],
        "severity": [{"type": "CVSS_V3", "score": vector}],
        "affected": [
            {
                "package": {"ecosystem": "Debian:13", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
            }
        ],
    }


DEMO = record("CVE-2026-1000", "demo", "2.0")


def write(folder: Path, *records: dict[str, object]) -> None:
    """A folder of feeds: the OSV export, and a KEV catalogue without entries."""
    zip_path = folder / "osv/Debian/all.zip"
    zip_path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(zip_path, "w") as archive:
        for advisory in records:
            archive.writestr(f"{advisory['id']}.json", json.dumps(advisory))
    (folder / "kev.json").write_text(json.dumps({"vulnerabilities": []}))
