"""Python packages in zip archives, from which Python imports without unpacking them: eggs; applications in one file,
which begin with a line that names their interpreter (zipapp, shiv, PEX); the wheels of a PEX that is a folder.
"""

from collections.abc import Callable
from typing import BinaryIO

from dockgate.core.errors import UnreadableError
from dockgate.core.model import Package
from dockgate.core.ports import Extract
from dockgate.ecosystems._text import budget

SUFFIXES = (".egg", ".pex", ".pyz", ".whl")
MAGICS = (b"#!/u", b"#!/b")
"""Beginnings of lines that name an interpreter (#!/usr/bin/env python3, #!/bin/sh)."""
HEADER_LIMIT = 1024 * 1024
"""Bytes from the beginning of the metadata, within which Name and Version must stand; what follows is not read."""
READ_LIMIT = 128 * 1024 * 1024
"""Bytes of an archive that are looked at, packed and unpacked: its directory and its packages' metadata."""
MEMBER_LIMIT = 2000
"""Packages of one archive."""

_EGG = "EGG-INFO/PKG-INFO"
_METADATA = (".dist-info/METADATA", _EGG)
_LEAST = 16 * 1024
"""Bytes; scripts without a suffix are mostly smaller, applications with packages in them never."""
_ZIP_END = b"PK\x05\x06"
_ZIP_TAIL = 22 + 0xFFFF
"""bytes within which a zip archive's end record begins (APPNOTE.TXT, 4.3.16)"""


def may_be(path: str, size: int, head: bytes) -> bool:
    """Whether a file that begins so can be such an archive. Wheels elsewhere lie about, and are not imported from.

    What has no suffix is told by its interpreter: Python, or the shell, which starts a PEX quicker (`--sh-boot`).
    """
    if path.endswith((".egg", ".whl")):
        return path.endswith(".egg") or "/.deps/" in f"/{path}"
    if path.endswith(SUFFIXES):
        return head[:2] in (b"#!", b"PK")
    line = head.partition(b"\n")[0]
    return size >= _LEAST and line.startswith(MAGICS) and (b"python" in line or line == b"#!/bin/sh")


def read(path: str, file: BinaryIO, described: Callable[[str, bytes], Package]) -> Extract:
    """The packages of the archive at `path`, each as `described` makes it of its path and its metadata. What is no zip
    archive is nothing: no import finds anything in it, and a script is mostly that alone."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _ZIP_TAIL))
    if _ZIP_END not in file.read():
        return Extract()
    from dockgate.ecosystems._zip import Archive, Section

    wanted = (_EGG,) if path.endswith(".egg") else _METADATA
    archive = Archive(Section(file, 0, size), tuple(name.encode("ascii") for name in wanted), budget(READ_LIMIT))
    if path.endswith(".egg") and all(entry.name != _EGG for entry in archive.entries):
        raise UnreadableError(f"it is an egg without {_EGG}")
    if len(archive.entries) > MEMBER_LIMIT:
        raise UnreadableError(f"it holds {len(archive.entries)} packages; no more than {MEMBER_LIMIT} are read")
    packages: list[Package] = []
    unread: list[tuple[str, str]] = []
    for entry in archive.entries:
        try:
            packages.append(described(f"{path}!/{entry.name}", archive.head(entry, HEADER_LIMIT)))
        except UnreadableError as error:
            unread.append((entry.name, str(error)))
    return Extract(tuple(packages), unread=tuple(unread), alone=True) if packages or unread else Extract()
