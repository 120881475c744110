"""OSV records as in the public export: a zip file for each ecosystem, a JSON file for each record.

The format is OSV schema 1.7.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import quote

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.feed import (
    RECORD_LIMIT,
    FaultyRecord,
    Feed,
    FeedFetch,
    FeedStatement,
    RecordLookup,
    SilentRecord,
)
from dockgate.vulnerabilities.feeds._changes import fetch_changes
from dockgate.vulnerabilities.feeds._transport import FetchedFeed, Web
from dockgate.vulnerabilities.model import Advisory

# Bytes of the list of ecosystems.
_LIST_LIMIT = 1024 * 1024


class Osv(FetchedFeed):
    """OSV records as in the public export."""

    name = "osv"
    version = 11
    period = 3600.0
    file = "osv/*/all.zip"
    url = "https://storage.googleapis.com/osv-vulnerabilities"

    @override
    def list_parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        """The ecosystems that `ecosystems.txt` lists; all if it cannot be had.

        A mirror may lack it, and a proxy may answer with a page.
        """
        try:
            with TemporaryDirectory() as folder, Web(self.name, url, ca_bundle) as web:
                names = set(
                    web.download(f"{url}/ecosystems.txt", Path(folder), _LIST_LIMIT).read_text("utf-8").splitlines()
                )
        except (UnavailableError, UnicodeDecodeError):
            return ecosystems
        return [name for name in ecosystems if name in names] or ecosystems

    @override
    def get_ecosystem(self, part: str) -> str:
        return part

    @override
    def download(
        self, web: Web, url: str, part: str, fingerprint: str | None, into: Path, lookup: RecordLookup | None
    ) -> FeedFetch:
        """Fetch the changed records if they are few, else the whole export."""
        base = f"{url}/{quote(part, safe='')}"
        changed_files = fetch_changes(web, base, fingerprint, into, lookup) if lookup and fingerprint else None
        return changed_files or web.fetch(f"{base}/all.zip", fingerprint, into)

    @override
    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """Parse the statements about the ecosystem `part`; each other ecosystem has an export of its own."""
        from dockgate.vulnerabilities.feeds._records import read

        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UnreadableError(f"the OSV export of {part} is not a zip archive: {error}") from error
        with archive:
            archive_members = archive.infolist()
            if len({member.header_offset for member in archive_members}) < len(archive_members):
                raise UnreadableError(f"the OSV export of {part} is broken: its members overlap")
            members = [member for member in archive_members if member.filename.endswith(".json")]
            if not members:
                raise UnreadableError(f"the OSV export of {part} has no records")
            members_by_id: dict[str, zipfile.ZipInfo] = {}
            for member in members:
                try:
                    data = _read_member(archive, member)
                except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
                    yield FaultyRecord(member.filename, f"it cannot be unpacked: {error}")
                    continue
                statements = list(read(member.filename, data, part))
                identity = next(
                    (statement.id for statement in statements if isinstance(statement, Advisory | SilentRecord)), None
                )
                first = members_by_id.setdefault(identity, member) if identity else member
                if first is member:
                    yield from statements
                elif _read_member(archive, first) != data:
                    names = " and ".join(dict.fromkeys((first.filename, member.filename)))
                    raise UnreadableError(f"the OSV export of {part} has two different records {identity}, in {names}")


FEED: Feed = Osv()


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        data = file.read(RECORD_LIMIT + 1)
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"it is larger than {RECORD_LIMIT} bytes")
    return data
