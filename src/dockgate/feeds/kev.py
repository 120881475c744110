"""CISA's catalogue of known exploited vulnerabilities, in its JSON schema."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dockgate.core.errors import UnreadableError
from dockgate.core.ports import Exploited, Faulty, Feed, Fetched, Statement
from dockgate.feeds._transport import from_folder, from_url

LIMIT = 256 * 1024 * 1024
"""Bytes. The catalogue had 1.6 MB in 2026."""


class Kev:
    name = "kev"
    version = 1
    file = "kev.json"
    url = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"

    def fetch(
        self, origin: Path | str, part: str, fingerprint: str, into: Path, ca_bundle: Path | None = None
    ) -> Fetched:
        if isinstance(origin, Path):
            return from_folder(origin, self.file, fingerprint)
        return from_url(self.name, origin, fingerprint, into, ca_bundle)

    def parse(self, stream: BinaryIO, part: str) -> Iterator[Statement]:
        import json

        data = stream.read(LIMIT + 1)
        try:
            if len(data) > LIMIT:
                raise ValueError(f"it is larger than {LIMIT} bytes")
            catalogue = json.loads(data)
            entries = catalogue["vulnerabilities"]
            if not isinstance(entries, list):
                raise TypeError("its vulnerabilities are no list")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableError(f"The KEV catalogue cannot be read: {error}.") from error
        for place, entry in enumerate(entries):
            cve = entry.get("cveID") if isinstance(entry, dict) else None
            if not isinstance(cve, str) or not cve.startswith("CVE-"):
                yield Faulty(f"vulnerabilities[{place}]", "it has no cveID")
                continue
            since = entry.get("dateAdded")
            # The catalogue's word that it is exploited stands without its date.
            yield Exploited(cve, since if isinstance(since, str) and since else "unknown")


FEED: Feed = Kev()
