"""Layers and images described by plain values that a person can read, and their bytes.

Every text is bytes as Latin-1: one character a byte. An item of a layer is one of

- a header, with the content behind it: `name`, `type` (the flag), `content`, and any of `size mode uid gid mtime link
  magic prefix uname gname devmajor devminor` (numbers are written in octal, texts as they are);
- the same with `records` in place of content: pairs of key and value, of an extended header (type x or g);
- `sparse`, pairs of offset and length of an old GNU sparse file whose size is `real`; `more` are those of the blocks
  that follow its header;
- `zeros`: so many zero bytes; `raw`: bytes as they are.

`patch` writes texts at offsets of the header; `sum: signed`, or a number, replaces the checksum.

A layer is `items`, then `end` (zero blocks, 2 by default), `behind` (what follows the end mark), and how it is packed:
`pack` (gzip, zstd, none, bzip2, xz), `cuts` (where the stream is cut into gzip members or zstd frames, in percent),
`gzip` (fields of their headers), `skippable` (content of a zstd frame to be skipped), `trailer` (bytes behind the
compressed stream), `cut` (bytes that the blob's end loses). `odd` names the oddities that made it, see `oddities.py`.
"""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import zstandard

Item = dict[str, Any]
Layer = dict[str, Any]

BLOCK = 512
_USTAR = "ustar\x0000"


def encode_text(text: str) -> bytes:
    return text.encode("latin-1")


def decode_text(data: bytes) -> str:
    return data.decode("latin-1")


def make_layer_bytes(layer: Layer) -> bytes:
    """Return the blob of a layer."""
    tar = b"".join(make_item_bytes(item) for item in layer["items"])
    tar += bytes(BLOCK * layer.get("end", 2)) + encode_text(layer.get("behind", ""))
    blob = pack_tar(tar, layer) + encode_text(layer.get("trailer", ""))
    return blob[: len(blob) - layer.get("cut", 0)]


def make_tar_bytes(layer: Layer) -> bytes:
    """Return the uncompressed tar file, whose digest is the diff_id."""
    return make_layer_bytes({**layer, "pack": "none", "trailer": "", "cut": 0})


def pack_tar(tar: bytes, layer: Layer) -> bytes:
    pack = layer.get("pack", "gzip")
    cuts = [0, *sorted(len(tar) * cut // 100 for cut in layer.get("cuts", ())), len(tar)]
    parts = [tar[start:end] for start, end in pairwise(cuts)]
    if pack == "gzip":
        return b"".join(_pack_gzip(part, layer.get("gzip", {})) for part in parts)
    if pack == "zstd":
        frames = [_pack_zstd(part) for part in parts]
        if "skippable" in layer:
            content = encode_text(layer["skippable"])
            frame = b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content
            frames.insert(min(layer.get("skippable_at", 0), len(frames)), frame)
        return b"".join(frames)
    if pack == "bzip2":
        return bz2.compress(tar)
    if pack == "xz":
        return lzma.compress(tar)
    return tar


def _pack_gzip(data: bytes, fields: Mapping[str, Any]) -> bytes:
    """Write one member; `fields` may add a name, extra bytes, a comment and a checksum (RFC 1952)."""
    if not fields:
        return gzip.compress(data, 1, mtime=0)
    flags, fields_bytes = 0, b""
    if "extra" in fields:
        extra = encode_text(fields["extra"])
        flags, fields_bytes = flags | 4, fields_bytes + len(extra).to_bytes(2, "little") + extra
    if "name" in fields:
        flags, fields_bytes = flags | 8, fields_bytes + encode_text(fields["name"]) + b"\0"
    if "comment" in fields:
        flags, fields_bytes = flags | 16, fields_bytes + encode_text(fields["comment"]) + b"\0"
    head = b"\x1f\x8b\x08" + bytes((flags | (2 if "crc" in fields else 0),)) + bytes(4) + b"\0\xff" + fields_bytes
    if "crc" in fields:
        head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    deflate = zlib.compressobj(fields.get("level", 1), zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    return head + body + zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")


_ZSTD = zstandard.ZstdCompressor(level=1)


def _pack_zstd(data: bytes) -> bytes:
    return _ZSTD.compress(data)


def make_item_bytes(item: Item) -> bytes:
    if "zeros" in item:
        return bytes(item["zeros"])
    if "raw" in item:
        return encode_text(item["raw"])
    content = make_record_bytes(item["records"]) if "records" in item else encode_text(item.get("content", ""))
    size = item.get("size", len(content))
    block = bytearray(BLOCK)
    magic = encode_text(item.get("magic", _USTAR))
    _put(block, 0, 100, item.get("name", ""))
    numbers: tuple[tuple[int, int, str, int], ...] = (
        (100, 8, "mode", 0o644),
        (108, 8, "uid", 0),
        (116, 8, "gid", 0),
        (124, 12, "size", size),
        (136, 12, "mtime", 0),
    )
    for at, width, key, usual in numbers:
        value: Any = item.get(key, usual)
        _number(block, at, width, value)
    block[156:157] = encode_text(item.get("type", "0"))
    _put(block, 157, 100, item.get("link", ""))
    block[257 : 257 + len(magic)] = magic
    _put(block, 265, 32, item.get("uname", ""))
    _put(block, 297, 32, item.get("gname", ""))
    if "devmajor" in item or "devminor" in item:
        _number(block, 329, 8, item.get("devmajor", 0))
        _number(block, 337, 8, item.get("devminor", 0))
    if "sparse" in item:
        for at, (offset, length) in enumerate(item["sparse"][:4]):
            _number(block, 386 + 24 * at, 12, offset)
            _number(block, 398 + 24 * at, 12, length)
        block[482] = bool(item.get("more"))
        real: Any = item.get("real", size)
        _number(block, 483, 12, real)
    _put(block, 345, 155, item.get("prefix", ""))
    if "tail" in item:  # the last bytes of the block, where star writes its mark
        tail = encode_text(item["tail"])
        block[BLOCK - len(tail) :] = tail
    for at, data in item.get("patch", ()):
        _put(block, at, BLOCK - at, data)
    block[148:156] = b"        "
    checksum = item.get("sum", "")
    total = sum(block)
    if checksum == "signed":
        total = sum(byte - 256 if byte > 127 else byte for byte in block)
    elif checksum != "":
        total = checksum
    block[148:156] = b"%06o\0 " % (total & 0o777777)
    extensions = b"".join(
        _make_extension(entries, last=entries is item["more"][-1]) for entries in item.get("more", ())
    )
    return bytes(block) + extensions + content + bytes(-len(content) % BLOCK)


def _make_extension(entries: Sequence[Sequence[int]], *, last: bool) -> bytes:
    block = bytearray(BLOCK)
    for at, (offset, length) in enumerate(entries[:21]):
        _number(block, 24 * at, 12, offset)
        _number(block, 24 * at + 12, 12, length)
    block[504] = not last
    return bytes(block)


def make_record_bytes(records: Sequence[Sequence[Any]]) -> bytes:
    """Write records of an extended header; a third part of a record replaces its length."""
    data = b""
    for key, value, *length in records:
        body = b" " + encode_text(key) + b"=" + encode_text(value) + b"\n"
        size = len(body) + len(str(len(body)))
        size = len(body) + len(str(size))
        data += str(length[0] if length else size).encode() + body
    return data


def _put(block: bytearray, at: int, width: int, text: str) -> None:
    data = encode_text(text)[:width]
    if data:
        block[at : at + len(data)] = data


def _number(block: bytearray, at: int, width: int, value: int | str) -> None:
    """Write a number in octal, or GNU's base 256 if it is too large; a text is unchanged."""
    if isinstance(value, str):
        _put(block, at, width, value)
    elif 0 <= value < 8 ** (width - 1):
        block[at : at + width] = b"%0*o\0" % (width - 1, value)
    else:
        block[at : at + width] = (value & (256**width - 1) | 0x80 << 8 * (width - 1)).to_bytes(width, "big")
