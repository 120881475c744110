"""OSV records in the layout of the public export: one zip an ecosystem, one JSON file a record (OSV schema 1.7)."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from dockgate.core.errors import UnreadableError
from dockgate.core.ports import Faulty, Feed, Fetched, Statement
from dockgate.feeds._transport import from_folder, from_url

RECORD_LIMIT = 16 * 1024 * 1024
"""Bytes of one record; the largest published ones have about one million."""


class Osv:
    name = "osv"
    version = 1
    file = "osv/*/all.zip"
    url = "https://storage.googleapis.com/osv-vulnerabilities"

    def fetch(
        self, origin: Path | str, part: str, fingerprint: str, into: Path, ca_bundle: Path | None = None
    ) -> Fetched:
        if isinstance(origin, Path):
            return from_folder(origin, self.file.replace("*", part), fingerprint)
        url = f"{origin.rstrip('/')}/{quote(part, safe='')}/all.zip"
        return from_url(self.name, url, fingerprint, into, ca_bundle)

    def parse(self, stream: BinaryIO, part: str) -> Iterator[Statement]:
        """Statements of other ecosystems than `part` are left to those ecosystems' exports."""
        from dockgate.feeds._records import read

        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UnreadableError(f"The OSV export of {part} is no zip archive: {error}.") from error
        with archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".json")]
            if not members:
                raise UnreadableError(f"The OSV export of {part} holds no record.")
            for member in members:
                try:
                    data = _content(archive, member)
                except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
                    yield Faulty(member.filename, f"it cannot be unpacked: {error}")
                else:
                    yield from read(member.filename, data, part)


FEED: Feed = Osv()


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        data = file.read(RECORD_LIMIT + 1)
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"it is larger than {RECORD_LIMIT} bytes")
    return data
