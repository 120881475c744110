"""Tar files piece by piece, for what no tar program would write, and layers made of them."""

import io

from tests.scanner.images.make import compute_sha256

from dockgate.scanner.images.inflate import LayerLimits
from dockgate.scanner.images.tar_layer import TarLayer
from dockgate.scanner.ports import Entry


class Blob(io.RawIOBase):
    """A blob that comes in small pieces, as from a network."""

    def __init__(self, data: bytes, piece: int = 1000) -> None:
        self._file, self._piece = io.BytesIO(data), piece

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._file.readinto(memoryview(buffer)[: self._piece])


def make_layer(data: bytes, **settings: object) -> TarLayer:
    return TarLayer(compute_sha256(data), lambda: Blob(data, **settings))  # type: ignore[arg-type]


def read(data: bytes) -> list[Entry]:
    return list(make_layer(data).read_entries())


def list_bounded_entries(data: bytes, bounds: LayerLimits) -> list[Entry]:
    return list(TarLayer(compute_sha256(data), lambda: Blob(data), bounds=bounds).read_entries())


def list_paths(data: bytes) -> list[str]:
    return [entry.path for entry in read(data)]


def read_content(data: bytes) -> dict[str, bytes]:
    return {entry.path: entry.open().read() for entry in make_layer(data).read_entries() if entry.open}


def make_header(name: bytes, size: bytes = b"", flag: bytes = b"0", link: bytes = b"", tail: bytes = b"") -> bytes:
    """A header written by hand, for what `tarfile` refuses to write. `tail` follows the link: magic and so on."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:107] = b"0000644"
    block[124 : 124 + 11] = size.rjust(11, b"0") if size[:1] < b"\x80" else size[:11]
    if size[:1] >= b"\x80":
        block[124:136] = size
    block[148:156], block[156:157] = b" " * 8, flag
    block[157 : 157 + len(link)] = link
    tail = tail or b"ustar\x0000"
    block[257 : 257 + len(tail)] = tail
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pad_block(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def make_pax(flag: bytes = b"x", name: bytes = b"pax", /, **records: str) -> bytes:
    data = b""
    for key, value in records.items():
        body = f" {key.replace('__', '.')}={value}\n".encode("utf-8", "surrogateescape")
        size = len(body) + len(str(len(body)))
        size = len(body) + len(str(size))
        data += str(size).encode() + body
    return make_header(name, b"%o" % len(data), flag) + pad_block(data)


END = bytes(1024)
