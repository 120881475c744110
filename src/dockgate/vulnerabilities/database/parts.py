"""What the advisory database is made of, and what is told of its making."""

from dataclasses import dataclass

from dockgate.vulnerabilities.feed import FaultyRecord


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a feed, as the database holds it.

    `name` is the OSV ecosystem, "" for a feed without parts; `source` the folder or URL it came from; `version` that of
    the feed's reading; `content` the SHA-256 of the file. `checked_at` is the last successful check, `changed_at` the
    last that brought other content, both RFC 3339 in UTC. `statements` counts what was read; `faults` lists what could
    not be.
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
        """ "osv Debian", "kev"."""
        return f"{self.feed} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that could not be brought up to date. `kept`: the database holds what it last held of it.

    `host` and `cause` are of a download that failed ("" for other failures): alike for all that failed alike."""

    feed: str
    name: str
    reason: str
    advice: str
    kept: bool
    host: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a build or an update did. `digest` is of the database put in place, "" when the old one was left there.

    `missing` tells of the feeds that were not to be had ("no kev.json in FOLDER"), `unchanged` are the titles of parts
    that still stood, `failures` the parts that stayed as they were because their feed failed.
    """

    digest: str
    parts: tuple[Part, ...]
    missing: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
