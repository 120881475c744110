"""Requesters do not choose the policy: developers, approvers and narrowed tokens ask a server for weaker ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.server import ServerSystem

LAX = "max_findings:\n  CRITICAL: 9\n"
NO_LOW = "max_findings:\n  LOW: 0\n"
ASSIGNMENT = """\
kind: PolicyAssignment
name: team
repositories: ["team.example/*"]
policy: no-low
allowed:
  - policies: [lax]
    principals: [ci]
"""


class Asking:
    def __init__(self, server: ServerSystem) -> None:
        self.server = server
        self.tokens = {"admin": server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]}
        server.client.headers["Authorization"] = f"Bearer {self.tokens['admin']}"
        for name, role in {"dev": "developer", "ci": "developer", "sec": "security", "app": "approver"}.items():
            server.post("/principals", {"name": name, "roles": [role], "email": f"{name}@example.org"})
            self.tokens[name] = server.post("/tokens", {"principal": name})["text"]
        narrow = {"principal": "dev", "repositories": ["team.example/*"]}
        self.tokens["narrow"] = server.post("/tokens", narrow)["text"]
        self.tokens["reader"] = server.post("/tokens", {"principal": "dev", "scopes": ["read"]})["text"]
        self.tokens["definer"] = server.post("/tokens", {"principal": "admin", "scopes": ["administer"]})["text"]
        for name, text in {"lax": LAX, "no-low": NO_LOW}.items():
            server.client.put(f"/policies/{name}", content=text).raise_for_status()

    def call(self, who: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return slow_http.request(method, f"{self.server.url}/api/v1{path}", headers=headers, **options)

    def ask(self, who: str, image: str, policy: str = "", execution: str = "1") -> httpx.Response:
        body = {"pipeline": "shop", "stage": "gate", "execution": execution, "image": image}
        return self.call(who, "POST", "/approvals", json=body | ({"policy": policy} if policy else {}))

    def answer(self, response: httpx.Response) -> tuple[str, str]:
        assert response.status_code == 201, response.text
        answer_view = self.server.get(f"/approvals/{response.json()['approval']['id']}/answer?wait=20")
        return answer_view["policy"], answer_view["state"]


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        yield Asking(server)


def plan_low_image(asking: Asking, name: str) -> None:
    """An image that `default` approves and `no-low` rejects."""
    image = asking.server.plan_foreign_image(name, PlannedFindings({"LOW": 1}))
    asking.server.scan_may_end[image].set()


def test_a_requester_can_name_only_the_repositorys_policy(asking: Asking) -> None:
    plan_low_image(asking, "unassigned")
    assert asking.answer(asking.ask("dev", "elsewhere.example/app:unassigned")) == ("default", "Approved")
    assert asking.answer(asking.ask("dev", "elsewhere.example/app:unassigned", "default")) == ("default", "Approved")
    for who in ("dev", "ci", "admin"):
        response = asking.ask(who, "elsewhere.example/app:unassigned", "lax")
        assert (response.status_code, "may not use the policy 'lax'" in response.json()["error"]) == (403, True), who
        assert asking.ask(who, "elsewhere.example/app:unassigned", "reference-2022").status_code == 403
    assert asking.ask("dev", "elsewhere.example/app:unassigned", "nothing").status_code == 404


def test_an_assignment_sets_the_policy_and_allowed_requesters(asking: Asking) -> None:
    plan_low_image(asking, "assigned")
    asking.call("sec", "POST", "/apply", content=ASSIGNMENT).raise_for_status()
    assert asking.answer(asking.ask("dev", "team.example/app:assigned")) == ("no-low", "Rejected")
    for weaker in ("lax", "default", "reference-2022"):
        response = asking.ask("dev", "team.example/app:assigned", weaker)
        assert (response.status_code, "one of: no-low." in response.json()["advice"]) == (403, True), weaker
        assert asking.ask("narrow", "team.example/app:assigned", weaker).status_code == 403
    assert asking.answer(asking.ask("ci", "team.example/app:assigned", "lax", "ci")) == ("lax", "Approved")
    assert asking.ask("ci", "other.example/app:assigned", "lax").status_code == 403
    assignments = asking.call("reader", "GET", "/policy-assignments").json()
    assert [(entry["name"], entry["policy"], entry["changed_by"]) for entry in assignments] == [
        ("team", "no-low", "sec")
    ]


def test_a_changed_assignment_applies_to_a_repeated_request(asking: Asking) -> None:
    plan_low_image(asking, "changing")
    document = "kind: PolicyAssignment\nname: changing\nrepositories: [moving.example/app]\npolicy: {}\n"
    asking.server.apply(document.format("default"))
    first = asking.answer(asking.ask("dev", "moving.example/app:changing"))
    asking.server.apply(document.format("no-low"))
    assert (first, asking.answer(asking.ask("dev", "moving.example/app:changing"))) == (
        ("default", "Approved"),
        ("no-low", "Rejected"),
    )


@pytest.mark.parametrize(
    ("watch_setting", "expected"),
    [
        ("", {"start": "forever", "seconds": None}),
        ("watch: running\n", {"start": "running", "seconds": None}),
        ("watch: 90d after push\n", {"start": "push", "seconds": 90 * 86400}),
        ("watch: 12h after pull\n", {"start": "pull", "seconds": 12 * 3600}),
        ("watch: 1h after run\n", {"start": "run", "seconds": 3600}),
    ],
)
def test_an_assignment_names_owners_and_how_long_images_are_watched(
    asking: Asking, watch_setting: str, expected: dict[str, object]
) -> None:
    document = ASSIGNMENT + watch_setting + "owners: [dev, 'role:security', 'target:chat', dev]\n"
    change = asking.call("sec", "POST", "/apply", content=document).raise_for_status().json()
    assert "No target notifies dev, role:security, target:chat: apply a Target" in change["advice"]
    assignments = asking.call("reader", "GET", "/policy-assignments").json()
    assignment = next(entry for entry in assignments if entry["name"] == "team")
    assert (assignment["owners"], assignment["watch"]) == (["dev", "role:security", "target:chat"], expected)
    assert assignment["owners_without_target"] == assignment["owners"]


@pytest.mark.parametrize("who", ["dev", "ci", "app", "reader", "narrow", "definer"])
def test_assigning_policies_needs_the_permission_accept(asking: Asking, who: str) -> None:
    weaker = ASSIGNMENT.replace("policy: no-low", "policy: lax")
    assert asking.call(who, "POST", "/apply", content=weaker).status_code == 403
    assert asking.call(who, "DELETE", "/policy-assignments/team").status_code == 403
    if who != "definer":
        return
    pipeline = PIPELINE.format(name="web", repository="web", service="web", timeout="7d")
    named_pipeline = pipeline.replace("timeout: 7d", "timeout: 7d\n        policy: lax")
    response = asking.call(who, "POST", "/apply", content=named_pipeline)
    assert (response.status_code, "with the permission accept" in response.json()["advice"]) == (403, True)


@pytest.mark.parametrize(
    ("wrong", "status", "expected"),
    [
        (ASSIGNMENT.replace("no-low", "nothing"), 400, "no policy 'nothing'"),
        (ASSIGNMENT.replace("lax", "nothing"), 400, "no policy 'nothing'"),
        (ASSIGNMENT.replace("name: team", "name: twice"), 409, "names the repositories 'team.example/*' already"),
        (ASSIGNMENT.replace("team.example/*", "Team.example/*"), 400, "repositories"),
        (ASSIGNMENT.replace("team.example/*", "index.docker.io/team/*"), 400, "write docker.io instead of"),
        (ASSIGNMENT.replace("team.example/*", "team.example:443/*"), 400, "write team.example instead of"),
        (ASSIGNMENT.replace("team.example/*", "localhost:5000/**"), 400, "write 127.0.0.1:5000 instead of"),
        (ASSIGNMENT.replace("allowed:", "allows:"), 400, "unknown key 'allows'"),
        (ASSIGNMENT.replace("principals: [ci]", "people: [ci]"), 400, "unknown key 'people'"),
        (ASSIGNMENT + "owners: [ghost]\n", 400, "there is no active principal 'ghost'"),
        (ASSIGNMENT + "owners: ['role:king']\n", 400, "owners.0"),
        (ASSIGNMENT + "owners: ['target:']\n", 400, "owners.0"),
        (ASSIGNMENT + "watch: sometimes\n", 400, "watch: write forever, running, or a time"),
        (ASSIGNMENT + "watch: 30d after build\n", 400, "watch: write forever"),
        (ASSIGNMENT + "watch: 1s after push\n", 400, "watch: write forever"),
        (ASSIGNMENT + "watch: 3651d after push\n", 400, "watch: write forever"),
        (ASSIGNMENT + "watch: 30\n", 400, "watch: write forever"),
    ],
)
def test_an_invalid_assignment_is_refused(asking: Asking, wrong: str, status: int, expected: str) -> None:
    asking.call("sec", "POST", "/apply", content=ASSIGNMENT).raise_for_status()
    response = asking.call("sec", "POST", "/apply", content=wrong)
    assert (response.status_code, expected in response.json()["error"]) == (status, True), response.text


def test_an_assigned_policy_overrides_the_pipelines_policy(asking: Asking) -> None:
    server = asking.server
    image = server.plan_image("bound", PlannedFindings({"LOW": 1}))
    server.apply("kind: PolicyAssignment\nname: bound\nrepositories: [bound/app]\npolicy: no-low\n")
    execution = server.request_approval(image)
    server.end_scan(image)
    assert wait_for_end(server, execution) == "Failed"
    assert server._find_approval(execution)["policy"] == "no-low"
    text = PIPELINE.format(name="bound", repository="bound", service="bound", timeout="7d")
    server.apply(text.replace("timeout: 7d", "timeout: 7d\n        policy: lax"))
    weaker = server.post("/pipelines/bound/executions")["id"]
    assert wait_for_end(server, weaker) == "Failed"
    reasons = [
        action["reason"] for stage in server.get(f"/executions/{weaker}")["stages"] for action in stage["actions"]
    ]
    assert any(
        "names the policy 'lax', but the policy of bound/app is 'no-low'" in (reason or "") for reason in reasons
    )


def test_an_approval_in_a_repository_with_a_weaker_policy_deploys_nothing_in_another(asking: Asking) -> None:
    """The same digest, pushed to two repositories: a deploy without an approval of its own is judged by its own."""
    server = asking.server
    image = server.plan_image("borrowing", PlannedFindings({"LOW": 1}))
    server.scan_may_end[image].set()
    deploy_without_approval(server, "borrowing")
    assert asking.answer(asking.ask("dev", f"weak.example/app@{image}")) == ("default", "Approved")
    assert wait_for_end(server, server.post("/pipelines/borrowing/executions")["id"]) == "Succeeded"
    server.apply("kind: PolicyAssignment\nname: borrowing\nrepositories: [borrowing/app]\npolicy: no-low\n")
    execution = server.post("/pipelines/borrowing/executions")["id"]
    assert wait_for_end(server, execution) == "Failed"
    actions = [action for stage in server.get(f"/executions/{execution}")["stages"] for action in stage["actions"]]
    assert "is not approved by the policy 'no-low'" in actions[-1]["reason"]


def test_a_policy_allowed_to_another_principal_is_not_borrowed_from_another_repository(asking: Asking) -> None:
    """The repository's assignment allows the policy to one principal; another one was approved by it elsewhere."""
    server = asking.server
    image = server.plan_image("lent", PlannedFindings({"LOW": 1}))
    server.scan_may_end[image].set()
    deploy_without_approval(server, "lent")
    allowed_policies = "allowed: [{policies: [default], principals: [ci]}]\n"
    server.apply(f"kind: PolicyAssignment\nname: lent\nrepositories: [lent/app]\npolicy: no-low\n{allowed_policies}")
    assert asking.answer(asking.ask("dev", f"weak.example/app@{image}")) == ("default", "Approved")
    execution = server.post("/pipelines/lent/executions")["id"]
    assert wait_for_end(server, execution) == "Failed"
    actions = [action for stage in server.get(f"/executions/{execution}")["stages"] for action in stage["actions"]]
    assert "is not approved by the policy 'no-low'" in actions[-1]["reason"]


def test_a_digest_without_a_build_is_refused_if_several_repositories_have_it(asking: Asking) -> None:
    """Who copies it to another repository does not choose whose policy and waivers count."""
    server = asking.server
    image = server.plan_foreign_image("copied-by-hand", PlannedFindings({"LOW": 1}))
    server.scan_may_end[image].set()
    for name in ("team/literal", "a/copy"):
        pushes = server.services.registries.notifications.confirmation.pushes
        pushes.record(f"literal-{name}", name, image, "1")
    server.plan_image("literal", PlannedFindings())
    text = PIPELINE.format(name="literal", repository="literal", service="literal", timeout="7d")
    server.apply(text.replace("#{BuildVariables.IMAGE_DIGEST}", image))
    execution = server.post("/pipelines/literal/executions")["id"]
    assert wait_for_end(server, execution) == "Failed"
    actions = [action for stage in server.get(f"/executions/{execution}")["stages"] for action in stage["actions"]]
    assert any("was pushed to 2 repositories: a/copy, team/literal" in (action["reason"] or "") for action in actions)


def deploy_without_approval(server: ServerSystem, name: str) -> None:
    """Let the pipeline of this name deploy without an approval action."""
    text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
    before, _, after = text.partition("  - name: ContainerVulnerabilityAssessment\n")
    server.apply(SERVICE.format(name=name, count=1))
    server.apply(before + after[after.index("  - name: Deploy") :])


def wait_for_end(server: ServerSystem, execution: str) -> str:
    def read_final_state() -> str:
        answer_view: str = server.get(f"/executions/{execution}")["execution"]["state"]
        return answer_view if answer_view in ("Failed", "Succeeded") else ""

    return wait_until(read_final_state)
