"""The parts of the advisory database, and the results of building and updating it."""

from dataclasses import dataclass

from dockgate.vulnerabilities.feed import ONLY_PART, FaultyRecord


def format_part(feed: str, name: str) -> str:
    """A part of a feed for people: "osv Debian", "kev"."""
    return feed if name == ONLY_PART else f"{feed} {name}"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a feed in the database.

    `name` is the OSV ecosystem or ONLY_PART; `source` the folder or URL it came from; `version` that
    of the feed's parser; `content` the SHA-256 of the file. `checked_at` is the last successful check, `changed_at` the
    last that brought new content, both RFC 3339 in UTC. `statements` counts what was read, `faults` are the records
    that could not be read.
    """

    feed: str
    name: str
    version: int
    source: str
    fingerprint: str
    content: str
    checked_at: str
    changed_at: str
    statements: int
    faults: tuple[FaultyRecord, ...] = ()

    @property
    def title(self) -> str:
        """The part for people, as `format_part`."""
        return format_part(self.feed, self.name)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that new content must not exceed to replace a part.

    At least `least_statements` of the `statements` that the part had, and at most `most_faults` records that cannot be
    read and whose package is unknown; None for any number.
    """

    statements: int = 0
    least_statements: int = 0
    most_faults: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that could not be updated. `has_old_data`: the database still has its previous content.

    `host` and `cause` are those of a failed download, None for other failures. They group failures of one kind.
    `is_unreachable`: the host took no connection.
    """

    feed: str
    name: str
    reason: str
    advice: str | None
    has_old_data: bool
    host: str | None = None
    cause: str | None = None
    is_unreachable: bool = False

    @property
    def title(self) -> str:
        """The part for people, as `format_part`."""
        return format_part(self.feed, self.name)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a build or an update.

    `digest` is that of the new database, None if the old one was not replaced. `missing_feeds` names the feeds that
    were not available ("no kev.json in FOLDER"), `unchanged_parts` the parts without new content, `failures` the parts
    that were not updated because their feed failed.
    """

    digest: str | None
    parts: tuple[Part, ...]
    missing_feeds: tuple[str, ...] = ()
    unchanged_parts: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
