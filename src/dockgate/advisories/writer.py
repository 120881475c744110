"""Writing a database beside the one in place, and putting it there whole."""

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from dockgate.advisories.coverage import Declared, derived
from dockgate.advisories.schema import APPLICATION, FORMAT, TABLES, Part
from dockgate.core import canonical
from dockgate.core.errors import ConflictError, DatabaseError, UnreadableError
from dockgate.core.model import Advisory
from dockgate.core.ports import Exploited, Faulty, Scored, Statement

_PRAGMAS = f"""
PRAGMA page_size = 8192; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};
"""


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Holds the right to replace the database at `path`. Raises ConflictError while another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"Another process is writing the advisory database {path}.", "Wait until it is done, then try again."
            ) from error
        yield


class Writer:
    """A database in the making, at `<path>.new`. `commit` puts it in place; left without that, nothing has changed.

    To be used under `exclusively`: what an interrupted one left behind is overwritten.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(path.name + ".new")
        self._new.unlink(missing_ok=True)
        self._sql = sqlite3.connect(self._new, isolation_level=None)
        self._sql.executescript(_PRAGMAS + TABLES + "BEGIN;")
        self._parts = 0
        self._records = 0
        self._ecosystems: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sql.close()
        self._new.unlink(missing_ok=True)

    def add(self, part: Part, statements: Iterable[Statement], declares: Declared | None, *, covers: bool) -> Part:
        """Writes a part from its statements; returns it with their count and faults.

        `covers`: its advisories are an ecosystem's feed. `declares` is what a partial snapshot speaks of, None when the
        part is whole. UnreadableError, raised while the statements are read, leaves nothing of the part.
        """
        number = self._part()
        try:
            return self._add(number, part, statements, declares, covers=covers)
        except UnreadableError:
            for table in _TABLES_OF_A_PART:
                self._sql.execute(f"DELETE FROM {table}", (number,))  # noqa: S608 - the tables are named below
            raise

    def _add(
        self, number: int, part: Part, statements: Iterable[Statement], declares: Declared | None, *, covers: bool
    ) -> Part:
        spoken, faults, count = set[str](), list[Faulty](), 0
        last = ""
        for statement in statements:
            if isinstance(statement, Faulty):
                faults.append(statement)
                continue
            count += 1
            if isinstance(statement, Advisory):
                last = self._advisory(number, statement, last)
                spoken.add(statement.ecosystem)
            elif isinstance(statement, Scored):
                rating = statement.rating
                score = (statement.cve, number, rating.severity.value, rating.score, rating.vector)
                self._sql.execute("INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?, ?)", score)
            elif isinstance(statement, Exploited):
                exploited = (statement.cve, number, statement.since)
                self._sql.execute("INSERT OR IGNORE INTO exploited VALUES (?, ?, ?)", exploited)
        part = replace(part, statements=count, faults=tuple(faults))
        self._describe(number, part)
        if covers:
            self._cover(number, part, spoken, declares)
        return part

    def keep(self, old: Path, part: Part) -> None:
        """Takes a part over from the database `old`, with what `part` now says of its check.

        Raises DatabaseError when `old` breaks off.
        """
        try:
            self._keep(old, part)
        except sqlite3.Error as error:
            advice = f"Remove {old} and run `dockgate db update` again."
            raise DatabaseError(f"The advisory database {old} is broken: {error}.", advice) from error

    def _keep(self, old: Path, part: Part) -> None:
        self._sql.execute("COMMIT")
        self._sql.execute("ATTACH ? AS old", (str(old),))
        self._sql.execute("BEGIN")
        ((was,),) = self._sql.execute("SELECT id FROM old.part WHERE feed = ? AND name = ?", (part.feed, part.name))
        number = self._part()
        names = self._sql.execute(
            "SELECT DISTINCT e.name FROM old.ecosystem e JOIN old.affected a ON a.ecosystem = e.id"
            " JOIN old.record r ON r.id = a.record WHERE r.part = ?",
            (was,),
        )
        for (name,) in names.fetchall():
            self._ecosystem(name)
        ids = {"new": number, "old": was, "shift": self._records}
        for copy in _COPIES:
            self._sql.execute(copy, ids)
        ((self._records,),) = self._sql.execute("SELECT coalesce(max(id), 0) FROM record")
        self._describe(number, part)
        self._sql.execute("COMMIT")
        self._sql.execute("DETACH old")
        self._sql.execute("BEGIN")

    @property
    def covers(self) -> bool:
        """Whether it speaks for any ecosystem yet: without that it is no use to anybody."""
        return self._sql.execute("SELECT 1 FROM coverage").fetchone() is not None

    def commit(self) -> str:
        """Puts the database in place, durably, and returns its digest."""
        digest = self._digest()
        self._sql.execute("INSERT INTO meta VALUES ('digest', ?)", (digest,))
        self._sql.execute("COMMIT")
        self._sql.close()
        _flush(self._new)
        os.replace(self._new, self._path)
        _flush(self._path.parent)
        return digest

    def _part(self) -> int:
        self._parts += 1
        return self._parts

    def _ecosystem(self, name: str) -> int:
        number = self._ecosystems.setdefault(name, len(self._ecosystems) + 1)
        self._sql.execute("INSERT OR IGNORE INTO ecosystem VALUES (?, ?)", (number, name))
        return number

    def _advisory(self, part: int, row: Advisory, last: str) -> str:
        """Writes one advisory; its record only where it is another than the `last` one. Returns the record's body."""
        body = _dump([row.id, row.aliases, row.upstream, row.summary, row.published, row.modified, row.withdrawn])
        if body != last:
            self._records += 1
            self._sql.execute("INSERT INTO record VALUES (?, ?, ?)", (self._records, part, body))
        ranges = [[span.type, span.events] for span in row.ranges]
        ratings = [[rating.source, rating.severity.value, rating.score, rating.vector] for rating in row.ratings]
        self._sql.execute(
            "INSERT INTO affected VALUES (?, ?, ?, ?)",
            (self._ecosystem(row.ecosystem), row.name, self._records, _dump([ranges, row.versions, ratings, row.note])),
        )
        return body

    def _describe(self, number: int, part: Part) -> None:
        self._sql.execute(
            "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, part.feed, part.name, part.version, part.source, part.fingerprint, part.content),
                *(part.checked_at, part.changed_at, part.statements),
            ),
        )
        faults = ((number, fault.name, fault.reason, fault.contained) for fault in part.faults)
        self._sql.executemany("INSERT INTO fault VALUES (?, ?, ?, ?)", faults)

    def _cover(self, number: int, part: Part, spoken: set[str], declares: Declared | None) -> None:
        """A record that could not be read may speak of any package, so the part then speaks for none of them."""
        broken = any(not fault.contained for fault in part.faults)
        if declares is None:
            rows = [(name, number, not broken, "[]") for name in derived(spoken)]
        else:
            rows = [
                (name, number, False, "[]" if broken else _dump(names))
                for name, names in declares.items()
                if name.partition(":")[0] == part.name
            ]
        self._sql.executemany("INSERT INTO coverage VALUES (?, ?, ?, ?)", rows)

    def _digest(self) -> str:
        """Of what was read, how, and what is said of it: any answer follows from these."""
        parts = self._sql.execute("SELECT feed, name, version, content FROM part ORDER BY feed, name").fetchall()
        coverage = self._sql.execute(
            "SELECT c.ecosystem, c.complete, c.names, p.checked_at FROM coverage c JOIN part p ON p.id = c.part"
            " ORDER BY c.ecosystem"
        ).fetchall()
        return canonical.digest(canonical.encode([FORMAT, parts, coverage]))


_TABLES_OF_A_PART = (
    "affected WHERE record IN (SELECT id FROM record WHERE part = ?)",
    "record WHERE part = ?",
    "score WHERE part = ?",
    "exploited WHERE part = ?",
)
_COPIES = (
    "INSERT INTO record SELECT id + :shift, :new, body FROM old.record WHERE part = :old",
    "INSERT INTO affected SELECT n.id, a.name, a.record + :shift, a.body FROM old.record r"
    " JOIN old.affected a ON a.record = r.id JOIN old.ecosystem e ON e.id = a.ecosystem"
    " JOIN ecosystem n ON n.name = e.name WHERE r.part = :old",
    "INSERT INTO score SELECT cve, :new, severity, score, vector FROM old.score WHERE part = :old",
    "INSERT INTO exploited SELECT cve, :new, since FROM old.exploited WHERE part = :old",
    "INSERT INTO coverage SELECT ecosystem, :new, complete, names FROM old.coverage WHERE part = :old",
)


def content(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
