"""Queries of a database that has stopped answering fail soon, and long queries of one that answers do not."""

import threading
import time
from contextlib import closing
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy import Text, cast, func, select
from tests.parts import wait_until
from tests.postgres import Cluster, get_cluster

from dockgate.shared.errors import StoreError, UsageError
from dockgate.store import migrate
from dockgate.store.engine import Database
from dockgate.store.liveness import PROBE_SECONDS, SUSPECT_SECONDS, Liveness


def test_a_database_is_away_until_a_probe_finds_it() -> None:
    is_down = threading.Event()
    probes: list[float] = []

    def probe() -> None:
        probes.append(time.monotonic())
        if is_down.is_set():
            raise psycopg.OperationalError("no answer")

    liveness = Liveness(probe, pause_seconds=0.05)
    liveness.suspect()
    wait_until(lambda: probes)
    assert not liveness.is_away
    is_down.set()
    time.sleep(0.1)
    for _ in range(20):
        liveness.suspect()
    wait_until(lambda: liveness.is_away)
    wait_until(lambda: len(probes) > 3)
    assert all(later - before >= 0.05 for before, later in pairwise(probes))
    is_down.clear()
    wait_until(lambda: not liveness.is_away)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_store_every_text_is_refused(encoding: str) -> None:
    """Such as one that was made in the locale C, where `createdb` chooses SQL_ASCII."""
    cluster, name = get_cluster(), f"encoding_{encoding.lower()}"
    cluster.execute_statement(
        f"CREATE DATABASE {{}} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'", name
    )
    with (
        closing(Database.from_url(cluster.make_url(name))) as database,
        pytest.raises(UsageError, match=f"{name} has the encoding {encoding}") as error,
    ):
        migrate(database)
    assert "--encoding UTF8" in error.value.full_message


def test_missing_permissions_are_an_error_with_advice() -> None:
    cluster = get_cluster()
    cluster.execute_statement("CREATE ROLE {} LOGIN", "guest")
    cluster.execute_statement("CREATE DATABASE {}", "of_others")
    url = cluster.make_url("of_others").replace("postgres@", "guest@")
    with (
        closing(Database.from_url(url)) as database,
        pytest.raises(StoreError, match="permission denied for schema public") as error,
    ):
        migrate(database)
    assert "own the database" in error.value.full_message


@pytest.mark.long
def test_only_queries_of_a_database_that_does_not_answer_are_given_up() -> None:
    cluster = Cluster()
    database = Database.from_url(cluster.make_url("postgres"))
    try:
        with database.read() as connection:
            assert connection.scalar(select(func.length(cast(func.pg_sleep(SUSPECT_SECONDS + 2), Text)))) == 0
        cluster.freeze()
        begin = time.monotonic()
        with pytest.raises(StoreError, match="does not answer"):
            database.ping()
        assert time.monotonic() - begin < 3 * (SUSPECT_SECONDS + PROBE_SECONDS)
        begin = time.monotonic()
        with pytest.raises(StoreError, match="does not answer"):
            database.ping()
        assert time.monotonic() - begin < SUSPECT_SECONDS
        cluster.resume()
        wait_until(lambda: not has_ping_failed(database))
    finally:
        database.close()
        cluster.resume()
        cluster.stop()


def has_ping_failed(database: Database) -> bool:
    try:
        database.ping()
    except StoreError:
        return True
    return False
