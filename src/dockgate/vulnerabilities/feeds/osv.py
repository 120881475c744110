"""OSV records in the layout of the public export: one zip an ecosystem, one JSON file a record (OSV schema 1.7)."""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import quote

from dockgate.shared.errors import UnavailableError, UnreadableError
from dockgate.vulnerabilities.feed import FaultyRecord, Feed, FeedFetch, FeedStatement, RecordLookup
from dockgate.vulnerabilities.feeds._changes import changes
from dockgate.vulnerabilities.feeds._transport import Web, from_folder, from_url

# Bytes of one record; the largest published ones have about one million.
RECORD_LIMIT = 16 * 1024 * 1024


class Osv:
    """OSV records in the layout of the public export."""

    name = "osv"
    version = 9
    file = "osv/*/all.zip"
    url = "https://storage.googleapis.com/osv-vulnerabilities"

    def parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        """Those of the ecosystems that `ecosystems.txt` lists.

        A mirror may lack it, and a page that a proxy shows in its place lists none: then all.
        """
        try:
            with TemporaryDirectory() as folder:
                listed = from_url(self.name, f"{url}/ecosystems.txt", "", Path(folder), ca_bundle).path
                names = set(listed.read_text("utf-8").splitlines()) if listed else set()
        except (UnavailableError, UnicodeDecodeError):
            return ecosystems
        return [name for name in ecosystems if name in names] or ecosystems

    def ecosystem(self, part: str) -> str:
        return part

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str,
        into: Path,
        ca_bundle: Path | None = None,
        lookup: RecordLookup | None = None,
    ) -> FeedFetch:
        """Over HTTP the records that changed, where they are few; the whole export otherwise."""
        if isinstance(origin, Path):
            return from_folder(origin, self.file.replace("*", part), fingerprint)
        base = f"{origin}/{quote(part, safe='')}"
        with Web(self.name, ca_bundle) as web:
            changed = changes(web, base, fingerprint, into, lookup) if lookup and fingerprint else None
            return changed or web.fetch(f"{base}/all.zip", fingerprint, into)

    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """Statements of other ecosystems than `part` are left to those ecosystems' exports."""
        from dockgate.vulnerabilities.feeds._records import read

        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UnreadableError(f"The OSV export of {part} is no zip archive: {error}.") from error
        with archive:
            listed = archive.infolist()
            if len({member.header_offset for member in listed}) < len(listed):
                raise UnreadableError(f"The OSV export of {part} is broken: members of it lie upon each other.")
            members = [member for member in listed if member.filename.endswith(".json")]
            if not members:
                raise UnreadableError(f"The OSV export of {part} holds no record.")
            for member in members:
                try:
                    data = _content(archive, member)
                except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
                    yield FaultyRecord(member.filename, f"it cannot be unpacked: {error}")
                else:
                    yield from read(member.filename, data, part)


FEED: Feed = Osv()


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        data = file.read(RECORD_LIMIT + 1)
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"it is larger than {RECORD_LIMIT} bytes")
    return data
