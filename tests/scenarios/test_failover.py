"""Postgres goes away and comes back: requests are refused in time, nothing is lost, and work goes on by itself."""

import time
from pathlib import Path

import httpx
import pytest
from tests.postgres import Cluster
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import until
from tests.scenarios.server import ServerSystem

from dockgate.store import open_store

pytestmark = pytest.mark.long
# An HTTP request is answered within this many seconds, however the database fails.
ANSWER_SECONDS = 15


def test_requests_are_refused_while_the_database_is_away_and_work_goes_on_after_it(tmp_path: Path) -> None:
    cluster = Cluster()
    try:
        cluster.execute("CREATE DATABASE {}", "failing")
        with ServerSystem(tmp_path, open_store=lambda folder: open_store(folder, cluster.url("failing"))) as server:
            image = server.image("web", PlannedFindings())
            execution = server.approval(image)
            cluster.kill()
            begin = time.monotonic()
            answer = httpx.get(f"{server.url}/api/v1/approvals", timeout=60)
            assert time.monotonic() - begin < ANSWER_SECONDS
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert httpx.get(f"{server.url}/api/v1/health", timeout=5).status_code == 200
            server.scan_may_end[image].set()
            time.sleep(1)
            cluster.start()
            until(lambda: httpx.get(f"{server.url}/api/v1/approvals", timeout=60).status_code == 200)
            server.notify(image, "after the failure")
            until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
            assert server.answers_sent(execution) == 1
    finally:
        cluster.stop()
