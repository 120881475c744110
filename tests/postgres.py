"""A Postgres cluster for the tests of this process, and a database for each store.

The programs come from Debian's package. Postgres refuses to run as root: it runs as the user of that package.
"""

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from dbos import DBOS
from psycopg.sql import SQL, Composable, Identifier
from tests.parts import wait_until
from tests.ports import find_free_port

from dockgate.store import Store, migrate, open_store
from dockgate.store.engine import Database

USER = "postgres"
# Copied for each store, which is faster than migrating each.
TEMPLATE = "dockgate_template"
# Nothing in it outlives the tests, so nothing has to reach the disk.
OPTIONS = {"fsync": "off", "full_page_writes": "off", "max_connections": "200"}


class Cluster:
    """A running cluster, on loopback or at another address of this host. It ends with this process."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self._connections: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
        self.folder = Path(tempfile.mkdtemp(prefix="dockgate-postgres-"))
        shutil.chown(self.folder, USER, USER)
        self.port = find_free_port()
        as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--pdeathsig=QUIT"]
        data = str(self.folder / "data")
        initialize = [
            str(programs / "initdb"),
            "-D",
            data,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        subprocess.run([*as_user, *initialize], check=True, capture_output=True, cwd="/")
        options = [f"-c{name}={value}" for name, value in {**OPTIONS, "listen_addresses": address}.items()]
        address_options = [f"-p{self.port}", f"-k{self.folder}", "-D", data]
        if address != "127.0.0.1":
            with (self.folder / "data" / "pg_hba.conf").open("a") as file:
                file.write("host all all samenet trust\n")
        self._command = [*as_user, str(programs / "postgres"), *address_options, *options]
        self.start()

    def start(self) -> None:
        """Start it, again after `kill`, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd="/")
        wait_until(self._is_answering, seconds=60)

    def kill(self) -> None:
        """End it at once, as a failing host would; committed data stays."""
        for connection in self._connections.values():
            connection.close()
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def freeze(self) -> None:
        """Stop all its processes, as a host does that is paused: connections stay, and nothing answers."""
        self._send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._send_signal(signal.SIGCONT)

    def _send_signal(self, number: signal.Signals) -> None:
        """The parent first, so that it starts no process meanwhile; one that has just ended needs no signal."""
        os.kill(self.process.pid, number)
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in task.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)

    def make_url(self, database: str, user: str = USER) -> str:
        """The URL of a database, as DOCKGATE_DATABASE_URL takes it."""
        return f"postgresql+psycopg://{user}@{self.address}:{self.port}/{database}"

    def execute_statement(self, statement: str, *names: str) -> None:
        """Run a statement of administration on these databases."""
        self.open_connection().execute(SQL(statement).format(*map(Identifier, names)))

    def open_connection(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that stays open and is returned again: a new one takes ten times as long as a statement."""
        if database not in self._connections or self._connections[database].closed:
            self._connections[database] = self.connect(database)
        return self._connections[database]

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(f"host={self.address} port={self.port} user={USER} dbname={database}", autocommit=True)

    def stop(self) -> None:
        self.kill()  # it would wait for its clients, and what it has on the disk is deleted
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_answering(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@cache
def get_cluster() -> Cluster:
    """The cluster of this process, started when it is first needed."""
    cluster = Cluster()
    atexit.register(cluster.stop)
    cluster.execute_statement("CREATE DATABASE {}", TEMPLATE)
    with closing(Database.from_url(cluster.make_url(TEMPLATE))) as template:
        migrate(template)
        DBOS.migrate(template.url)
    return cluster


class Databases:
    """A database for each folder that asks for one. Emptying one costs a tenth of making one: they are used again.

    Each folder has a role of its own, which is locked when its database is emptied: a thread that outlives its test
    cannot connect. The connection that empties it stays open: a new one would cost more than the rest.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._uses: dict[Path, tuple[str, str]] = {}
        self._unused_names: list[str] = []
        self._counter = itertools.count()
        with cluster.connect(TEMPLATE) as connection:
            self._revisions = connection.execute(_REVISIONS).fetchall()

    def make_url(self, folder: Path) -> str:
        """Return the URL of this folder's database."""
        return self._cluster.make_url(self.name(folder), self._uses[folder][1])

    def name(self, folder: Path) -> str:
        """Return the database of this folder. It is made, with all tables, when it is first asked for."""
        if folder not in self._uses:
            name = self._unused_names.pop() if self._unused_names else self._make()
            role = f"user_{next(self._counter)}"
            self._cluster.execute_statement("CREATE ROLE {} SUPERUSER LOGIN", role)
            self._uses[folder] = name, role
        return self._uses[folder][0]

    def release(self, folder: Path) -> None:
        """Empty the database of this folder, if it has one, for another folder."""
        if folder not in self._uses:
            return
        name, role = self._uses.pop(folder)
        self._cluster.execute_statement("ALTER ROLE {} NOLOGIN", role)
        connection = self._cluster.open_connection(name)
        connection.execute(_END_OTHER_CONNECTIONS)
        if self._empty(connection):
            self._unused_names.append(name)
        else:
            connection.close()
            self._cluster.execute_statement("DROP DATABASE {} WITH (FORCE)", name)

    def _empty(self, connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
        """Delete all rows. False if a test has changed which migrations have run, or dropped tables."""
        with suppress(psycopg.errors.UndefinedTable):
            if connection.execute(_REVISIONS).fetchall() == self._revisions:
                statements: list[Composable] = [SQL("SET session_replication_role = replica")]  # no foreign keys
                for schema, table, is_small in connection.execute(_TABLES_WITH_ROWS):
                    statement = "DELETE FROM {}.{}" if is_small else "TRUNCATE {}.{} CASCADE"
                    statements.append(SQL(statement).format(Identifier(schema), Identifier(table)))
                connection.execute(SQL("; ").join([*statements, SQL(_RESET_SEQUENCES)]))
                return True
        return False

    def _make(self) -> str:
        name = f"store_{next(self._counter)}"
        self._cluster.execute_statement("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG", name, TEMPLATE)
        return name


_END_OTHER_CONNECTIONS = """
    SELECT pg_terminate_backend(pid, 5000)
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# The template has rows in two tables: which migrations have run.
_REVISIONS = "SELECT version_num FROM alembic_version UNION ALL SELECT version::text FROM dbos.dbos_migrations"
# Truncating a table takes 3 ms, for new files of it and its indices. Deleting a few rows takes 0.2 ms.
_TABLES_WITH_ROWS = """
    SELECT nspname, relname, pg_table_size(pg_class.oid) < 262144
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')
        AND relname NOT IN ('alembic_version', 'dbos_migrations') AND pg_relation_size(pg_class.oid) > 0
"""
_RESET_SEQUENCES = """
    SELECT setval(seqrelid, seqstart, false) FROM pg_sequence WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
"""


@cache
def get_databases() -> Databases:
    return Databases(get_cluster())


def make_database_url(folder: Path) -> str:
    """The URL of the database that belongs to this folder, made with all tables when it is first asked for."""
    return get_databases().make_url(folder)


def drop_database(folder: Path) -> None:
    """Delete what the database of this folder has, if there is one, and end its connections."""
    if get_databases.cache_info().currsize:
        get_databases().release(folder)


def open_postgres(folder: Path) -> Store:
    """Open the store of this folder, its tables on Postgres."""
    return open_store(folder, make_database_url(folder))
