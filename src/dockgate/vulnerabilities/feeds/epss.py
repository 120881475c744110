"""FIRST's Exploit Prediction Scoring System: `epss_scores-current.csv.gz`.

Format (https://www.first.org/epss/data_stats): a comment with model and date, the header, a row for each CVE.
"""

from collections.abc import Iterator
from typing import BinaryIO

from dockgate.shared.errors import UnreadableError
from dockgate.shared.interfaces import override
from dockgate.vulnerabilities.feed import CvePrediction, FaultyRecord, Feed, FeedStatement
from dockgate.vulnerabilities.feeds._lines import TABLE_LIMIT, read_lines
from dockgate.vulnerabilities.feeds._transport import FetchedFeed

_HEADER = "cve,epss,percentile"


class Epss(FetchedFeed):
    """Exploit predictions of FIRST."""

    name = "epss"
    version = 1
    limit = TABLE_LIMIT
    file = "epss.csv.gz"
    url = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"

    @override
    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        has_header = False
        for number, line in read_lines(stream, "EPSS file"):
            if not has_header:
                has_header = line == _HEADER
                if not has_header and not line.startswith("#"):
                    raise UnreadableError(f"the EPSS file does not begin with {_HEADER}")
                continue
            cve, _, numbers = line.partition(",")
            epss, _, percentile = numbers.partition(",")
            try:
                if not cve.startswith("CVE-"):
                    raise ValueError(repr(cve))
                yield CvePrediction(cve, _read_share(epss), _read_share(percentile))
            except ValueError as error:
                yield FaultyRecord(f"line {number}", f"{error} is not allowed in a row of {_HEADER}")
        if not has_header:
            raise UnreadableError(f"the EPSS file has no header {_HEADER}")


FEED: Feed = Epss()


def _read_share(text: str) -> float:
    """A number from 0 to 1. The comparison also refuses "nan"."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 1:
        raise ValueError(repr(text))
    return number
