"""Read the advisory database. Only the standard library, because every scan imports it."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import cache, cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dockgate.scanner.model import Inventory
from dockgate.shared.errors import DatabaseError
from dockgate.vulnerabilities.database.schema import APPLICATION, FORMAT, read_score
from dockgate.vulnerabilities.model import (
    CATALOGUES,
    Advisory,
    AdvisorySnapshot,
    AdvisoryText,
    Coverage,
    Cve,
    Range,
    Rating,
    Severity,
    is_same_ecosystem,
)

if TYPE_CHECKING:
    from dockgate.vulnerabilities.database.parts import Part

ADVICE = "Run `dockgate db update`, or `dockgate db build --from FOLDER` where there is no network."


class Database:
    """An open database (`AdvisoryReader`). Its answers do not change when another file replaces it.

    Several threads may use it, one at a time.
    """

    def __init__(self, path: Path, sql: sqlite3.Connection, digest: str) -> None:
        self.path = path
        self.digest = digest
        self._sql = sql

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database. Raises DatabaseError if it does not exist, is broken, or has another format."""
        if not path.is_file():
            raise DatabaseError(f"there is no advisory database at {path}", ADVICE)
        with _convert_errors(path), ExitStack() as stack:
            url = f"{_build_uri(path)}?mode=ro&immutable=1"
            sql = stack.enter_context(closing(sqlite3.connect(url, uri=True, check_same_thread=False)))
            ((application,),) = sql.execute("PRAGMA application_id")
            ((version,),) = sql.execute("PRAGMA user_version")
            if application != APPLICATION:
                raise DatabaseError(f"{path} is not an advisory database", ADVICE)
            if version != FORMAT:
                reason = (
                    f"the advisory database {path} has format {version}; this version of Dockgate reads format {FORMAT}"
                )
                raise DatabaseError(reason, ADVICE)
            row = sql.execute("SELECT value FROM meta WHERE key = 'digest'").fetchone()
            if row is None:
                raise DatabaseError(f"the advisory database {path} is incomplete", ADVICE)
            stack.pop_all()
        return cls(path, sql, row[0])

    def close(self) -> None:
        """Close the file. No other method works afterwards."""
        self._sql.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_snapshot(self, inventories: Sequence[Inventory]) -> AdvisorySnapshot:
        """The advisories for these inventories' packages, and the coverage of their ecosystems.

        Advisories are sorted; the coverage of catalogues is there, too. Leaves out packages that a distribution package
        owns: the distribution's advisories cover them.
        """
        names_by_ecosystem: dict[str, set[str]] = {}
        for inventory in inventories:
            for package in inventory.packages:
                if package.ecosystem and not package.owner:
                    names_by_ecosystem.setdefault(package.ecosystem, set()).add(package.source_name)
        with _convert_errors(self.path):
            coverages = self._coverage
            advisories = self._read_advisories(names_by_ecosystem)
            vulnerabilities: set[str] = set()
            for row in advisories:
                vulnerabilities.update((row.id,), row.aliases, row.upstream, *row.alias_groups)
            coverage = [
                replace(entry, names=tuple([name for name in entry.names if name in names]))
                for ecosystem, names in sorted(names_by_ecosystem.items())
                if (entry := coverages.get(ecosystem))
            ]
            cves = tuple(self._find_cves(name for name in vulnerabilities if name.startswith("CVE-")))
            return AdvisorySnapshot(advisories, (*coverage, *self._list_catalogues()), cves)

    def read_catalogues(self, cve_names: Collection[str]) -> AdvisorySnapshot:
        """Return the KEV and EPSS data of these CVEs, and the coverage of both."""
        with _convert_errors(self.path):
            return AdvisorySnapshot((), self._list_catalogues(), tuple(self._find_cves(cve_names)))

    def list_coverage(self) -> Sequence[Coverage]:
        """The coverage of every ecosystem with its release, sorted, then that of the catalogues."""
        with _convert_errors(self.path):
            return (*self._coverage.values(), *self._list_catalogues())

    @cached_property
    def _coverage(self) -> dict[str, Coverage]:
        """The coverage by ecosystem with its release. Read once, because it names thousands of packages."""
        rows = self._sql.execute(
            "SELECT c.ecosystem, c.complete, c.names, p.checked_at FROM coverage c JOIN part p ON p.id = c.part"
            " ORDER BY c.ecosystem"
        ).fetchall()
        return {
            ecosystem: Coverage(ecosystem, bool(complete), tuple(json.loads(names)), checked_at)
            for ecosystem, complete, names, checked_at in rows
        }

    def _list_catalogues(self) -> tuple[Coverage, ...]:
        """The coverage of the feeds about CVEs; complete if all of the feed could be read."""
        rows = self._sql.execute(
            "SELECT feed, id NOT IN (SELECT part FROM fault), checked_at FROM part WHERE feed IN (?, ?) ORDER BY feed",
            CATALOGUES,
        )
        return tuple(Coverage(feed, bool(complete), (), checked_at) for feed, complete, checked_at in rows)

    def list_parts(self) -> "Sequence[Part]":
        """The parts of the database by feed and name: their origin, last check and faults."""
        from dockgate.vulnerabilities.database.parts import Part
        from dockgate.vulnerabilities.feed import FaultyRecord

        with _convert_errors(self.path):
            faults: dict[int, list[FaultyRecord]] = {}
            for part, name, reason, is_contained in self._sql.execute(
                "SELECT part, name, reason, contained FROM fault ORDER BY rowid"
            ):
                faults.setdefault(part, []).append(FaultyRecord(name, reason, bool(is_contained)))
            rows = self._sql.execute(
                "SELECT id, feed, name, version, source, fingerprint, content, checked_at, changed_at, statements"
                " FROM part ORDER BY feed, name"
            ).fetchall()
            return tuple(replace(Part(*row[1:]), faults=tuple(faults.get(row[0], ()))) for row in rows)

    def list_ecosystem_digests(self) -> dict[str, bytes]:
        """A digest of all advisories of each ecosystem, by its name in the database."""
        with _convert_errors(self.path):
            return dict(self._sql.execute("SELECT name, digest FROM ecosystem").fetchall())

    def list_package_digests(self, ecosystem: str) -> dict[str, bytes]:
        """A digest of all advisories of each package of an ecosystem, by its name."""
        with _convert_errors(self.path):
            return dict(self._sql.execute(_PACKAGE_DIGESTS, (ecosystem,)).fetchall())

    def list_cve_digests(self) -> dict[str, bytes]:
        """A digest of the parts that state facts about CVEs, by table: another digest may mean other facts."""
        with _convert_errors(self.path):
            return dict(self._sql.execute("SELECT source, digest FROM cve_key").fetchall())

    def find_cves(self, names: Iterable[str]) -> dict[str, Cve]:
        """The facts about those of the CVEs that the database knows, by name."""
        with _convert_errors(self.path):
            return {cve.id: cve for cve in self._find_cves(names)}

    def find_packages(self, names: Sequence[str]) -> frozenset[tuple[str, str]] | None:
        """The packages (ecosystem without release, source name) that records of these names are about.

        None if no record has one of the names. Records that were withdrawn do not count.
        """
        with _convert_errors(self.path):
            rows = self._sql.execute(_NAME_QUERY, (json.dumps(sorted(names)),)).fetchall()
            return _parse_packages(packages for packages, _ in rows) if rows else None

    def has_package(self, names: Sequence[str]) -> bool:
        """Return whether advisories have a package of one of these names, in any ecosystem.

        As written, or in lower case.
        """
        spellings = sorted({spelling for name in names for spelling in (name, name.lower())})
        with _convert_errors(self.path):
            return self._sql.execute(_HAS_PACKAGE, (json.dumps(spellings),)).fetchone() is not None

    def list_advisories(self, names: Sequence[str]) -> Sequence[Advisory]:
        """The advisories of records of these names, sorted by ecosystem and package.

        Withdrawn records are left out.
        """
        with _convert_errors(self.path):
            rows = self._sql.execute(_NAME_QUERY, (json.dumps(sorted(names)),)).fetchall()
            packages: dict[str, set[str]] = {}
            for ecosystem, name in _parse_packages(packages for packages, _ in rows):
                packages.setdefault(ecosystem, set()).add(name)
            return self._read_advisories(packages, {number for _, records in rows for number in json.loads(records)})

    def list_texts(self, names: Sequence[str]) -> Sequence[AdvisoryText]:
        """The texts of records of these names, sorted by id. Withdrawn records are left out."""
        from dockgate.vulnerabilities.database.texts import read_texts

        with _convert_errors(self.path):
            rows = self._sql.execute(_NAME_QUERY, (json.dumps(sorted(names)),)).fetchall()
            records = sorted({number for _, records in rows for number in json.loads(records)})
            return sorted(read_texts(self._sql, records), key=attrgetter("id"))

    def read_cve_rows(self, source: str) -> dict[str, tuple[object, ...]]:
        """Read the rows of the table `source` for each CVE. If several parts have one, the first part counts."""
        with _convert_errors(self.path):
            rows = self._sql.execute(CVE_TABLES[source]).fetchall()
            return {row[0]: row[1:] for row in rows}

    def list_tables(self) -> Sequence[tuple[str, str, str]]:
        """The schema of the file: type, name and SQL of everything that it declares."""
        with _convert_errors(self.path):
            rows = self._sql.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
            return tuple(rows.fetchall())

    def list_record_times(self, feed: str, name: str) -> dict[str, str]:
        """The `modified` time of every record of a part, by id."""
        with _convert_errors(self.path):
            rows = self._sql.execute(
                "SELECT r.body ->> 0, r.body ->> 5 FROM record r JOIN part p ON p.id = r.part"
                " WHERE p.feed = ? AND p.name = ?",
                (feed, name),
            )
            return dict(rows.fetchall())

    def list_record_days(self, feed: str, name: str) -> set[str]:
        """The days (YYYY-MM-DD) on which a part of a feed brought something.

        Records were published or changed, or CVEs were listed by KEV.
        """
        with _convert_errors(self.path):
            rows = self._sql.execute(_RECORD_DAYS, {"feed": feed, "name": name}).fetchall()
            return {day for (day,) in rows if day}

    def _read_advisories(
        self, requested_names: dict[str, set[str]], records: Collection[int] | None = None
    ) -> tuple[Advisory, ...]:
        """The advisories of these names by ecosystem, sorted. An advisory that matches twice is listed once.

        `records` are the ids of the records that count, None for all: a kernel has thousands of others.
        """
        ecosystems = self._sql.execute("SELECT id, name FROM ecosystem").fetchall()
        names_by_ecosystem: dict[tuple[int, str], set[str]] = {}
        for ecosystem, names in requested_names.items():
            for number, name in ecosystems:
                if is_same_ecosystem(name, ecosystem):
                    names_by_ecosystem.setdefault((number, name), set()).update(names)
        rows: list[tuple[str, str, list[Any], str, list[Any], list[list[str]]]] = []
        query = _PACKAGE_QUERY if records is None else f"{_PACKAGE_QUERY}{_RECORD_CONDITION}"
        record_arguments = [] if records is None else [json.dumps(sorted(records))]
        for (number, ecosystem), names in names_by_ecosystem.items():
            matches = self._sql.execute(query, (number, json.dumps(sorted(names)), *record_arguments)).fetchall()
            arrays = (f"{record},{affected_body},{alias_groups}" for *_, record, affected_body, alias_groups in matches)
            parts = json.loads("[" + ",".join(arrays) + "]")
            rows += [
                (ecosystem, name, record, module, affected_body, alias_groups)
                for (name, module, *_), record, affected_body, alias_groups in zip(
                    matches, parts[::3], parts[1::3], parts[2::3], strict=True
                )
            ]
        return tuple(_build_advisory(*row) for row in sorted(rows))

    def _find_cves(self, names: Iterable[str]) -> Iterator[Cve]:
        """The known facts about these CVEs, sorted. If several parts have one, the first part counts."""
        rows = {cve: row for cve, *row in self._sql.execute(_CVE_QUERY, (json.dumps(sorted(names)),))}
        for cve, (severity, score, vector, since, due, epss, percentile) in rows.items():
            rating = (
                Rating("cve", _severity(severity), read_score(score), vector or None) if severity is not None else None
            )
            yield Cve(cve, rating, since or None, due or None, epss, percentile)


_PACKAGE_QUERY = (
    "SELECT a.name, a.module, r.body, a.body, r.alias_groups FROM affected a JOIN record r ON r.id = a.record"
    " WHERE a.ecosystem = ? AND a.name IN (SELECT value FROM json_each(?))"
)


_RECORD_CONDITION = " AND a.record IN (SELECT value FROM json_each(?))"
_HAS_PACKAGE = (
    "SELECT 1 FROM ecosystem JOIN snapshot_key ON snapshot_key.ecosystem = ecosystem.id"
    " WHERE snapshot_key.name IN (SELECT value FROM json_each(?)) LIMIT 1"
)
_NAME_QUERY = "SELECT packages, records FROM vulnerability WHERE name IN (SELECT value FROM json_each(?))"


def _parse_packages(arrays: Iterable[str]) -> frozenset[tuple[str, str]]:
    """The packages of JSON arrays."""
    return frozenset((ecosystem, name) for array in arrays for ecosystem, name in json.loads(array))


_severity = cache(Severity)


CVE_TABLES = {
    "score": "SELECT cve, severity, score, vector FROM score ORDER BY part DESC",
    "exploited": "SELECT cve, since, due FROM exploited ORDER BY part DESC",
    "predicted": "SELECT cve, epss, percentile FROM predicted ORDER BY part DESC",
}
_PACKAGE_DIGESTS = "SELECT k.name, k.digest FROM snapshot_key k JOIN ecosystem e ON e.id = k.ecosystem WHERE e.name = ?"
_RECORD_DAYS = """
SELECT DISTINCT substr(r.body ->> 5, 1, 10) FROM record r JOIN part p ON p.id = r.part
    WHERE p.feed = :feed AND p.name = :name
UNION SELECT DISTINCT substr(r.body ->> 4, 1, 10) FROM record r JOIN part p ON p.id = r.part
    WHERE p.feed = :feed AND p.name = :name
UNION SELECT DISTINCT substr(e.since, 1, 10) FROM exploited e JOIN part p ON p.id = e.part
    WHERE p.feed = :feed AND p.name = :name"""
_CVE_QUERY = """
SELECT names.value, severity, score, vector, since, due, epss, percentile
FROM json_each(?) names LEFT JOIN score s ON s.cve = names.value LEFT JOIN exploited e ON e.cve = names.value
    LEFT JOIN predicted p ON p.cve = names.value
WHERE s.cve IS NOT NULL OR e.cve IS NOT NULL OR p.cve IS NOT NULL
ORDER BY names.value, s.part DESC, e.part DESC, p.part DESC"""


def _build_advisory(
    ecosystem: str, name: str, record: list[Any], module: str, affected_body: list[Any], alias_groups: list[list[str]]
) -> Advisory:
    identity, aliases, upstream, summary, published_at, modified_at, withdrawn_at, is_disputed = record
    ranges, versions, ratings, note, imports = affected_body
    # Positional arguments: a scan reads thousands, and keywords take 50% longer.
    return Advisory(
        identity,
        ecosystem,
        name,
        tuple([Range(kind, tuple([(event, version) for event, version in events])) for kind, events in ranges]),
        tuple(versions),
        tuple(aliases),
        tuple(upstream),
        tuple(
            [
                Rating(source, _severity(severity), read_score(score), vector or None)
                for source, severity, score, vector in ratings
            ]
        ),
        summary or None,
        published_at or None,
        modified_at or None,
        withdrawn_at or None,
        note or None,
        module or None,
        is_disputed,
        tuple(map(tuple, alias_groups)),
        tuple(imports),
    )


def _build_uri(path: Path) -> str:
    """The URI of a file for SQLite (sqlite.org/uri.html, 3.1).

    `Path.as_uri` takes 3 ms to import what it needs.
    """
    return "file://" + str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


@contextmanager
def _convert_errors(path: Path) -> Iterator[None]:
    """Turn SQLite errors into DatabaseError."""
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        raise DatabaseError(f"the advisory database {path} is broken: {error}", ADVICE) from error
