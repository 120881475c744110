"""Feed files as their publishers make them, small."""

import gzip
import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def make_entry(ecosystem: str, name: str, *events: Json, **fields: Any) -> Json:
    """An affected entry with one range, of no range without events."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, **fields}


def record(identity: str, *affected: Json, **fields: Any) -> Json:
    return {"id": identity, "modified": "2026-01-02T00:00:00Z", "affected": list(affected), **fields}


def make_fixed_range(version: str) -> tuple[Json, Json]:
    return {"introduced": "0"}, {"fixed": version}


def export(*records: Json | bytes) -> bytes:
    """An OSV export. Bytes are a record that is not JSON."""
    stream = BytesIO()
    # Without zipfile's warning of a name that comes twice.
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for index, record in enumerate(records):
            if isinstance(record, bytes):
                archive.writestr(f"broken-{index}.json", record)
            else:
                archive.writestr(f"{record['id']}.json", json.dumps(record))
    return stream.getvalue()


def make_kev(dates: Mapping[str, str], due: str = "") -> bytes:
    entries = [{"cveID": cve, "dateAdded": date, "dueDate": due} for cve, date in dates.items()]
    return json.dumps({"vulnerabilities": entries}).encode()


def make_cvss(*rows: Sequence[str]) -> bytes:
    lines = ["cve,version,vector,source", *(",".join(row) for row in rows)]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def make_epss(*rows: Sequence[str]) -> bytes:
    lines = ["#model_version:v2025.03.14,score_date:2026-08-16T00:00:00Z", "cve,epss,percentile"]
    return gzip.compress(("\n".join([*lines, *(",".join(row) for row in rows)]) + "\n").encode(), mtime=0)


def make_bulletin(identity: str, *packages: Mapping[str, str], cve: str = "CVE-1", extra_elements: str = "") -> str:
    """An update of Amazon Linux. A package's attributes are as given, with those that it needs filled in."""
    usual = {"name": "a", "version": "1", "release": "1.amzn2023", "epoch": "0", "arch": "x86_64"}
    tags = ["".join(f' {key}="{value}"' for key, value in {**usual, **package}.items()) for package in packages]
    package_elements = "".join(f"<package{tag}/>" for tag in tags)
    return (
        f'<update type="security"><id>{identity}</id><severity>important</severity>{extra_elements}'
        f'<references><reference id="{cve}" type="cve"/></references>'
        f"<pkglist><collection>{package_elements}</collection></pkglist></update>"
    )


def pack_updateinfo(*updates: str) -> bytes:
    return gzip.compress(f"<updates>{''.join(updates)}</updates>".encode(), mtime=0)


def make_repository(site: str, data: bytes) -> dict[str, bytes]:
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


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by their paths below `folder`, and returns it."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
