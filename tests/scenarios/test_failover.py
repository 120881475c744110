"""Postgres goes away and comes back: requests are refused in time, nothing is lost, and work goes on by itself."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.parts import wait_until
from tests.postgres import Cluster
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.store import open_store

pytestmark = pytest.mark.long
# An HTTP request is answered within this many seconds, however the database fails; on an idle machine within 6.
ANSWER_SECONDS = 15


def test_requests_are_refused_while_the_database_is_away_and_work_goes_on_after_it(tmp_path: Path) -> None:
    cluster = Cluster()
    try:
        cluster.execute_statement("CREATE DATABASE {}", "failing")
        with ServerSystem(
            tmp_path, open_store=lambda folder: open_store(folder, cluster.make_url("failing"))
        ) as server:
            image = server.plan_image("web", PlannedFindings())
            execution = server.request_approval(image)
            cluster.kill()
            begin = time.monotonic()
            answer = slow_http.get(f"{server.url}/api/v1/approvals")
            assert time.monotonic() - begin < ANSWER_SECONDS
            page = slow_http.get(f"{server.url}/executions/{execution}", headers={"Accept": "text/html"})
            assert "text/html" in page.headers["Content-Type"]
            for response in (answer, page):
                assert (response.status_code, response.headers.get("Retry-After")) == (503, "5")
                assert "failing" not in response.text  # the database's name
                assert "127.0.0.1" not in response.text
            assert slow_http.get(f"{server.url}/api/v1/health", timeout=5).status_code == 200
            server.scan_may_end[image].set()
            time.sleep(1)
            cluster.start()
            wait_until(lambda: slow_http.get(f"{server.url}/api/v1/approvals").status_code == 200)
            server.notify_push(image, "after the failure")
            wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
            assert server.count_answers(execution) == 1
    finally:
        cluster.stop()


def test_a_frozen_database_holds_no_request(tmp_path: Path) -> None:
    """Its connections stay, and nothing answers. Requests that start workflows are answered, too."""
    cluster = Cluster()
    try:
        cluster.execute_statement("CREATE DATABASE {}", "frozen")
        with ServerSystem(tmp_path, open_store=lambda folder: open_store(folder, cluster.make_url("frozen"))) as server:
            image = server.plan_image("web", PlannedFindings())
            execution = server.request_approval(image)
            calls: list[tuple[str, str]] = [
                ("GET", "approvals"),
                ("GET", "workers"),
                ("POST", "pipelines/web/executions"),
                ("GET", f"executions/{execution}"),
                ("POST", f"executions/{execution}/stop"),
            ]

            def ask(method: str, path: str) -> tuple[float, httpx.Response]:
                begin = time.monotonic()
                answer = slow_http.request(method, f"{server.url}/api/v1/{path}")
                return time.monotonic() - begin, answer

            cluster.freeze()
            try:
                for number in range(2):
                    with ThreadPoolExecutor(20) as pool:
                        answers = list(pool.map(lambda call: ask(*call), calls * 4))
                    for seconds, answer in answers:
                        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.text
                        assert seconds < (ANSWER_SECONDS if number == 0 else ANSWER_SECONDS / 2)
                assert slow_http.get(f"{server.url}/api/v1/health", timeout=5).status_code == 200
            finally:
                cluster.resume()
            wait_until(lambda: ask("GET", "approvals")[1].status_code == 200)
            server.scan_may_end[image].set()
            server.notify_push(image, "after the failure")
            wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
            assert server.count_answers(execution) == 1
    finally:
        cluster.stop()
