"""CVSS vectors by CVE: a CSV of `cve,version,vector,source`, gzipped or not, one row a vector."""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError
from dockgate.vulnerabilities.feed import CveScore, FaultyRecord, Feed, FeedStatement
from dockgate.vulnerabilities.feeds._lines import lines
from dockgate.vulnerabilities.feeds._severity import by_vectors
from dockgate.vulnerabilities.feeds._single import Single

_HEADER = ["cve", "version", "vector"]


class Cvss(Single):
    """CVSS vectors by CVE."""

    name = "cvss"
    version = 1
    file = "cvss.csv.gz"
    url = ""

    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """One rating a CVE: by the highest version of the standard in its vectors, among equals the worst."""
        vectors: dict[str, list[str]] = {}
        for number, line in lines(stream, "CVSS file"):
            fields = line.split(",")
            if number == 1:
                if fields[:3] != _HEADER:
                    raise UnreadableError(f"The CVSS file does not begin with {','.join(_HEADER)}.")
            elif len(fields) < 3 or not fields[0].startswith("CVE-"):
                yield FaultyRecord(f"line {number}", "it is no row of CVE, version and vector")
            else:
                vectors.setdefault(fields[0], []).append(fields[2])
        for cve, texts in vectors.items():
            rating = by_vectors("cve", texts)
            yield CveScore(cve, rating) if rating else FaultyRecord(cve, "no vector of it can be scored")


FEED: Feed = Cvss()
