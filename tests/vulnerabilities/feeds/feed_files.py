"""Feed files as their publishers make them, small."""

import gzip
import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def entry(ecosystem: str, name: str, *events: Json, **more: Any) -> Json:
    """An affected entry with one range, of no range without events."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **more}


def record(identity: str, *affected: Json, **more: Any) -> Json:
    return {"id": identity, "modified": "2026-01-02T00:00:00Z", "affected": list(affected), **more}


def fixed(version: str) -> tuple[Json, Json]:
    return {"introduced": "0"}, {"fixed": version}


def export(*records: Json | bytes) -> bytes:
    """An OSV export. Bytes are a record that is not JSON."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, each in enumerate(records):
            if isinstance(each, bytes):
                archive.writestr(f"broken-{index}.json", each)
            else:
                archive.writestr(f"{each['id']}.json", json.dumps(each))
    return out.getvalue()


def kev(dates: Mapping[str, str], due: str = "") -> bytes:
    entries = [{"cveID": cve, "dateAdded": date, "dueDate": due} for cve, date in dates.items()]
    return json.dumps({"vulnerabilities": entries}).encode()


def cvss(*rows: Sequence[str]) -> bytes:
    lines = ["cve,version,vector,source", *(",".join(row) for row in rows)]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def epss(*rows: Sequence[str]) -> bytes:
    lines = ["#model_version:v2025.03.14,score_date:2026-08-16T00:00:00Z", "cve,epss,percentile"]
    return gzip.compress(("\n".join([*lines, *(",".join(row) for row in rows)]) + "\n").encode(), mtime=0)


def bulletin(identity: str, *packages: Mapping[str, str], cve: str = "CVE-1", more: str = "") -> str:
    """An update of Amazon Linux. A package's attributes are as given, with those that it needs filled in."""
    usual = {"name": "a", "version": "1", "release": "1.amzn2023", "epoch": "0", "arch": "x86_64"}
    tags = ["".join(f' {key}="{value}"' for key, value in {**usual, **package}.items()) for package in packages]
    listed = "".join(f"<package{tag}/>" for tag in tags)
    return (
        f'<update type="security"><id>{identity}</id><severity>important</severity>{more}'
        f'<references><reference id="{cve}" type="cve"/></references>'
        f"<pkglist><collection>{listed}</collection></pkglist></update>"
    )


def updateinfo(*updates: str) -> bytes:
    return gzip.compress(f"<updates>{''.join(updates)}</updates>".encode(), mtime=0)


def repository(site: str, data: bytes) -> dict[str, bytes]:
    """The files by which Amazon Linux 2023's update information is found below the URL `site`."""
    index = (
        '<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">0</checksum>'
        '<location href="repodata/primary.xml.gz"/></data><data type="updateinfo">'
        f'<checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
        '<open-checksum type="sha256">1</open-checksum><location href="repodata/updateinfo.xml.gz"/></data></repomd>'
    )
    return {
        "/al2023/core/mirrors/latest/x86_64/mirror.list": f"{site}/guids/1/$basearch/\n".encode(),
        "/guids/1/x86_64/repodata/repomd.xml": index.encode(),
        "/guids/1/x86_64/repodata/updateinfo.xml.gz": data,
    }


def lay(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by their paths below `folder`, and returns it."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
