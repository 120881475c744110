"""Erlang applications in zip archives: plugins (`.ez`) and single-file programs.

Erlang's code server loads them without unpacking. A program begins with a line that calls `escript` (OTP, escript(3)).
"""

from collections.abc import Callable
from typing import BinaryIO

from dockgate.scanner.formats.content import budget, is_script_of
from dockgate.scanner.model import Package
from dockgate.scanner.ports import Extract
from dockgate.shared.errors import UnreadableError

SUFFIX = ".ez"
# Beginnings of lines that name an interpreter; Mix writes "#! /usr/bin/env escript".
MAGICS = (b"#!/u", b"#!/b", b"#! /")
# Bytes of an archive that are read, packed and unpacked: its directory and its applications' files. Parsing that many
# bytes of Erlang terms takes seconds.
READ_LIMIT = 8 * 1024 * 1024
# Applications in one archive; RabbitMQ's plugins have one, rebar3 has twelve.
MEMBER_LIMIT = 2000


def may_be_archive(path: str, head: bytes) -> bool:
    """Whether a file with this beginning can be such an archive."""
    return path.endswith(SUFFIX) or (head.startswith(MAGICS) and is_script_of(head, b"escript"))


def read(path: str, file: BinaryIO, limit: int, described: Callable[[str, str, bytes], Package]) -> Extract:
    """Read the applications of the archive at `path`.

    `described` builds a package from a path, a name and the content of a file of at most `limit` bytes. An escript that
    is not an archive contains only its own code.
    """
    from dockgate.scanner.formats.zip_archive import Archive, Section, is_zip

    section = Section(file, 0, file.seek(0, 2))
    if not path.endswith(SUFFIX) and not is_zip(section):
        return Extract()
    archive = Archive(section, (b".app",), budget(READ_LIMIT))
    members = [entry for entry in archive.entries if entry.name.rpartition("/")[0].rpartition("/")[2] == "ebin"]
    if len(members) > MEMBER_LIMIT:
        raise UnreadableError(f"it contains {len(members)} applications; no more than {MEMBER_LIMIT} are read")
    packages: list[Package] = []
    unread: list[tuple[str, str]] = []
    for entry in members:
        name = entry.name.rpartition("/")[2].removesuffix(".app")
        try:
            packages.append(described(f"{path}!/{entry.name}", name, archive.read_all(entry, limit)))
        except UnreadableError as error:
            unread.append((entry.name, str(error)))
    return Extract(tuple(packages), unread=tuple(unread), is_self_contained=True) if packages or unread else Extract()
