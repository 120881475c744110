"""The seam of the advisory feeds: how a publisher's feed is fetched, and what its files say.

The comments promise behaviour, and the contract suite in `tests/contracts` holds every feed to them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from dockgate.vulnerabilities.model import Advisory, Rating


@dataclass(frozen=True, slots=True)
class FeedFetch:
    """A feed's answer. `unchanged`: what was fetched last still holds, and `path` is None.

    `path` is a local file to parse. It holds the part whole, or, where `replaces` is not None, only its records of
    those ids: what was known of them is void (an id that the file lacks is gone), and all others stand.
    """

    unchanged: bool
    fingerprint: str
    path: Path | None = None
    replaces: frozenset[str] | None = None


# Id -> `modified` of every record of a part, as the database holds it.
RecordLookup = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class CveScore:
    """What the record of a CVE says of its severity; the rating's source is "cve"."""

    cve: str
    rating: Rating


@dataclass(frozen=True, slots=True)
class ExploitedCve:
    """A CVE is known to be exploited. `since` is the date at which the catalogue took it up, `due` the one by which it
    wants it mended, YYYY-MM-DD ("" when it does not say)."""

    cve: str
    since: str
    due: str = ""


@dataclass(frozen=True, slots=True)
class CvePrediction:
    """How likely a CVE is to be exploited: see `Cve.epss` and `Cve.percentile`."""

    cve: str
    epss: float
    percentile: float


@dataclass(frozen=True, slots=True)
class FaultyRecord:
    """Something in a feed could not be read. `name` is the member or line.

    `contained`: the package that it speaks of is known, and has an advisory that no version can be compared with.
    Otherwise it may speak of any package, and the feed is no longer complete.
    """

    name: str
    reason: str
    contained: bool = False


@dataclass(frozen=True, slots=True)
class SilentRecord:
    """A record that speaks of no package of its part. It is remembered to know it again, and for the names it joins."""

    id: str
    modified: str
    aliases: tuple[str, ...] = ()
    withdrawn: str = ""


FeedStatement = Advisory | CveScore | ExploitedCve | CvePrediction | SilentRecord | FaultyRecord


class Feed(Protocol):
    """A publisher's feed: one module in `feeds/` with one object named `FEED`."""

    # "osv", "kev" or "cvss", for example.
    name: str
    # Raised whenever the same bytes would be read otherwise: they are then fetched and read again.
    version: int
    # Where it lies in a folder; "osv/*/all.zip" for a feed that has parts, "*" being the part.
    file: str
    # Where it is published, "" for nowhere: the base of its parts, or the file itself.
    url: str

    def parts(self, url: str, ecosystems: Sequence[str], ca_bundle: Path | None = None) -> Sequence[str]:
        """The parts published at `url` that speak of these OSV ecosystems (without release); ("",) for a feed without
        parts. Never fails: a list that cannot be had leaves out nothing.
        """
        ...

    def ecosystem(self, part: str) -> str:
        """The OSV ecosystem for all of which, or all of whose releases, the part is the publisher's whole word:
        "Debian", "Amazon Linux:2023"; "" for a feed without parts."""
        ...

    def fetch(
        self,
        origin: Path | str,
        part: str,
        fingerprint: str,
        into: Path,
        ca_bundle: Path | None = None,
        held: RecordLookup | None = None,
    ) -> FeedFetch:
        """Brings one part ("" for a feed without parts) from a folder (Path) or URL (str).

        `fingerprint` is what the last fetch from this origin gave, "" for none; while it holds, nothing is brought.
        `held` tells what is known since then; only where it is given may the answer be a part of the whole.
        What is downloaded is written into the folder `into`; a folder's file is left where it is. `ca_bundle` holds the
        authorities to trust, None the usual ones. Raises NotFoundError when the folder has no such file, and
        UnavailableError naming the feed and its URL when it cannot be reached or answers wrongly.
        """
        ...

    def parse(self, stream: BinaryIO, part: str) -> Iterator[FeedStatement]:
        """Every statement of a seekable file, in its order, in memory that does not grow with it.

        What cannot be read is Faulty, never left out. Raises UnreadableError when the file as a whole cannot be read.
        """
        ...
