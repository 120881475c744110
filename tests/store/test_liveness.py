"""Queries of a database that has stopped answering fail soon, and long queries of one that answers do not."""

import threading
import time
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy import Text, cast, func, select
from tests.parts import wait_until
from tests.postgres import Cluster

from dockgate.shared.errors import StoreError
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
