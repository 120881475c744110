"""Postgres goes away and comes back: requests are refused in time, nothing is lost, and work goes on by itself.

The Postgres of this process fails: no other test runs in it meanwhile.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.parts import wait_until
from tests.postgres import get_cluster, make_database_url
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

pytestmark = pytest.mark.long
# An HTTP request is answered within this many seconds, however the database fails; on an idle machine within 6.
ANSWER_SECONDS = 15


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path, database="postgres") as system:
        yield system


def test_requests_are_refused_while_the_database_is_away_and_work_goes_on_after_it(server: ServerSystem) -> None:
    cluster, database = get_cluster(), make_database_url(server.folder).rpartition("/")[2]
    image = server.plan_image("web", PlannedFindings())
    execution = server.request_approval(image)
    cluster.kill()
    try:
        begin = time.monotonic()
        answer = slow_http.get(f"{server.url}/api/v1/approvals")
        assert time.monotonic() - begin < ANSWER_SECONDS
        page = slow_http.get(f"{server.url}/executions/{execution}", headers={"Accept": "text/html"})
        assert "text/html" in page.headers["Content-Type"]
        for response in (answer, page):
            assert (response.status_code, response.headers.get("Retry-After")) == (503, "5")
            assert database not in response.text
            assert "127.0.0.1" not in response.text
        assert slow_http.get(f"{server.url}/api/v1/health", timeout=5).status_code == 200
        server.scan_may_end[image].set()
        time.sleep(1)
    finally:
        cluster.start()
    wait_until(lambda: slow_http.get(f"{server.url}/api/v1/approvals").status_code == 200)
    _require_one_answer(server, image, execution)


def test_a_frozen_database_holds_no_request(server: ServerSystem) -> None:
    """Its connections stay, and nothing answers. Requests that start workflows are answered, too."""
    cluster = get_cluster()
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
    _require_one_answer(server, image, execution)


def _require_one_answer(server: ServerSystem, image: str, execution: str) -> None:
    """The execution that waited goes on: its push is announced, and its approval is answered once."""
    server.notify_push(image, "after the failure")
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == "Succeeded")
    assert server.count_answers(execution) == 1
