"""Probes of Postgres, so that no query waits without end for a host that is frozen.

A frozen host keeps its connections open but sends no results, so a query waits. A long query, or one that waits for a
lock, looks the same. Therefore a thread that has waited for SUSPECT_SECONDS has a second connection opened. If that
fails, its own query fails, too, and further ones fail at once until the database answers again.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, ClassVar

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from dockgate.shared.errors import UsageError
from dockgate.shared.interfaces import override

# A query that takes longer is suspected to wait for a host that is gone. A probe lasts at most PROBE_SECONDS.
SUSPECT_SECONDS, PROBE_SECONDS = 1.0, 4
# Seconds between probes.
PAUSE_SECONDS = 1.0

# A connection to Postgres that was not used for so long may have ended with its server: it is tried before its next
# use.
IDLE_SECONDS = 1.0
_USED_AT = "used_at"

_READY_NONE = 0

_log = logging.getLogger(__name__)


class Liveness:
    """The health of one database. `probe` raises psycopg.Error unless it answers within PROBE_SECONDS."""

    def __init__(self, probe: Callable[[], None], pause_seconds: float = PAUSE_SECONDS) -> None:
        self._probe = probe
        self._pause_seconds = pause_seconds
        self._is_probing = threading.Lock()
        self._answered_at = -pause_seconds
        # Read without a lock, before each use of the database.
        self.is_away = False

    def suspect(self) -> None:
        """Find out in the background whether the database answers, until it does. Returns at once."""
        if time.monotonic() - self._answered_at > self._pause_seconds and self._is_probing.acquire(blocking=False):
            threading.Thread(target=self._watch, name="database probe", daemon=True).start()

    def record_failure(self) -> None:
        """Regard the database as away until a probe finds it: a new connection has failed."""
        self.is_away = True
        self.suspect()

    def _watch(self) -> None:
        try:
            while not self._is_answering():
                time.sleep(self._pause_seconds)
        finally:
            self._is_probing.release()

    def _is_answering(self) -> bool:
        try:
            self._probe()
        except psycopg.Error as error:
            if not self.is_away:
                _log.warning("the database does not answer: %s", error)
            self.is_away = True
            return False
        if self.is_away:
            _log.warning("the database answers again")
        self._answered_at = time.monotonic()
        self.is_away = False
        return True


class WatchedConnection(psycopg.Connection[Any]):
    """A connection whose queries fail when its database has stopped answering.

    Made by `make_watched_connection`.
    """

    liveness: ClassVar[Liveness]

    @override
    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the answer of the server, at most until it is known to be away."""
        if timeout is not None:  # for notifications, which may come late
            return super().wait(gen, interval, timeout)
        return super().wait(self._watch(gen), interval)

    def _watch(self, gen: Any) -> Any:
        waits_since: float | None = None
        try:
            state = next(gen)
            while True:
                ready = yield state
                if ready != _READY_NONE:
                    waits_since = None
                elif waits_since is None:
                    waits_since = time.monotonic()
                elif time.monotonic() - waits_since > SUSPECT_SECONDS:
                    self.liveness.suspect()
                    if self.liveness.is_away:
                        self.pgconn.finish()
                        raise psycopg.OperationalError("the server does not answer")
                state = gen.send(ready)
        except StopIteration as end:
            return end.value


@cache
def make_watched_connection(liveness: Liveness) -> type[WatchedConnection]:
    """The class of a database's connections."""

    class MonitoredConnection(WatchedConnection):
        pass

    MonitoredConnection.liveness = liveness
    return MonitoredConnection


def watch_connections(engine: Engine, liveness: Liveness) -> None:
    """Have the connections of an engine to Postgres fail in time, and be tried after they were idle."""
    event.listen(engine, "do_connect", partial(_connect, liveness))
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", _require_answer)


def _connect(
    liveness: Liveness, _dialect: object, _record: object, arguments: Sequence[Any], options: Mapping[str, Any]
) -> psycopg.Connection[Any]:
    """A new connection to Postgres. It fails at once while the database is known to be away.

    UsageError for a database of another encoding than UTF8.
    """
    if liveness.is_away:
        raise psycopg.OperationalError("the server does not answer")
    try:
        connection = make_watched_connection(liveness).connect(*arguments, **options)
    except psycopg.errors.ConnectionTimeout:
        liveness.record_failure()
        raise
    name, encoding = connection.info.dbname, connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        connection.close()
        raise UsageError(
            f"the database {name} has the encoding {encoding}, which cannot store every text",
            "Create one with UTF8: `createdb --owner dockgate --encoding UTF8 --template template0 dockgate`.",
        )
    return connection


def _note_use(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.info[_USED_AT] = time.monotonic()


def _require_answer(connection: psycopg.Connection[Any], entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Ping the server if the connection was idle for IDLE_SECONDS. DisconnectionError has the pool open another one."""
    if time.monotonic() - entry.info.get(_USED_AT, time.monotonic()) < IDLE_SECONDS:
        return
    try:
        connection.autocommit = True
        connection.execute("")
        connection.autocommit = False
    except psycopg.Error as error:
        raise DisconnectionError(str(error)) from error
