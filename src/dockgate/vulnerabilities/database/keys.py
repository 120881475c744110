"""Write the digests by which two databases are compared."""

import json
import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter

from dockgate.shared import canonical
from dockgate.vulnerabilities.database.database import CVE_TABLES
from dockgate.vulnerabilities.model import strip_release

# Bytes of a digest.
_SIZE = 16


def write_keys(sql: sqlite3.Connection) -> None:
    """Write the digests of each package, of each ecosystem and of the tables about CVEs.

    Equal digests mean equal answers (`Database.read_snapshot`), whatever order the records were written in.
    """
    sql.execute("DELETE FROM snapshot_key")
    # A list: SQLite does not promise that a table can be read while it is written.
    sql.executemany("INSERT INTO snapshot_key VALUES (?, ?, ?)", list(_compute_package_digests(sql)))
    rows = sql.execute("SELECT ecosystem, name, digest FROM snapshot_key ORDER BY ecosystem, name").fetchall()
    sql.execute("UPDATE ecosystem SET digest = x''")
    for ecosystem, group in groupby(rows, itemgetter(0)):
        text = b"".join(b"%b\n%b" % (name.encode(), digest) for _, name, digest in group)
        sql.execute("UPDATE ecosystem SET digest = ? WHERE id = ?", (_compute_digest(text), ecosystem))
    for source in CVE_TABLES:
        parts = sql.execute(
            "SELECT feed, name, version, content FROM part"  # noqa: S608 - one of our tables
            f" WHERE id IN (SELECT DISTINCT part FROM {source}) ORDER BY id"
        ).fetchall()
        sql.execute("INSERT OR REPLACE INTO cve_key VALUES (?, ?)", (source, _compute_digest(canonical.encode(parts))))


def write_names(sql: sqlite3.Connection) -> None:
    """Write by which names vulnerabilities are known, and which packages the records of a name are about."""
    packages: dict[int, set[tuple[str, str]]] = {}
    bases = {number: strip_release(name) for number, name in sql.execute("SELECT id, name FROM ecosystem")}
    for ecosystem, name, record in sql.execute("SELECT ecosystem, name, record FROM affected"):
        packages.setdefault(record, set()).add((bases[ecosystem], name))
    by_name: dict[str, set[tuple[str, str]]] = {}
    records: dict[str, list[int]] = {}
    for number, body in sql.execute("SELECT id, body FROM record"):
        identity, aliases, upstream, _, _, _, withdrawn_at, _ = json.loads(body)
        for name in () if withdrawn_at else (identity, *aliases, *upstream):
            by_name.setdefault(name, set()).update(packages.get(number, ()))
            records.setdefault(name, []).append(number)
    sql.execute("DELETE FROM vulnerability")
    sql.executemany(
        "INSERT INTO vulnerability VALUES (?, ?, ?)",
        [(name, dump(sorted(by_name[name])), dump(records[name])) for name in sorted(by_name)],
    )


def _compute_package_digests(sql: sqlite3.Connection) -> Iterator[tuple[int, str, bytes]]:
    records = {
        number: _compute_digest(f"{body}\n{alias_groups}".encode())
        for number, body, alias_groups in sql.execute("SELECT id, body, alias_groups FROM record")
    }
    # The order of the primary key, so nothing is sorted.
    rows = sql.execute("SELECT ecosystem, name, record, module, body FROM affected ORDER BY ecosystem, name")
    for (ecosystem, name), group in groupby(rows, itemgetter(0, 1)):
        texts = [
            b"%b%b\n%b\n" % (records[record], module.encode(), body.encode()) for *_, record, module, body in group
        ]
        texts.sort()  # the numbers of the records depend on the order of the updates
        yield ecosystem, name, _compute_digest(b"".join(texts))


def dump(value: object) -> str:
    """The JSON of a value in a row: without blanks."""
    return json.dumps(value, separators=(",", ":"))


def _compute_digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_SIZE).digest()
