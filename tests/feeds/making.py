"""Feed files as their publishers make them, small."""

import gzip
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
    """An OSV export. Bytes stand for a record that is no JSON."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, each in enumerate(records):
            if isinstance(each, bytes):
                archive.writestr(f"broken-{place}.json", each)
            else:
                archive.writestr(f"{each['id']}.json", json.dumps(each))
    return out.getvalue()


def kev(dates: Mapping[str, str]) -> bytes:
    return json.dumps({"vulnerabilities": [{"cveID": cve, "dateAdded": date} for cve, date in dates.items()]}).encode()


def cvss(*rows: Sequence[str]) -> bytes:
    lines = ["cve,version,vector,source", *(",".join(row) for row in rows)]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def lay(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by their paths below `folder`, and returns it."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
