"""The interface of advisory feeds: fetch a publisher's feed, and parse its files.

The contract suite in `tests/contracts` tests every feed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from dockgate.vulnerabilities.model import Advisory, AdvisoryText, Rating

# Bytes of one OSV record. The largest public ones have about one million.
RECORD_LIMIT = 16 * 1024 * 1024
# Feeds with fewer records may lose any number of them. Larger ones that lose more than this fraction are truncated:
# publishers withdraw records, but not so many.
FEW_RECORDS = 100
LOST_FRACTION = 5
# The name of the part of a feed that has only one. Not None: the name is part of a database key, and the database's
# digest covers it.
ONLY_PART = ""


@dataclass(frozen=True, slots=True)
class FeedFetch:
    """The result of a fetch.

    `path` is a local file to parse, None if nothing changed since the last fetch. It has the complete part, or, if
    `replaces` is set, only the records with these ids: they replace the stored ones (an id that the file lacks was
    removed), and all other records stay.
    """

    fingerprint: str
    path: Path | None = None
    replaces: frozenset[str] | None = None


# Returns the `modified` time of every stored record of a part, by id.
RecordLookup = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class CveScore:
    """The severity in a CVE record; the source of the rating is "cve"."""

    cve: str
    rating: Rating


@dataclass(frozen=True, slots=True)
class ExploitedCve:
    """A CVE that is known to be exploited.

    `since` is the date of its listing, `due` the date to fix it by, None if unknown.
    """

    cve: str
    since: str
    due: str | None = None


@dataclass(frozen=True, slots=True)
class CvePrediction:
    """The probability that a CVE is exploited: see `Cve.epss` and `Cve.percentile`."""

    cve: str
    epss: float
    percentile: float


@dataclass(frozen=True, slots=True)
class FaultyRecord:
    """A record that could not be read. `name` is the member or line.

    `is_contained`: its package is known, and gets an advisory that no version can be compared with. Otherwise it may be
    about any package, and the feed is incomplete.
    """

    name: str
    reason: str
    is_contained: bool = False


@dataclass(frozen=True, slots=True)
class SilentRecord:
    """A record about no package of its part.

    It is stored for its aliases, and to recognise it in the next update.
    """

    id: str
    modified: str | None
    aliases: tuple[str, ...] = ()
    withdrawn: str | None = None


FeedStatement = Advisory | AdvisoryText | CveScore | ExploitedCve | CvePrediction | SilentRecord | FaultyRecord


class Feed(Protocol):
    """A publisher's feed: one module in `feeds/` with one object named `FEED`."""

    # "osv", "kev" or "cvss", for example.
    name: str
    # Increase it whenever the same bytes would be parsed differently: they are then fetched and parsed again.
    version: int
    # The path of the feed's file in a folder. With several parts: "osv/*/all.zip", where "*" is the part.
    file: str
    # Seconds after which a server fetches it again.
    period: float
    # Where it is published: the base URL of its parts, or the URL of the file. None if nowhere.
    url: str | None

    def list_parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        """The parts at `url` for these OSV ecosystems (without release), or ONLY_PART.

        Never fails: without a list of parts, returns all of them.
        """
        ...

    def get_ecosystem(self, part: str) -> str | None:
        """The OSV ecosystem that the part covers completely: "Debian", "Amazon Linux:2023".

        It is covered with all its releases. None for ONLY_PART.
        """
        ...

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str | None,
        into: Path,
        ca_bundle: Path | None = None,
        lookup: RecordLookup | None = None,
    ) -> FeedFetch:
        """Fetch one part, named as by `list_parts`, from a folder (Path) or a URL (str).

        `fingerprint` is that of the last fetch from this origin, None at first. If it still matches, nothing is
        fetched. `lookup` returns the stored records. Only with it may the result be a set of changed records. Downloads
        are written to the folder `into`; a file in a folder stays there. `ca_bundle` has the trusted authorities, None
        for the usual ones.

        Raises NotFoundError if the folder has no such file, and UnavailableError naming the feed and its URL if the
        download fails.
        """
        ...

    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """Parse a seekable file, in its order, with memory that does not grow with the file.

        An unreadable record becomes a FaultyRecord and is never left out. Raises UnreadableError if the whole file
        cannot be read.
        """
        ...
