"""Detect container images in tar archives (docker-archive, OCI layout) by their first entries.

Docker, podman, skopeo, BuildKit and nix name the entries `DIGEST/layer.tar`, `DIGEST.tar` or `blobs/sha256/DIGEST`;
go-containerregistry (crane, ko, kaniko, Bazel's rules) and jib `sha256:DIGEST` and `DIGEST.tar.gz`. An archive with
other names is an image if its `manifest.json` lists config and layers.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

HEADERS_LIMIT = 2000  # entries that are checked; of a compressed archive those in its first INFLATED_LIMIT bytes
INFLATED_LIMIT = 1024 * 1024  # bytes that are inflated: images begin with their layout, a list or the name of a layer

MANIFEST_LIMIT = 64 * 1024  # bytes of a `manifest.json` that are checked

_BLOCK = 512
# Bytes. No real file is this large, and positions in a file stay in range.
_SIZE_LIMIT = 1 << 50
_HEX = frozenset("0123456789abcdef")
_MANIFESTS = ("manifest.json", "./manifest.json")
_DIGEST_ENDS = ("/VERSION", "/json", "/layer.tar", ".json", ".tar", ".tar.gz", ".tgz", ".tar.zst")
_GZIP, _XZ, _BZIP, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd"


def is_image(file: BinaryIO) -> bool:
    """Return whether the archive, compressed or not, is one that a container engine loads."""
    head = file.read(6)
    file.seek(0)
    if head[:2] == _GZIP or head.startswith((_XZ, _BZIP, _ZSTD)):
        data = _inflate_head(file, head)

        def read(at: int, size: int) -> bytes:
            return data[at : at + size]
    else:

        def read(at: int, size: int) -> bytes:
            file.seek(at)
            return file.read(size)

    for name, content in _list_entries(read):
        if _is_of_image(name):
            return True
        if name in _MANIFESTS:  # docker-archive's, or a web application's
            manifest = content()
            if manifest.lstrip()[:1] == b"[" and b'"Config"' in manifest and b'"Layers"' in manifest:
                return True
    return False


def _is_of_image(name: str) -> bool:
    path = name.removeprefix("./").rstrip("/")
    folder, _, last = path.rpartition("/")
    if last == "oci-layout" or folder == "blobs/sha256" or (folder.endswith("/blobs/sha256") and _is_digest(last)):
        return True
    if path.startswith("sha256:"):
        return _is_digest(path[7:71])
    return _is_digest(path[:64]) and path[64:] in _DIGEST_ENDS


def _is_digest(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)


def _list_entries(read_range: Callable[[int, int], bytes]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each entry and a function that reads the beginning of its content."""
    at = 0
    for _ in range(HEADERS_LIMIT):
        header = read_range(at, _BLOCK)
        if len(header) < _BLOCK or not header[0]:
            return
        size = _parse_size(header)
        if size is None:
            return
        begin, length = at + _BLOCK, min(size, MANIFEST_LIMIT)
        name = header[:100].partition(b"\0")[0].decode("utf-8", "replace")
        yield name, lambda begin=begin, length=length: read_range(begin, length)  # type: ignore[misc]
        at = begin + (size + _BLOCK - 1) // _BLOCK * _BLOCK


def _parse_size(header: bytes) -> int | None:
    """Size of an entry, None if this is not a tar header: POSIX.1-2024, pax "ustar"; GNU's form from 8 GiB."""
    field = header[124:136]
    if field[0] == 0x80:
        size = int.from_bytes(field[1:], "big")
        return size if size < _SIZE_LIMIT else None
    digits = field.strip(b"\0 ")
    return int(digits, 8) if digits and len(digits) <= 12 and not digits.strip(b"01234567") else None


def _inflate_head(file: BinaryIO, head: bytes) -> bytes:
    """Inflate the beginning as far as possible: no engine can load an image from a broken archive."""
    packed_head = file.read(INFLATED_LIMIT)
    try:
        if head[:2] == _GZIP:
            import zlib

            return zlib.decompressobj(31).decompress(packed_head, INFLATED_LIMIT)
        if head.startswith(_XZ):
            import lzma

            return lzma.LZMADecompressor(memlimit=256 * INFLATED_LIMIT).decompress(packed_head, INFLATED_LIMIT)
        if head.startswith(_BZIP):
            import bz2

            return bz2.BZ2Decompressor().decompress(packed_head, INFLATED_LIMIT)
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=128 * INFLATED_LIMIT).stream_reader(packed_head) as reader:
            return reader.read(INFLATED_LIMIT)
    except Exception:  # of four libraries, each with errors of its own
        return b""
