"""Files to download: what they contain was made from images, and must not act in a browser."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TextIO

from fastapi.responses import FileResponse, Response


@dataclass(frozen=True, slots=True)
class FileKind:
    """A format of `reports` as a file: its title, its file name suffix and its media type."""

    title: str
    suffix: str
    media_type: str


# Bills of materials: the formats of `reports.INVENTORY_FORMATS`.
SBOM_KINDS = {
    "cyclonedx": FileKind("CycloneDX", "cdx.json", "application/vnd.cyclonedx+json"),
    "spdx": FileKind("SPDX", "spdx.json", "application/spdx+json"),
    "json": FileKind("JSON", "json", "application/json"),
}
# Reports on a verdict: all formats for people, scanners and other tools.
REPORT_KINDS = {
    "html": FileKind("HTML", "html", "text/html; charset=utf-8"),
    "markdown": FileKind("Markdown", "md", "text/markdown; charset=utf-8"),
    "table": FileKind("Text", "txt", "text/plain; charset=utf-8"),
    "json": FileKind("JSON", "json", "application/json"),
    "sarif": FileKind("SARIF", "sarif", "application/sarif+json"),
    "junit": FileKind("JUnit", "xml", "application/xml"),
    "openvex": FileKind("OpenVEX", "openvex.json", "application/json"),
    "cyclonedx": FileKind("CycloneDX with findings", "cdx.json", "application/vnd.cyclonedx+json"),
    "spdx": FileKind("SPDX with findings", "spdx.json", "application/spdx+json"),
    "case": FileKind("Case to replay", "case.json", "application/json"),
}

# What a browser may do with a file that it opens all the same: show it, without scripts, in an origin of its own.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
# Characters of a file's name.
_LONGEST_NAME = 120


def download_text(name: str, media_type: str, write: Callable[[TextIO], None]) -> Response:
    """A file that the browser saves. What is unsafe in its name becomes "-"."""
    text = StringIO()
    write(text)
    content = text.getvalue().encode("utf-8", "replace")
    return Response(content, media_type=media_type, headers=_make_headers(name))


def download_bytes(name: str, media_type: str, content: bytes) -> Response:
    """These bytes as a file that the browser saves."""
    return Response(content, media_type=media_type, headers=_make_headers(name))


def download_file(name: str, media_type: str, path: Path) -> FileResponse:
    """A file of this machine as one that the browser saves."""
    return FileResponse(path, media_type=media_type, headers=_make_headers(name))


def _make_headers(name: str) -> dict[str, str]:
    """Headers of a file with this name, in which what is unsafe becomes "-"."""
    safe_name = _UNSAFE.sub("-", name).strip("-.")[:_LONGEST_NAME] or "report"
    return {**_HEADERS, "Content-Disposition": f'attachment; filename="{safe_name}"'}
