"""CISA's catalogue of known exploited vulnerabilities, in its JSON schema."""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.shared.strict_json import parse_json
from dockgate.vulnerabilities.feed import ExploitedCve, FaultyRecord, Feed, FeedStatement
from dockgate.vulnerabilities.feeds._transport import FetchedFeed

# Bytes. The catalogue had 1.6 MB in 2026.
LIMIT = 256 * 1024 * 1024


class Kev(FetchedFeed):
    """Known exploited vulnerabilities of CISA."""

    name = "kev"
    version = 2
    limit = LIMIT
    period = 3600.0
    file = "kev.json"
    url = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"

    @override
    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        data = stream.read(LIMIT + 1)
        try:
            if len(data) > LIMIT:
                raise ValueError(f"it is larger than {LIMIT} bytes")
            catalogue = parse_json(data)
            entries = catalogue["vulnerabilities"]
            if not isinstance(entries, list):
                raise TypeError("its vulnerabilities are not a list")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableError(f"the KEV catalogue cannot be read: {error}") from error
        for index, entry in enumerate(entries):
            cve = entry.get("cveID") if isinstance(entry, dict) else None
            if not isinstance(cve, str) or not cve.startswith("CVE-"):
                yield FaultyRecord(f"vulnerabilities[{index}]", "it has no cveID")
                continue
            since, due = entry.get("dateAdded"), entry.get("dueDate")
            # A CVE in the catalogue is exploited, even without dates.
            yield ExploitedCve(
                cve,
                since if isinstance(since, str) and since else "unknown",
                due if isinstance(due, str) and due else None,
            )


FEED: Feed = Kev()
