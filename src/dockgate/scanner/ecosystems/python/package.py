"""Build Python distributions."""

import re

from dockgate.scanner.formats.content import decode
from dockgate.scanner.model import Package
from dockgate.shared.errors import UnreadableError
from dockgate.shared.purl import write

# Bytes of the metadata's beginning that must contain Name and Version; the rest is not read.
HEADER_LIMIT = 1024 * 1024


def package(name: str, version: str, path: str) -> Package:
    """Build the package of a distribution."""
    return Package(name, version, purl(name, version), "PyPI", normalize(name), version, path)


def purl(name: str, version: str) -> str:
    """Write the package URL of a distribution."""
    return write("pypi", "", normalize(name), version)


def normalize(name: str) -> str:
    """Normalise a name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_metadata(path: str, header: bytes) -> Package:
    """Build the package of the first Name and Version before the first empty line.

    `importlib.metadata` takes the same ones.
    """
    fields: dict[str, str] = {}
    for line in header.split(b"\n"):
        if not line.rstrip(b"\r"):
            break
        field, colon, value = line.partition(b":")
        if colon and field.lower() in (b"name", b"version"):
            fields.setdefault(field.lower().decode("ascii"), decode(value.strip()))
            if len(fields) == 2:
                break
    name, version = fields.get("name", ""), fields.get("version", "")
    if not name or not version:
        missing = "Version" if name else "Name"
        within = f" within its first {HEADER_LIMIT} bytes" if len(header) == HEADER_LIMIT else ""
        raise UnreadableError(f"it has no {missing}{within}")
    return package(name, version, path)
