"""Writes local.sqlite.gz as pkg writes its database: the tables and columns that are read, after libpkg/pkgdb.c."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGES = [
    (1, "base/FreeBSD-runtime", "FreeBSD-runtime", "14.3p2", ("/bin/freebsd-version", "/bin/sh")),
    (3, "ftp/curl", "curl", "8.14.1_1", ("/usr/local/bin/curl", "/usr/local/lib/libcurl.so.4")),
    (4, "ports-mgmt/pkg", "pkg", "2.2.1", ("/usr/local/sbin/pkg",)),
    (300, "security/libressl-devel", "libressl", "3.9.2,1", ()),
]


def main() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "local.sqlite")
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(
                "CREATE TABLE packages (id INTEGER PRIMARY KEY, origin TEXT NOT NULL, name TEXT NOT NULL,"
                " version TEXT NOT NULL, comment TEXT NOT NULL)"
            )
            database.execute(
                "CREATE TABLE files (path TEXT PRIMARY KEY, sha256 TEXT, uname TEXT, gname TEXT, perm INTEGER,"
                " fflags INTEGER, mtime INTEGER, symlink_target TEXT, package_id INTEGER REFERENCES packages(id))"
            )
            for *package, files in PACKAGES:
                database.execute("INSERT INTO packages VALUES (?, ?, ?, ?, ?)", (*package, "A package"))
                for file in files:
                    values = (file, "1$0a", "root", "wheel", 0o755, 0, 1_750_000_000, None, package[0])
                    database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            database.commit()
        Path(__file__).with_name("local.sqlite.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    main()
