"""The schema of the advisory database."""

# The application_id in the SQLite file.
APPLICATION = 0x446B4144
# The user_version in the SQLite file. Increase it with every change below: databases of another format are rebuilt.
FORMAT = 9

# JSON arrays: `record.body` of (id, aliases, upstream, summary, published, modified, withdrawn, disputed),
# `affected.body` of (ranges, versions, ratings, note, imports), and `record.alias_groups` as `Advisory.alias_groups`.
# `text_block.body` is compressed (database/texts.py).
# A text that a record lacks is empty here, because rows are sorted and compared; readers make None of it.
# Digests to compare two databases by: `snapshot_key` of all advisories of a package, `ecosystem.digest` of its
# keys, and `cve_key` of the parts that fill the tables about CVEs.
# `vulnerability` has every name of a record that is not withdrawn, the packages that records of the name are about, a
# JSON array of (ecosystem without release, name), and the ids of these records.
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
CREATE TABLE ecosystem (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest BLOB NOT NULL DEFAULT '');
CREATE TABLE record (id INTEGER PRIMARY KEY, part INTEGER NOT NULL, body TEXT NOT NULL, alias_groups TEXT NOT NULL);
CREATE TABLE text_block (first INTEGER PRIMARY KEY, part INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE vulnerability (name TEXT PRIMARY KEY, packages TEXT NOT NULL, records TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE affected (ecosystem INTEGER NOT NULL, name TEXT NOT NULL, record INTEGER NOT NULL,
    module TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (ecosystem, name, record, module)) WITHOUT ROWID;
CREATE TABLE snapshot_key (ecosystem INTEGER NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (ecosystem, name)) WITHOUT ROWID;
CREATE TABLE cve_key (source TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE score (cve TEXT NOT NULL, part INTEGER NOT NULL, severity TEXT NOT NULL, score REAL NOT NULL,
    vector TEXT NOT NULL, PRIMARY KEY (cve, part)) WITHOUT ROWID;
CREATE TABLE exploited (cve TEXT NOT NULL, part INTEGER NOT NULL, since TEXT NOT NULL,
    due TEXT NOT NULL, PRIMARY KEY (cve, part)) WITHOUT ROWID;
CREATE TABLE predicted (cve TEXT NOT NULL, part INTEGER NOT NULL, epss REAL NOT NULL, percentile REAL NOT NULL,
    PRIMARY KEY (cve, part)) WITHOUT ROWID;
"""


def encode_score(score: float | None) -> float:
    """The CVSS score as the tables have it: -1 without a score."""
    return -1.0 if score is None else score


def read_score(stored_value: float) -> float | None:
    """The CVSS score of a table, None without one."""
    return None if stored_value < 0 else stored_value
