"""Locate sections and segments of executables: ELF, PE, Mach-O and universal ("fat") binaries.

Most executables of an image hold nothing of interest, so a file is dismissed within microseconds, by its first bytes
and the names of its sections. A header that contradicts itself or its file is not an error: no system can run that
file. Systems ignore the sections of an ELF file, so invalid sections count as none.

The types are named tuples because they are created at every start, and dataclasses take five times as long.
"""

from struct import Struct
from typing import BinaryIO, NamedTuple

# Beginnings of lines that name an interpreter (#!/usr/bin/env python3, #!/bin/sh).
SHEBANGS = (b"#!/u", b"#!/b")
ELF = b"\x7fELF"
PE = b"MZ\x90\x00"  # linkers have written this for thirty years, although the two bytes after MZ may differ
MACH = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce")
FAT = (b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
MAGICS = (ELF, PE, *MACH, *FAT)

HEAD = 4096  # bytes at the beginning: headers, and notes where linkers put them
READ_LIMIT = 8 * 1024 * 1024  # bytes read at once: a table, the names of sections, the content of a part
COMMANDS_LIMIT = 256 * 1024  # bytes of Mach-O load commands; programs have a few thousand
NAME_LIMIT = 64  # bytes of a section's name that are compared
# Architectures in one file. A Java class has the same magic, and 45 or more in this field.
FAT_LIMIT = 8

_FARTHEST = 1 << 40
_LOADED_SEGMENT, _EXECUTE, _WRITE, _NO_BITS = 1, 1, 2, 8
_SECTION_MACH = {0x1: (56, 68), 0x19: (72, 80)}
_PE_DATA, _PE_ALIGNMENT = 0xC0000040, 0x00F00000


class Part(NamedTuple):
    """A section or segment: name (None for a segment), loaded address, offset and size in the file."""

    name: bytes | None
    address: int
    offset: int
    size: int
    is_writable: bool = False


class Executable(NamedTuple):
    """The executable of one architecture, with its first bytes.

    Offsets count from `base`, its position in `file`. `segments` are the loaded parts; those of a PE file are its
    sections.
    """

    file: BinaryIO
    base: int
    head: bytes
    sections: tuple[Part, ...]
    segments: tuple[Part, ...]

    def find_section(self, *names: bytes) -> Part | None:
        """Return the first section with one of these names."""
        return next((part for part in self.sections if part.name in names), None)

    def find_data(self) -> Part | None:
        """Return the first writable segment, which has the initialised data."""
        return next((part for part in self.segments if part.is_writable), None)

    def read_part(self, part: Part) -> bytes:
        """Read the part's content, at most READ_LIMIT bytes."""
        return _read_bytes(self.file, self.base + part.offset, min(part.size, READ_LIMIT))

    def read_loaded(self, address: int, size: int) -> bytes:
        """Read the bytes at a loaded address; fewer than `size` where its segment or the file ends."""
        for part in self.segments:
            skipped_bytes = address - part.address
            if 0 <= skipped_bytes < part.size:
                return _read_bytes(
                    self.file, self.base + part.offset + skipped_bytes, min(size, part.size - skipped_bytes)
                )
        return b""


def can_be_program(head: bytes) -> bool:
    """Return whether the file can be a program or shared library: no object file, kernel module or class."""
    magic = head[:4]
    if magic == ELF:
        return head[16:18] in (b"\x02\x00", b"\x00\x02", b"\x03\x00", b"\x00\x03")
    if magic in FAT:
        return int.from_bytes(head[4:8], "big") <= FAT_LIMIT
    return magic in MAGICS


def find_executables(file: BinaryIO, marks: tuple[bytes, ...], notes: tuple[bytes, ...] = ()) -> list[Executable]:
    """Find the executables with one of `marks` in the names of their sections, or of `notes` in `head`.

    Executables without names of sections are included, and so is every PE file, whose sections have standard names.
    """
    head = _read_bytes(file, 0, HEAD)
    magic = head[:4]
    if magic == ELF:
        candidates = [_parse_elf(file, head, marks, notes)]
    elif magic == PE:
        candidates = [_parse_pe(file, head)]
    elif magic in FAT:
        candidates = [
            _parse_mach_o(file, base, _read_bytes(file, base, HEAD), marks) for base in _list_architectures(head)
        ]
    else:
        candidates = [_parse_mach_o(file, 0, head, marks)]
    return [executable for executable in candidates if executable]


def _parse_elf(file: BinaryIO, head: bytes, marks: tuple[bytes, ...], notes: tuple[bytes, ...]) -> Executable | None:
    """Parse ELF (System V ABI, chapter 4; elf(5))."""
    if len(head) < 64:
        return None
    order = ">" if head[5] == 2 else "<"
    is_wide = head[4] == 2
    header = Struct(order + ("QQIHHHHHH" if is_wide else "IIIHHHHHH"))
    fields = header.unpack_from(head, 32 if is_wide else 28)
    programs, table, _, _, program_size, programs_count, size, count, names_at = fields
    entry = Struct(order + ("IIQQQQIIQQ" if is_wide else "IIIIIIIIII"))
    rows: list[tuple[int, ...]] = []
    names = b""
    if size == entry.size and names_at < count:
        raw = _read_bytes(file, table, size * count)
        if len(raw) == size * count:
            names = _read_bytes(file, *entry.unpack_from(raw, size * names_at)[4:6])
            if names and not any(mark in names for mark in marks) and not any(note in head for note in notes):
                return None
            rows = list(entry.iter_unpack(raw)) if names else []
    rows = [row for row in rows if row[1] != _NO_BITS]
    labels = (names[row[0] : row[0] + NAME_LIMIT].partition(b"\0")[0] for row in rows)
    sections = tuple(Part(label, row[3], row[4], row[5]) for label, row in zip(labels, rows, strict=True))
    entry = Struct(order + ("IIQQQQQQ" if is_wide else "IIIIIIII"))
    segments: list[Part] = []
    if program_size == entry.size:
        raw = _read_bytes(file, programs, program_size * programs_count)
        for row in entry.iter_unpack(raw[: len(raw) // entry.size * entry.size]):
            if row[0] == _LOADED_SEGMENT:
                flags, offset, address, length = (row[at] for at in ((1, 2, 3, 5) if is_wide else (6, 1, 2, 4)))
                is_writable = flags & (_WRITE | _EXECUTE) == _WRITE
                segments.append(Part(None, address, offset, length, is_writable))
    return Executable(file, 0, head, sections, tuple(segments))


def _parse_pe(file: BinaryIO, head: bytes) -> Executable | None:
    """Parse PE (Microsoft's "PE Format"). The sections are the segments."""
    at = int.from_bytes(head[0x3C:0x40], "little")
    header = _read_bytes(file, at, 24 + 32)
    if len(header) < 24 + 32 or header[:4] != b"PE\0\0":
        return None
    count, optional = int.from_bytes(header[6:8], "little"), int.from_bytes(header[20:22], "little")
    is_wide = header[24:26] == b"\x0b\x02"
    base = int.from_bytes(header[48:56] if is_wide else header[52:56], "little")
    row = Struct("<8sIIIIIIHHI")
    raw = _read_bytes(file, at + 24 + optional, row.size * count)
    sections = tuple(
        Part(name.rstrip(b"\0"), base + address, offset, size, flags & ~_PE_ALIGNMENT == _PE_DATA)
        for name, _, address, size, offset, *_, flags in row.iter_unpack(raw[: len(raw) // row.size * row.size])
        if address and size
    )
    return Executable(file, 0, head, sections, sections)


def _list_architectures(head: bytes) -> list[int]:
    """Return offsets of the executables in a universal binary (<mach-o/fat.h>)."""
    count = int.from_bytes(head[4:8], "big")
    is_wide = head[:4] == FAT[1]
    row = Struct(">IIQQII" if is_wide else ">IIIII")
    if count > FAT_LIMIT or len(head) < 8 + row.size * count:
        return []
    return [row.unpack_from(head, 8 + row.size * index)[2] for index in range(count)]


def _parse_mach_o(file: BinaryIO, base: int, head: bytes, marks: tuple[bytes, ...]) -> Executable | None:
    """Parse Mach-O (<mach-o/loader.h>)."""
    if head[:4] not in MACH or len(head) < 32:
        return None
    order = "<" if head[3] == 0xFE else ">"
    start = 32 if 0xCF in (head[0], head[3]) else 28
    count, size = Struct(order + "II").unpack_from(head, 16)
    commands = _read_bytes(file, base + start, min(size, COMMANDS_LIMIT))
    if not any(mark in commands for mark in marks):
        return None
    sections: list[Part] = []
    segments: list[Part] = []
    command = Struct(order + "II")
    at = 0
    for _ in range(count):
        if at + command.size > len(commands):
            break
        kind, length = command.unpack_from(commands, at)
        if length < command.size:
            break
        if kind in _SECTION_MACH:
            _add_segment(commands[at : at + length], order, _SECTION_MACH[kind], sections, segments)
        at += length
    return Executable(file, base, head, tuple(sections), tuple(segments))


def _add_segment(raw: bytes, order: str, sizes: tuple[int, int], sections: list[Part], segments: list[Part]) -> None:
    """Add one load command LC_SEGMENT or LC_SEGMENT_64 and its sections."""
    start, step = sizes
    if len(raw) < start:
        return
    is_wide = start == 72
    address, _, offset, size, max_protection, _, count = Struct(
        order + ("QQQQiii" if is_wide else "IIIIiii")
    ).unpack_from(raw, 24)
    segments.append(Part(None, address, offset, size, max_protection == 3))
    row = Struct(order + ("16s16sQQI" if is_wide else "16s16sIII"))
    for index in range(min(count, (len(raw) - start) // step)):
        name, _, address, size, offset = row.unpack_from(raw, start + step * index)
        sections.append(Part(name.rstrip(b"\0"), address, offset, size))


def _read_bytes(file: BinaryIO, at: int, size: int) -> bytes:
    """Read these bytes; nothing if a header asks for too many, or for an impossible position."""
    if size > READ_LIMIT or at >= _FARTHEST:
        return b""
    file.seek(at)
    return file.read(size)
