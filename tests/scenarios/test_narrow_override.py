"""What a token that is for one pipeline alone may override, and where an override counts."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem

from dockgate.shared.timestamps import format_time as text

OTHER_REPOSITORY = "elsewhere.example/web"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerSystem]:
    with ServerSystem(tmp_path) as system:
        yield system


class People:
    """Principals of a server, each with a client of its own."""

    def __init__(self, server: ServerSystem) -> None:
        self._clients = ExitStack()
        self._url = f"{server.url}/api/v1"
        first = server.client.post("/principals", json={"name": "root", "roles": ["admin"], "email": "r@x.org"})
        self._admin = self._open_client(first.json()["token"])

    def __call__(self, name: str, role: str, **limits: Any) -> httpx.Client:
        body = {"name": name, "roles": [role], "email": f"{name}@x.org"}
        self._admin.post("/principals", json=body).raise_for_status()
        response = self._admin.post("/tokens", json={"principal": name, **limits}).raise_for_status()
        return self._open_client(response.json()["text"])

    def _open_client(self, token: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=self._url, headers=headers, timeout=30, trust_env=False)
        return self._clients.enter_context(client)

    def close(self) -> None:
        self._clients.close()


@pytest.fixture
def people(server: ServerSystem) -> Iterator[People]:
    with closing(People(server)) as people_of_server:
        yield people_of_server


def test_an_override_counts_for_its_repository_only(server: ServerSystem, people: People) -> None:
    """The name of a pipeline elsewhere is the asker's own word, and one digest may lie in many repositories.

    So a token for pipelines alone asks for no approval, and a person whose role is for them overrides none.
    """
    image = server.plan_foreign_image("web", PlannedFindings({"CRITICAL": 1}))
    server.scan_may_end[image].set()
    ci, security = (
        people("ci", "developer", repositories=[OTHER_REPOSITORY]),
        people("sec", "security", pipelines=["mine"]),
    )
    outside = people("out", "developer", pipelines=["mine"])
    unlimited_client, victim = people("all", "security"), people("victim", "developer")

    def ask(who: httpx.Client, pipeline: str, execution: str) -> str:
        body = {"pipeline": pipeline, "stage": "gate", "execution": execution, "image": f"{OTHER_REPOSITORY}@{image}"}
        return str(who.post("/approvals", json=body).raise_for_status().json()["approval"]["id"])

    def get_state(who: httpx.Client, approval: str) -> str:
        return str(who.get(f"/approvals/{approval}/answer?wait=20").json()["state"])

    override = {"reason": "x", "until": text(server.clock() + timedelta(days=20))}
    body = {"pipeline": "mine", "stage": "gate", "execution": "1", "image": f"{OTHER_REPOSITORY}@{image}"}
    assert outside.post("/approvals", json=body).status_code == 403
    approval = ask(ci, "mine", "1")
    assert get_state(ci, approval) == "Rejected"
    assert security.post(f"/approvals/{approval}/override", json=override).status_code == 404
    override_result = unlimited_client.post(f"/approvals/{approval}/override", json=override).raise_for_status().json()
    assert {waiver["repository"] for waiver in override_result["waivers"]} == {OTHER_REPOSITORY}
    assert get_state(victim, ask(victim, "shop", "1")) == "Approved"


def test_a_token_for_local_repositories_does_not_match_docker_hub(server: ServerSystem, people: People) -> None:
    """A short name is Docker Hub's: "mine/app" is docker.io/mine/app."""
    developer = people("dev", "developer", repositories=["mine/*"])
    body = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": "mine/app:1"}
    assert developer.post("/approvals", json=body).status_code == 403
