"""A deploy that fails: the execution, the list of services and the service say so, reason first, until one succeeds."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.target import MemoryTarget
from tests.parts import wait_until
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

REASON = "web: revision {} did not become healthy"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as system:
        yield system


def _deploy(server: ServerSystem, image: str, state: str) -> str:
    execution = server.request_approval(image)
    server.end_scan(image)
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] == state)
    return execution


def test_the_first_deploy_that_fails_is_not_shown_as_nothing(server: ServerSystem) -> None:
    target = server.adapters.targets["podman"]
    assert isinstance(target, MemoryTarget)
    target.unhealthy_revisions = {2}
    execution = _deploy(server, server.plan_image("web", PlannedFindings({})), "Failed")
    (summary,) = server.get("/services")
    assert summary["failed_deploy"] | {"at": ""} == {"reason": REASON.format(2), "at": "", "execution": execution}
    assert server.get("/services/web")["failed_deploy"] == summary["failed_deploy"]
    with Browser(server) as browser:
        for path in ("/running", "/running/web"):
            page = browser.get(path).text
            assert "Last deploy failed" in page, path
            assert REASON.format(2) in page, path
            assert f'href="/executions/{execution}"' in page, path
            assert "Runs nothing yet" not in page, path
        page = browser.get(f"/executions/{execution}").text
        answer = page.partition('class="answer bad"')[2].partition("</div>")[0]
        assert REASON.format(2) in answer
        assert 'The tasks of before run in <a href="/running/web">' in page


def test_a_failed_deploy_is_shown_beside_what_runs_until_one_succeeds(server: ServerSystem) -> None:
    target = server.adapters.targets["podman"]
    assert isinstance(target, MemoryTarget)
    image = server.plan_image("web", PlannedFindings({}))
    _deploy(server, image, "Succeeded")
    target.unhealthy_revisions = {3}
    failed_execution = server.post("/pipelines/web/executions", {})["id"]
    wait_until(lambda: server.get(f"/executions/{failed_execution}")["execution"]["state"] == "Failed")
    with Browser(server) as browser:
        page = browser.get("/running/web").text
        assert "Last deploy failed" in page
        assert "1 of 1 tasks run" in page
        assert "Running</span></h1>" in page
        next_execution = server.post("/pipelines/web/executions", {})["id"]
        wait_until(lambda: server.get(f"/executions/{next_execution}")["execution"]["state"] == "Succeeded")
        assert "Last deploy failed" not in browser.get("/running/web").text
        (row,) = re.findall("<tbody>(.*?)</tbody>", browser.get("/running").text, re.DOTALL)
        assert "Running" in row
        assert "Last deploy failed" not in row
