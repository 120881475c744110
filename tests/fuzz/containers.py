"""Mutations of containers: zip and tar archives, compressed streams, and the exported advisory database."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutate import Form, Mutate, mutate_lines, mutate_value

# Bytes that are unpacked for a mutation.
_SIZE = 4 * 2**20


def mutate_zip(inner: Form) -> Form:
    """Mutate zip archives: entries by `inner`, their names and nesting, and fields of the directory."""

    def mutate_form(data: bytes, chance: Random, basic: Mutate) -> bytes:
        if chance.random() < 0.4:
            return _mutate_directory(data, chance)
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                infos = archive.infolist()[:50]
                files = [(info.filename, archive.open(info).read(_SIZE), info.compress_type) for info in infos]
        except Exception:  # whatever it is that a broken archive makes zipfile raise
            return _mutate_directory(data, chance)
        if not files:
            return basic(data)
        at = chance.randrange(len(files))
        name, content, method = files[at]
        choice = chance.randrange(8)
        if choice == 0:
            del files[at]
        elif choice == 1:
            files.append(chance.choice(files))
        elif choice == 2:
            files[at] = (chance.choice(files)[0], content, method)
        elif choice == 3:
            files[at] = (
                mutate_lines(name.encode("utf-8", "replace"), chance, basic).decode("latin-1"),
                content,
                method,
            )
        elif choice == 4:
            files.append((f"lib/{name.rpartition('/')[2]}.jar", data, method))
        elif choice == 5:
            files[at] = (name, content, zipfile.ZIP_STORED if method else zipfile.ZIP_DEFLATED)
        else:
            files[at] = (name, inner(content, chance, basic), method)
        return _archive(files)

    return mutate_form


def _archive(files: Sequence[tuple[str, bytes, int]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content, method in files:
            info = zipfile.ZipInfo(name.replace("\0", "") or "a")
            info.compress_type = method if method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else zipfile.ZIP_STORED
            # Two entries of one name are intended; zipfile warns of them.
            archive.NameToInfo.pop(info.filename, None)
            archive.writestr(info, content)
    return stream.getvalue()


_RECORDS = ((b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22), (b"PK\x06\x06", 56), (b"PK\x06\x07", 20))


def _mutate_directory(data: bytes, chance: Random) -> bytes:
    """Set one field of one record, two or four bytes, to a value too small or too large."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        magic, size = chance.choice(_RECORDS)
        positions = [at for at in _find_positions(data, magic) if at + size <= len(data)]
        if not positions:
            continue
        at = chance.choice(positions) + chance.randrange(4, size, 2)
        width = chance.choice((2, 4))
        old = int.from_bytes(content[at : at + width], "little")
        new = chance.choice(
            (0, 1, 0xFF, 0xFFFF, 0xFFFFFFFF, old + 1, old - 1, old * 2, len(data), chance.getrandbits(32))
        )
        content[at : at + width] = (new & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return bytes(content)


def _find_positions(data: bytes, magic: bytes) -> list[int]:
    positions: list[int] = []
    at = data.find(magic)
    while at >= 0 and len(positions) < 1000:
        positions.append(at)
        at = data.find(magic, at + 1)
    return positions


def mutate_asar(inner: Form) -> Form:
    """Mutate Electron's archives: the JSON by `inner`, with its four sizes corrected."""
    fixed = struct.Struct("<4I")

    def mutate_form(data: bytes, chance: Random, basic: Mutate) -> bytes:
        if len(data) < fixed.size or chance.random() < 0.2:
            return basic(data)
        _, size, _, length = fixed.unpack_from(data)
        content = inner(data[fixed.size :][:length], chance, basic)
        padded_content = content + bytes(-len(content) % 4)
        return (
            fixed.pack(4, 8 + len(padded_content), 4 + len(padded_content), len(content))
            + padded_content
            + data[8 + size :]
        )

    return mutate_form


def mutate_compressed(inner: Form) -> Form:
    """Mutate inside gzip and zstd: unpack, apply `inner`, pack again.

    Sometimes swap the formats, or concatenate streams.
    """

    def mutate_form(data: bytes, chance: Random, basic: Mutate) -> bytes:
        import zstandard

        try:
            if data.startswith(b"\x1f\x8b"):
                content, pack = zlib.decompressobj(31).decompress(data, _SIZE), "gzip"
            elif data.startswith(b"\x28\xb5\x2f\xfd"):
                content = zstandard.ZstdDecompressor().stream_reader(data).read(_SIZE)
                pack = "zstd"
            else:
                content, pack = data, "none"
        except (zlib.error, zstandard.ZstdError):
            return basic(data)
        choice = chance.randrange(12)
        if choice:
            content = inner(content, chance, basic)
        else:
            pack = chance.choice(("gzip", "zstd", "none"))
        cut = chance.randrange(len(content) + 1) if choice == 1 else len(content)
        return b"".join(_pack_data(piece, pack) for piece in (content[:cut], content[cut:]) if piece)

    return mutate_form


def _pack_data(data: bytes, pack: str) -> bytes:
    import zstandard

    if pack == "gzip":
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        return packer.compress(data) + packer.flush()
    return zstandard.compress(data, 1) if pack == "zstd" else data


# Offset and size: name, mode, owner, size, time, type, link, magic, prefix, "is extended" of a sparse file.
_FIELDS = ((0, 100), (100, 8), (108, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155), (482, 1))
_NUMBERS = (b"0", b"7", b"777", b"1000", b"77777777777", b"-1", b"9", b"\x80\0\0\0\0\0\0\0\0\0\2\0", b"\xff" * 12)
_NAMES = (
    *(b"", b".", b"..", b"/", b"../a", b"a/../../b", b"a//b/./c", b".wh.a", b"a/.wh..wh..opq", b".wh..", b"a/.wh."),
    *(b"etc/os-release", b"\xff\xfe", b"a" * 100, b"d/"),
)
_TYPES = (b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"\0", b"x", b"g", b"L", b"K", b"S", b"V")
_EXTENDED = (
    *("path=b", "path=../b", "linkpath=c", "size=3", "size=99999999999999999999", "GNU.sparse.major=1", "path="),
    *("GNU.sparse.minor=0", "GNU.sparse.name=s", "GNU.sparse.realsize=9", "GNU.sparse.map=0,1", "mtime=1.5", "a\0b=c"),
)


def mutate_tar(inner: Form) -> Form:
    """Mutate tar archives: headers with corrected checksums, entries, extended headers, contents by `inner`."""

    def mutate_form(data: bytes, chance: Random, basic: Mutate) -> bytes:
        entries = _split_entries(data)
        if not entries:
            return basic(data)
        at = chance.randrange(len(entries))
        header, content = entries[at]
        choice = chance.randrange(9)
        if choice == 0:
            del entries[at]
        elif choice == 1:
            entries.insert(chance.randrange(len(entries) + 1), entries[at])
        elif choice == 2:
            entries[at] = (_set_size(header, len(new_content := inner(content, chance, basic))), new_content)
        elif choice == 3:
            records = b"".join(map(_record, chance.sample(_EXTENDED, chance.randint(1, 3))))
            new_records = mutate_lines(records, chance, basic) if chance.random() < 0.3 else records
            flag = chance.choice((b"x", b"x", b"g"))
            entries.insert(at, (_set_size(_set(header, 156, 1, flag), len(new_records)), new_records))
        elif choice == 4:
            name = chance.choice(_NAMES) + chance.choice((b"", b"\0", b"\0x"))
            entries.insert(at, (_set_size(_set(header, 156, 1, chance.choice((b"L", b"K"))), len(name)), name))
        else:
            for _ in range(chance.randint(1, 3)):
                header = _mutate_field(header, chance, basic)
            entries[at] = (header, content)
        end = chance.choice((b"", bytes(512), bytes(512) + b"a" * 512)) if chance.random() < 0.1 else bytes(1024)
        return b"".join(header + content + bytes(-len(content) % 512) for header, content in entries) + end

    return mutate_form


def _split_entries(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split into headers and contents, as far as sizes are octal."""
    entries: list[tuple[bytes, bytes]] = []
    at = 0
    while at + 512 <= len(data) and len(entries) < 100 and data[at : at + 512].strip(b"\0"):
        header = data[at : at + 512]
        try:
            size = int(header[124:136].strip(b" \0") or b"0", 8)
        except ValueError:
            size = 0
        content = data[at + 512 : at + 512 + max(0, size)]
        entries.append((header, content))
        at += 512 + len(content) + (-len(content) % 512)
    return entries


def _mutate_field(header: bytes, chance: Random, basic: Mutate) -> bytes:
    at, size = chance.choice(_FIELDS)
    if at == 156:
        value = chance.choice(_TYPES)
    elif at in (0, 157, 345):
        value = chance.choice(_NAMES) if chance.random() < 0.7 else basic(header[at : at + size].rstrip(b"\0"))
    elif at == 257:
        value = chance.choice((b"ustar\x0000", b"ustar  \0", b""))
    else:
        value = chance.choice(_NUMBERS)
    return _set(header, at, size, value)


def _set_size(header: bytes, size: int) -> bytes:
    return _set(header, 124, 12, b"%011o" % size)


def _set(header: bytes, at: int, size: int, value: bytes) -> bytes:
    new_header = bytearray(header)
    new_header[at : at + size] = value[:size].ljust(size, b"\0")
    new_header[148:156] = b" " * 8
    new_header[148:156] = b"%06o\0 " % sum(new_header)
    return bytes(new_header)


def _record(text: str) -> bytes:
    body = f" {text}\n".encode()
    size = len(body) + len(str(len(body)))
    return str(len(body) + len(str(size))).encode() + body


def mutate_carried(inner: Form) -> Form:
    """Mutate the exported advisory database with `inner`, and correct the header before it."""

    def mutate_form(data: bytes, chance: Random, basic: Mutate) -> bytes:
        import zstandard

        try:
            size = struct.unpack_from("<I", data, 4)[0]
            header = json.loads(data[8 : 8 + size])
            content = zstandard.ZstdDecompressor().stream_reader(data[8 + size :]).read(_SIZE)
            if chance.random() < 0.2:
                header = mutate_value(header, chance, basic)
            else:
                content = inner(content, chance, basic)
                header |= {"size": len(content), "content": hashlib.sha256(content).hexdigest()}
            header_bytes = json.dumps(header).encode()
        except (struct.error, ValueError, TypeError, RecursionError, zstandard.ZstdError):
            return basic(data)
        return data[:4] + struct.pack("<I", len(header_bytes)) + header_bytes + zstandard.compress(content, 1)

    return mutate_form
