"""CVSS vectors by CVE: a CSV of `cve,version,vector,source`, gzipped or not, a row for each vector."""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.feed import CveScore, FaultyRecord, Feed, FeedStatement
from dockgate.vulnerabilities.feeds._lines import TABLE_LIMIT, read_lines
from dockgate.vulnerabilities.feeds._severity import rate_vectors
from dockgate.vulnerabilities.feeds._transport import FetchedFeed

_HEADER = ["cve", "version", "vector"]


class Cvss(FetchedFeed):
    """CVSS vectors by CVE."""

    name = "cvss"
    version = 1
    limit = TABLE_LIMIT
    file = "cvss.csv.gz"
    url = None

    @override
    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """A rating for each CVE, by its vectors of the newest CVSS version; the worst of equals."""
        vectors: dict[str, list[str]] = {}
        for number, line in read_lines(stream, "CVSS file"):
            fields = line.split(",")
            if number == 1:
                if fields[:3] != _HEADER:
                    raise UnreadableError(f"the CVSS file does not begin with {','.join(_HEADER)}")
            elif len(fields) < 3 or not fields[0].startswith("CVE-"):
                yield FaultyRecord(f"line {number}", "it is not a row of CVE, version and vector")
            else:
                vectors.setdefault(fields[0], []).append(fields[2])
        for cve, texts in vectors.items():
            rating = rate_vectors("cve", texts)
            yield CveScore(cve, rating) if rating else FaultyRecord(cve, "none of its vectors can be scored")


FEED: Feed = Cvss()
