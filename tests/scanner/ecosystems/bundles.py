"""Build single-file .NET applications from a host and a deps.json."""

import gzip
import struct
from pathlib import Path

from dockgate.scanner.ecosystems.dotnet import single_file

DATA = Path(__file__).parent / "data" / "dotnet"
HOST = gzip.decompress((DATA / "host.gz").read_bytes())
DEPS = (DATA / "self-contained.deps.json").read_bytes()


def make_bundle(
    deps: bytes | None = DEPS, *, major: int = 6, name: bytes = b"aBcD1234efgh", stated_size: int = -1
) -> bytes:
    """Return a host, a deps.json and the header; `stated_size` is the size in the header."""
    start = len(HOST) + 16
    body = b"\0" * 16 + (deps or b"")
    length = bytes([len(name)] if len(name) < 128 else [len(name) & 127 | 128, len(name) >> 7])
    header = struct.pack("<IIi", major, 0, 1) + length + name
    size = len(deps or b"") if stated_size < 0 else stated_size
    header += struct.pack("<qqqqQ", start if deps is not None else 0, size, 0, 0, 0)
    return move_bundle(HOST + body + header, len(HOST) + len(body))


def move_bundle(program: bytes, offset: int) -> bytes:
    at = program.index(single_file.SIGNATURE)
    return program[: at - 8] + struct.pack("<q", offset) + program[at:]
