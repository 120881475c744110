"""The format of the advisory database's file, and what is told of its making."""

from dataclasses import dataclass

from dockgate.core.ports import Faulty

APPLICATION = 0x446B4144
"""SQLite's application_id of such a file"""
FORMAT = 2
"""SQLite's user_version; raised with every change to what follows. Another format is not read: it is built anew."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE part (
    id INTEGER PRIMARY KEY, feed TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, source TEXT NOT NULL,
    fingerprint TEXT NOT NULL, content TEXT NOT NULL, checked_at TEXT NOT NULL, changed_at TEXT NOT NULL,
    statements INTEGER NOT NULL, UNIQUE (feed, name)
);
CREATE TABLE fault (part INTEGER NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL, contained INTEGER NOT NULL);
CREATE TABLE coverage (ecosystem TEXT PRIMARY KEY, part INTEGER NOT NULL, complete INTEGER NOT NULL,
    names TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ecosystem (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE record (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE affected (ecosystem INTEGER NOT NULL, name TEXT NOT NULL, record INTEGER NOT NULL,
    module TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (ecosystem, name, record, module)) WITHOUT ROWID;
CREATE TABLE score (cve TEXT NOT NULL, part INTEGER NOT NULL, severity TEXT NOT NULL, score REAL NOT NULL,
    vector TEXT NOT NULL, PRIMARY KEY (cve, part)) WITHOUT ROWID;
CREATE TABLE exploited (cve TEXT NOT NULL, part INTEGER NOT NULL, since TEXT NOT NULL,
    due TEXT NOT NULL, PRIMARY KEY (cve, part)) WITHOUT ROWID;
CREATE TABLE predicted (cve TEXT NOT NULL, part INTEGER NOT NULL, epss REAL NOT NULL, percentile REAL NOT NULL,
    PRIMARY KEY (cve, part)) WITHOUT ROWID;
"""
"""`record.body` and `affected.body` are JSON arrays: `RECORD` and `AFFECTED` name their places."""

RECORD = ("id", "aliases", "upstream", "summary", "published", "modified", "withdrawn", "disputed")
AFFECTED = ("ranges", "versions", "ratings", "note")


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
    faults: tuple[Faulty, ...] = ()

    @property
    def title(self) -> str:
        """ "osv Debian", "kev"."""
        return f"{self.feed} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that could not be brought up to date. `kept`: the database holds what it last held of it."""

    feed: str
    name: str
    reason: str
    advice: str
    kept: bool


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
