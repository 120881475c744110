"""What a tar archive holds, by the names of its first entries: enough to know an image (docker-archive, OCI layout)."""

from collections.abc import Iterator
from typing import BinaryIO

HEADERS_LIMIT = 2000
"""Entries of an archive that is not compressed; of one that is, as many as are in INFLATED_LIMIT."""
INFLATED_LIMIT = 1024 * 1024
"""Bytes that are inflated: images begin with their layout, a list or a layer's name."""

_BLOCK = 512
_HEX = frozenset("0123456789abcdef")
_GZIP, _XZ, _BZIP, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd"


def is_image(file: BinaryIO) -> bool:
    """Whether the archive, compressed or not, is one that `docker save`, `podman save` or skopeo writes."""
    head = file.read(6)
    file.seek(0)
    names = (
        _names_of(_inflated(file, head)) if head[:2] == _GZIP or head.startswith((_XZ, _BZIP, _ZSTD)) else _names(file)
    )
    return any(map(_is_of_image, names))


def _is_of_image(name: str) -> bool:
    """Of an OCI layout, or of docker-archive's older form: DIGEST/layer.tar, DIGEST.tar."""
    path = name.removeprefix("./").rstrip("/")
    if path == "oci-layout" or path.rpartition("/")[0] == "blobs/sha256":
        return True
    return _is_digest(path[:64]) and path[64:] in ("/VERSION", "/layer.tar", ".tar")


def _is_digest(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)


def _names(file: BinaryIO) -> Iterator[str]:
    """Of an archive that lies open: content is skipped."""
    at = 0
    for _ in range(HEADERS_LIMIT):
        file.seek(at)
        header = file.read(_BLOCK)
        if len(header) < _BLOCK or not header[0]:
            return
        size = _size(header)
        if size is None:
            return
        yield _name(header)
        at += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _names_of(data: bytes) -> Iterator[str]:
    at = 0
    while at + _BLOCK <= len(data) and data[at]:
        header = data[at : at + _BLOCK]
        size = _size(header)
        if size is None:
            return
        yield _name(header)
        at += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _name(header: bytes) -> str:
    return header[:100].partition(b"\0")[0].decode("utf-8", "replace")


def _size(header: bytes) -> int | None:
    """POSIX.1-2024, pax, "ustar Interchange Format"; None for what is no header."""
    digits = header[124:136].strip(b"\0 ")
    return int(digits, 8) if digits and len(digits) <= 12 and not digits.strip(b"01234567") else None


def _inflated(file: BinaryIO, head: bytes) -> bytes:
    """The first bytes, as many as can be had: a broken archive holds no image that could be loaded."""
    packed = file.read(INFLATED_LIMIT)
    try:
        if head[:2] == _GZIP:
            import zlib

            return zlib.decompressobj(31).decompress(packed, INFLATED_LIMIT)
        if head.startswith(_XZ):
            import lzma

            return lzma.LZMADecompressor(memlimit=256 * INFLATED_LIMIT).decompress(packed, INFLATED_LIMIT)
        if head.startswith(_BZIP):
            import bz2

            return bz2.BZ2Decompressor().decompress(packed, INFLATED_LIMIT)
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=128 * INFLATED_LIMIT).stream_reader(packed) as reader:
            return reader.read(INFLATED_LIMIT)
    except Exception:  # of four libraries, each with errors of its own
        return b""
