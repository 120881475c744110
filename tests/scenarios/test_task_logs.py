"""The log of a task: shown to callers who may see its service, and never trusted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.fakes.target import MemoryTarget
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

HOSTILE = "started\n<script>alert(1)</script> \x1b[31mred\x1b[0m \x1b]0;title\x07\nlast\n"
API = "/services/web/tasks/{}/log"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as system:
        system.deploy_image(system.plan_image("web", PlannedFindings({})))
        yield system


@pytest.fixture
def task(server: ServerSystem) -> str:
    """The id of the only task, which has written something."""
    target = server.adapters.targets["podman"]
    assert isinstance(target, MemoryTarget)
    (task,) = server.get("/services/web")["tasks"]
    target.logs[task["id"]] = HOSTILE
    return str(task["id"])


def test_the_last_lines_are_shown_as_text(server: ServerSystem, task: str) -> None:
    assert server.get(API.format(task))["lines"] == HOSTILE.removesuffix("\n").split("\n")
    assert server.get(API.format(task) + "?lines=1")["lines"] == ["last"]
    with Browser(server) as browser:
        assert f'href="/running/web/tasks/{task}"' in browser.get("/running/web").text
        page = browser.get(f"/running/web/tasks/{task}").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\x07" not in page


def test_the_last_run_of_a_health_check_is_shown_with_its_output(server: ServerSystem, task: str) -> None:
    target = server.adapters.targets["podman"]
    assert isinstance(target, MemoryTarget)
    probe = server.get("/services/web")["tasks"][0]["probe"]
    assert (probe["is_healthy"], probe["failures"], probe["output"]) == (True, 0, "HTTP/1.1 200 OK")
    with Browser(server) as browser:
        assert "Passes" in browser.get("/running/web").text
        target.failed_probe = replace(target.failed_probe, output="HTTP/1.1 503\n<script>alert(2)</script>\u202e")
        target.hang_task(task)
        # What hangs is soon restarted: until then, both pages say why.
        page, service = browser.get(f"/running/web/tasks/{task}").text, browser.get("/running/web").text
    assert "Fails" in page
    assert "3 failures" in page
    assert "GET :8080/, every 1 s, at most 5 s, 20 s to start" in page
    assert "&lt;script&gt;alert(2)" in page
    assert "\u202e" not in page
    assert "HTTP/1.1 503" in service
    assert "alert(2)" not in service


def test_a_task_of_another_service_is_not_found(server: ServerSystem, task: str) -> None:
    server.deploy_image(server.plan_image("other", PlannedFindings({})))
    for path in (API.format("nothing"), f"/services/other/tasks/{task}/log", f"/services/none/tasks/{task}/log"):
        assert server.client.get(path).status_code == 404, path
    assert server.client.get(API.format(task) + "?lines=0").status_code == 422


def test_a_caller_limited_to_other_repositories_sees_no_log(server: ServerSystem, task: str) -> None:
    admin = server.post("/principals", {"name": "ada", "roles": ["admin"]})["token"]
    server.client.headers["Authorization"] = f"Bearer {admin}"
    status = {}
    for repositories in ("web/*", "other/*"):
        token = server.post("/tokens", {"principal": "ada", "repositories": [repositories]})["text"]
        url, headers = f"{server.url}/api/v1{API.format(task)}", {"Authorization": f"Bearer {token}"}
        status[repositories] = httpx.get(url, headers=headers).status_code
    assert status == {"web/*": 200, "other/*": 404}
