"""Write a new database beside the present one, and replace that atomically."""

import fcntl
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from dockgate.shared import canonical
from dockgate.shared.digest import compute_digest
from dockgate.shared.errors import ConflictError, DatabaseError, UnavailableError, UnreadableError
from dockgate.shared.files import flush
from dockgate.vulnerabilities.aliases import AliasGroups
from dockgate.vulnerabilities.database.coverage import PartialCoverage, is_covered_by, list_covered_ecosystems
from dockgate.vulnerabilities.database.cves import write_cve
from dockgate.vulnerabilities.database.keys import dump, write_keys, write_names
from dockgate.vulnerabilities.database.parts import NO_LIMITS, Limits, Part
from dockgate.vulnerabilities.database.schema import APPLICATION, FORMAT, TABLES, encode_score
from dockgate.vulnerabilities.database.texts import TextWriter, erase_texts
from dockgate.vulnerabilities.feed import (
    CvePrediction,
    CveScore,
    ExploitedCve,
    FaultyRecord,
    FeedStatement,
    SilentRecord,
)
from dockgate.vulnerabilities.model import Advisory, AdvisoryText

_LAYOUT = f"PRAGMA page_size = 8192; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
# Names in one group of aliases.
ALIAS_GROUP_LIMIT = 100
# First of all: an interrupted writer must not leave a journal, which SQLite would apply to the next writer's copy.
_PRAGMAS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"


@contextmanager
def lock_database(path: Path) -> Iterator[None]:
    """Lock the database at `path` for writing. Raises ConflictError while another process has the lock."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"a server or another command updates the advisory database {path} at this moment",
                "Nothing is lost: `dockgate db status` shows the result. Run the command again if you still need it.",
            ) from error
        yield


class Writer:
    """A new database at `<path>.new`. `commit` puts it in place; without that nothing changes.

    It begins empty or, if `is_copy`, as a copy of the database at `path`. Use it under `lock_database`:
    it overwrites what an interrupted writer left behind. Raises DatabaseError if the copied database is broken, and
    UnavailableError if the new one cannot be written.
    """

    def __init__(self, path: Path, *, is_copy: bool = False) -> None:
        self._path = path
        self._new_path = path.with_name(path.name + ".new")
        self._new_path.unlink(missing_ok=True)
        self._new_path.with_name(self._new_path.name + "-journal").unlink(missing_ok=True)
        if is_copy:
            shutil.copyfile(path, self._new_path)
        self._sql = sqlite3.connect(self._new_path, isolation_level=None)
        self._parts = self._records = 0
        self._ecosystems: dict[str, int] = {}
        self._is_copy = is_copy
        self._has_new_content = not is_copy

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self.__exit__)
            self._sql.executescript(_PRAGMAS + ("BEGIN;" if self._is_copy else f"{_LAYOUT} BEGIN; {TABLES}"))
            ((self._parts,),) = self._sql.execute("SELECT coalesce(max(id), 0) FROM part")
            ((self._records,),) = self._sql.execute("SELECT coalesce(max(id), 0) FROM record")
            self._ecosystems = {name: number for number, name in self._sql.execute("SELECT id, name FROM ecosystem")}
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sql.close()
        self._new_path.unlink(missing_ok=True)
        if isinstance(error, sqlite3.OperationalError):
            raise UnavailableError(
                f"{self._new_path} cannot be written: {error}", "Free some disk space, and try again."
            ) from error
        if isinstance(error, sqlite3.DatabaseError):
            advice = f"Remove {self._path} and run `dockgate db update` again."
            raise DatabaseError(f"the advisory database {self._path} is broken: {error}", advice) from error

    def add(
        self,
        part: Part,
        statements: Iterable[FeedStatement],
        ecosystem: str | None,
        coverage: PartialCoverage | None,
        limits: Limits = NO_LIMITS,
    ) -> Part:
        """Write a part from its statements and replace the old one; return it with their count and faults.

        `ecosystem` is the one that the part covers completely, or None. `coverage` are the names that a partial
        snapshot covers, None if the part is complete.

        Raises UnreadableError, and keeps the old part, if the statements cannot be read or exceed `limits`.
        """
        self._has_new_content = True
        added_statements = self._add(part, statements)
        self._require(part, added_statements, limits, added_statements.count, added_statements.faults)
        self._forget(self._find_part_number(part), ecosystem)
        part = replace(part, statements=added_statements.count, faults=tuple(added_statements.faults))
        self._describe(added_statements.number, part)
        if ecosystem is not None:
            self._write_coverage(added_statements.number, part, ecosystem, coverage, added_statements.valid)
        return part

    def amend(
        self,
        part: Part,
        statements: Iterable[FeedStatement],
        ecosystem: str | None,
        replaces: frozenset[str],
        limits: Limits = NO_LIMITS,
    ) -> Part:
        """Replace a part's records of the ids `replaces` by these statements, and keep all other records.

        `part` has the previous count and faults; returns it with the new ones. Raises UnreadableError as `add` does,
        but the number of statements is not limited: only a whole export says that many are gone.
        """
        self._has_new_content = True
        added_statements = self._add(part, _select_statements(statements, replaces))
        number = self._find_part_number(part)
        remaining_faults = [fault for fault in part.faults if fault.name.removesuffix(".json") not in replaces]
        faults = (*remaining_faults, *added_statements.faults)
        self._require(part, added_statements, limits, limits.least_statements, faults)
        removed_count = self._erase(number, (ecosystem,), replaces)
        for table in ("record", "text_block"):
            self._sql.execute(f"UPDATE {table} SET part = ? WHERE part = ?", (number, added_statements.number))  # noqa: S608 - named here
        part = replace(part, statements=part.statements - removed_count + added_statements.count, faults=faults)
        self._delete_description(number)
        self._describe(number, part)
        counts = self._sql.execute(
            "SELECT e.name, count(*) FROM ecosystem e JOIN affected a ON a.ecosystem = e.id"
            " JOIN record r ON r.id = a.record WHERE r.part = ? AND r.body ->> 6 = '' GROUP BY e.name",
            (number,),
        )
        self._write_coverage(number, part, ecosystem, None, dict(counts.fetchall()))
        return part

    def keep(self, part: Part) -> None:
        """Keep the old part, with the fingerprint and check time of `part`."""
        check_values = (part.fingerprint, part.checked_at, self._find_part_number(part))
        self._sql.execute("UPDATE part SET fingerprint = ?, checked_at = ? WHERE id = ?", check_values)

    @property
    def has_coverage(self) -> bool:
        """Return whether it covers any ecosystem; without one it is useless."""
        return self._sql.execute("SELECT 1 FROM coverage").fetchone() is not None

    def commit(self) -> str:
        """Replace the database durably, and return the digest of the new one."""
        if self._has_new_content:
            self._sql.executemany("UPDATE record SET alias_groups = ? WHERE id = ?", list(self._list_alias_groups()))
            write_keys(self._sql)
            write_names(self._sql)
        digest = self._compute_digest()
        self._sql.execute("INSERT OR REPLACE INTO meta VALUES ('digest', ?)", (digest,))
        self._sql.execute("COMMIT")
        self._sql.close()
        flush(self._new_path)
        os.replace(self._new_path, self._path)
        flush(self._path.parent)
        return digest

    def _add(self, part: Part, statements: Iterable[FeedStatement]) -> "_AddedStatements":
        """Write statements of a part under a new number."""
        self._parts += 1
        added_statements, last = _AddedStatements(self._parts), ""
        texts = TextWriter(self._sql, added_statements.number)
        try:
            for statement in statements:
                if isinstance(statement, FaultyRecord):
                    added_statements.faults.append(statement)
                    continue
                added_statements.count += not isinstance(statement, SilentRecord | AdvisoryText)
                if isinstance(statement, Advisory):
                    last = self._write_advisory(part, added_statements.number, statement, last)
                    added_statements.valid[statement.ecosystem] += not statement.withdrawn
                elif isinstance(statement, AdvisoryText):
                    texts.add(self._records, statement)
                elif isinstance(statement, CveScore | ExploitedCve | CvePrediction):
                    added_statements.count -= not write_cve(self._sql, part, added_statements.number, statement)
                else:
                    names = [statement.id, statement.aliases, ()]
                    body = [*names, "", "", statement.modified or "", statement.withdrawn or "", False]
                    self._write_record(added_statements.number, dump(body))
        except UnreadableError:
            self._undo(added_statements)
            raise
        texts.flush()
        return added_statements

    def _require(
        self,
        part: Part,
        added_statements: "_AddedStatements",
        limits: Limits,
        statements: int,
        faults: Sequence[FaultyRecord],
    ) -> None:
        """Undo what was added and raise UnreadableError if the part would exceed the limits."""
        uncontained_faults = [fault for fault in faults if not fault.is_contained]
        if statements < limits.least_statements:
            reason = f"{part.title} has {statements:,} statements, and had {limits.statements:,}: too many are missing"
            advice = f"If {part.source} is complete, run `dockgate db update --allow-smaller`."
        elif limits.most_faults is not None and len(uncontained_faults) > limits.most_faults:
            first, count = uncontained_faults[-1], len(uncontained_faults) - limits.most_faults
            omission = f" and {count - 1:,} more" if count > 1 else ""
            reason = f"{part.title} has records that cannot be read: {first.name} ({first.reason}){omission}"
            advice = "The present data is used until it is a day old, then the new data without these records."
        else:
            return
        self._undo(added_statements)
        raise UnreadableError(reason, advice)

    def _undo(self, added_statements: "_AddedStatements") -> None:
        self._forget(added_statements.number, *added_statements.valid)

    def _list_alias_groups(self) -> Iterator[tuple[str, int]]:
        """The alias groups to write, and the number of the record to write them into.

        Two CVEs are two vulnerabilities, even if one record treats them as one. A group with both is therefore not
        used, and neither is one of more than ALIAS_GROUP_LIMIT names, which is a mistake in a record.
        """
        groups = AliasGroups()
        for _, identity, aliases, _, _ in self._list_valid_records():
            if _can_be_one((identity, *aliases)):
                for alias in aliases:
                    groups.join(identity, alias)
        wide = {
            root: tuple(sorted(names))
            for root, names in groups.list_groups().items()
            if len(names) <= ALIAS_GROUP_LIMIT and _can_be_one(names)
        }
        for number, identity, aliases, upstream, present_groups in self._list_valid_records():
            own_names = {identity, *aliases}
            roots = sorted({groups.find_root(name) for name in (*own_names, *upstream)} & wide.keys())
            alias_groups = dump([wide[root] for root in roots if not own_names.issuperset(wide[root])])
            if alias_groups != present_groups:
                yield alias_groups, number

    def _list_valid_records(self) -> Iterator[tuple[int, str, list[str], list[str], str]]:
        """Number, id, aliases, upstream and `alias_groups` of every record that is not withdrawn."""
        for number, body, alias_groups in self._sql.execute("SELECT id, body, alias_groups FROM record"):
            identity, aliases, upstream, *_, withdrawn_at, _ = json.loads(body)
            if not withdrawn_at:
                yield number, identity, aliases, upstream, alias_groups

    def _find_part_number(self, part: Part) -> int:
        """The number of a part in the database, 0 if it has none."""
        row = self._sql.execute("SELECT id FROM part WHERE feed = ? AND name = ?", (part.feed, part.name)).fetchone()
        return int(row[0]) if row else 0

    def _forget(self, number: int, *ecosystems: str | None) -> None:
        """Remove a part about `ecosystems` with all its statements. Nothing if the number is 0."""
        if number:
            self._erase(number, ecosystems, None)
            for table in ("score", "exploited", "predicted", "text_block"):
                self._sql.execute(f"DELETE FROM {table} WHERE part = ?", (number,))  # noqa: S608 - named here
            self._delete_description(number)

    def _erase(self, number: int, ecosystems: Sequence[str | None], ids: frozenset[str] | None) -> int:
        """Remove a part's records, or those with some ids, and return the number of their statements."""
        selection = "record WHERE part = :part"
        selection += "" if ids is None else " AND body ->> 0 IN (SELECT value FROM json_each(:ids))"
        # Naming the ecosystems spares SQLite a search of the whole table.
        ecosystem_ids = [
            number
            for name, number in self._ecosystems.items()
            if any(is_covered_by(name, ecosystem) for ecosystem in ecosystems)
        ]
        parameters = {"part": number, "ids": dump(sorted(ids or ())), "ecosystems": dump(ecosystem_ids)}
        removed_count: int = self._sql.execute(
            "DELETE FROM affected WHERE ecosystem IN (SELECT value FROM json_each(:ecosystems))"  # noqa: S608 - as above
            f" AND record IN (SELECT id FROM {selection})",
            parameters,
        ).rowcount
        if ids is not None:
            numbers = self._sql.execute(f"SELECT id FROM {selection}", parameters)  # noqa: S608 - as above
            erase_texts(self._sql, [number for (number,) in numbers])
        self._sql.execute(f"DELETE FROM {selection}", parameters)  # noqa: S608 - as above
        return removed_count

    def _delete_description(self, number: int) -> None:
        for table, key in (("coverage", "part"), ("fault", "part"), ("part", "id")):
            self._sql.execute(f"DELETE FROM {table} WHERE {key} = ?", (number,))  # noqa: S608 - as above

    def _ensure_ecosystem(self, name: str) -> int:
        if name not in self._ecosystems:
            self._ecosystems[name] = len(self._ecosystems) + 1
            self._sql.execute("INSERT INTO ecosystem (id, name) VALUES (?, ?)", (self._ecosystems[name], name))
        return self._ecosystems[name]

    def _write_advisory(self, part: Part, number: int, row: Advisory, last: str) -> str:
        """Write one advisory, and its record unless it is the `last` one again. Return the record's body."""
        texts = [text or "" for text in (row.summary, row.published, row.modified, row.withdrawn)]
        body = dump([row.id, row.aliases, row.upstream, *texts, row.is_disputed])
        if body != last:
            self._write_record(number, body)
        ranges = [[span.type, span.events] for span in row.ranges]
        ratings = [
            [entry.source, entry.severity.value, encode_score(entry.score), entry.vector or ""] for entry in row.ratings
        ]
        key = self._ensure_ecosystem(row.ecosystem), row.name, self._records, row.module or ""
        content = dump([ranges, row.versions, ratings, row.note or "", row.imports])
        try:
            self._sql.execute("INSERT INTO affected VALUES (?, ?, ?, ?, ?)", (*key, content))
        except sqlite3.IntegrityError as error:
            reason = f"{part.title} has the record {row.id} twice; its source: {part.source}"
            advice = "The database is unchanged. It is updated when the source publishes a correct file."
            raise UnreadableError(reason, advice) from error
        return body

    def _write_record(self, part: int, body: str) -> None:
        self._records += 1
        self._sql.execute("INSERT INTO record VALUES (?, ?, ?, '[]')", (self._records, part, body))

    def _describe(self, number: int, part: Part) -> None:
        self._sql.execute(
            "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, part.feed, part.name, part.version, part.source, part.fingerprint, part.content),
                *(part.checked_at, part.changed_at, part.statements),
            ),
        )
        faults = ((number, fault.name, fault.reason, fault.is_contained) for fault in part.faults)
        self._sql.executemany("INSERT INTO fault VALUES (?, ?, ?, ?)", faults)

    def _write_coverage(
        self, number: int, part: Part, ecosystem: str | None, coverage: PartialCoverage | None, valid: Mapping[str, int]
    ) -> None:
        """Write the coverage. An unreadable record may be about any package: the part is then incomplete."""
        has_faults = any(not fault.is_contained for fault in part.faults)
        if coverage is None:
            rows = [(name, number, not has_faults, "[]") for name in list_covered_ecosystems(valid)]
        else:
            rows = [
                (name, number, False, "[]" if has_faults else dump(names))
                for name, names in coverage.items()
                if is_covered_by(name, ecosystem)
            ]
        self._sql.executemany("INSERT INTO coverage VALUES (?, ?, ?, ?)", rows)

    def _compute_digest(self) -> str:
        """The digest of the parts, their parsers' versions and their coverage, which determine all answers."""
        parts = self._sql.execute("SELECT feed, name, version, content FROM part ORDER BY feed, name").fetchall()
        coverage = self._sql.execute(
            "SELECT c.ecosystem, c.complete, c.names, p.checked_at FROM coverage c JOIN part p ON p.id = c.part"
            " ORDER BY c.ecosystem"
        ).fetchall()
        return compute_digest(canonical.encode([FORMAT, parts, coverage]))


@dataclass(slots=True)
class _AddedStatements:
    """Statements written under the number of a part. `valid` counts those not withdrawn, by ecosystem."""

    number: int
    count: int = 0
    faults: list[FaultyRecord] = field(default_factory=list)
    valid: Counter[str] = field(default_factory=Counter)


def _can_be_one(names: Iterable[str]) -> bool:
    """Return whether these can be names of one vulnerability: at most one of them is a CVE."""
    return sum(name.startswith("CVE-") for name in names) < 2


def _select_statements(statements: Iterable[FeedStatement], ids: frozenset[str]) -> Iterator[FeedStatement]:
    """The statements, with a fault instead of each record that was not requested."""
    for statement in statements:
        if not isinstance(statement, Advisory | AdvisoryText | SilentRecord) or statement.id in ids:
            yield statement
        elif not isinstance(statement, AdvisoryText):
            yield FaultyRecord(statement.id, "it is not the requested record")
