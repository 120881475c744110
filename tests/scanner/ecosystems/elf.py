"""Build minimal ELF files with sections and content (elf(5))."""

import struct


def make_elf(
    rodata: bytes = b"", *, links: bytes = b"libc.so.6", has_sections: bool = True, is_shared: bool = False
) -> bytes:
    """Return a 64-bit program or library with this read-only data and these linked libraries."""
    content = {b".rodata": rodata, b".dynstr": b"\0" + links + b"\0"}
    names = b"\0" + b"\0".join([*content, b".shstrtab"]) + b"\0"
    body, rows = b"", [bytes(64)]
    for name, data in {**content, b".shstrtab": names}.items():
        kind = 1 if name == b".rodata" else 3
        rows.append(struct.pack("<IIQQQQIIQQ", names.index(name), kind, 0, 0, 120 + len(body), len(data), 0, 0, 1, 0))
        body += data
    table = 120 + len(body)
    count = len(rows) if has_sections else 0
    identity = b"\x7fELF\2\1\1" + bytes(9)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 3 if is_shared else 2, 62, 1, 0, 64, table, 0, 64, 56, 1, 64, count, count - 1 if count else 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, table, table, 4096)
    return identity + header + segment + body + (b"".join(rows) if has_sections else b"")
