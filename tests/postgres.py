"""A Postgres cluster for the tests of this process, and a database for each store.

The programs come from Debian's package. Postgres refuses to run as root: it runs as the user of that package.
"""

import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

import psycopg
from dbos import DBOS
from psycopg.sql import SQL, Identifier
from tests.parts import free_port, until

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
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
        self.folder = Path(tempfile.mkdtemp(prefix="dockgate-postgres-"))
        shutil.chown(self.folder, USER, USER)
        self.port = free_port()
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
        place = [f"-p{self.port}", f"-k{self.folder}", "-D", data]
        if address != "127.0.0.1":
            with (self.folder / "data" / "pg_hba.conf").open("a") as file:
                file.write("host all all samenet trust\n")
        self._command = [*as_user, str(programs / "postgres"), *place, *options]
        self.start()

    def start(self) -> None:
        """Start it, again after `kill`, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd="/")
        until(self._answers, seconds=60)

    def kill(self) -> None:
        """End it at once, as a failing host would; committed data stays."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def freeze(self) -> None:
        """Stop all its processes, as a host does that is paused: connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """The parent first, so that it starts no process meanwhile; one that has just ended needs no signal."""
        os.kill(self.process.pid, number)
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in task.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)

    def url(self, database: str) -> str:
        """The URL of a database, as DOCKGATE_DATABASE_URL takes it."""
        return f"postgresql+psycopg://{USER}@{self.address}:{self.port}/{database}"

    def execute(self, statement: str, *names: str) -> None:
        """Run a statement of administration on these databases."""
        with self._connect() as connection:
            connection.execute(SQL(statement).format(*map(Identifier, names)))

    def stop(self) -> None:
        self.kill()  # it would wait for its clients, and what it has on the disk is deleted
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(f"host={self.address} port={self.port} user={USER} dbname=postgres", autocommit=True)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True


@cache
def cluster() -> Cluster:
    """The cluster of this process, started when it is first needed."""
    made = Cluster()
    atexit.register(made.stop)
    made.execute("CREATE DATABASE {}", TEMPLATE)
    with closing(Database.from_url(made.url(TEMPLATE))) as template:
        migrate(template)
        DBOS.migrate(template.url)
    return made


def database_url(folder: Path) -> str:
    """The URL of the database that belongs to this folder, made with all tables when it is first asked for."""
    name = _database_name(folder)
    with suppress(psycopg.errors.DuplicateDatabase):
        cluster().execute("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, TEMPLATE)
    return cluster().url(name)


def drop_database(folder: Path) -> None:
    """Delete the database of this folder, if it has one, and end its connections."""
    if cluster.cache_info().currsize:
        cluster().execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", _database_name(folder))


def open_postgres(folder: Path) -> Store:
    """Open the store of this folder, its tables on Postgres."""
    return open_store(folder, database_url(folder))


def _database_name(folder: Path) -> str:
    return f"store_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
