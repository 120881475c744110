"""Policies kept on the server: changed by those who may, in versions, and by what a repository asks of itself on
top."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.repository_host import MemoryHost
from tests.parts import wait_until
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE, SERVICE
from tests.scenarios.planned_images import make_advisory
from tests.scenarios.server import ServerSystem

from dockgate.delivery.model import ExecutionId
from dockgate.gate.policy_reference import PolicyReference
from dockgate.shared.errors import BusyError
from dockgate.vulnerabilities.model import Severity

STRICT = "max_findings:\n  LOW: 0\n"
LAX = "max_findings:\n  LOW: 9\n"
RELAXED = STRICT + "evidence:\n  unread: allow\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSystem]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as system:
        yield system


def put(server: ServerSystem, name: str, text: str, **options: Any) -> httpx.Response:
    return server.client.put(f"/policies/{name}", content=text, **options)


def plan_gated_image(
    server: ServerSystem, name: str, findings: PlannedFindings, policy: str, requested_policy: str = ""
) -> str:
    """An image whose pipeline is gated by the policy, out of a repository that asks so."""
    image = server.plan_image(name, findings)
    text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
    server.apply(text.replace("timeout: 7d", f"timeout: 7d\n        policy: {policy}"))
    ask(server, name, requested_policy)
    return image


def list_recorded_verdicts(server: ServerSystem, image: str) -> list[dict[str, str]]:
    """The recorded verdicts on an image, newest first, without those on its push: these come a moment later."""
    records: list[dict[str, str]] = server.get(f"/images/{image}")["verdicts"]
    return [record for record in records if not record["cause"].startswith("push/")]


def ask(server: ServerSystem, repository: str, requested_policy: str) -> None:
    host = server.services.sources.host
    assert isinstance(host, MemoryHost)
    files = {"Dockerfile": "FROM scratch\n"} | ({".dockgate.yaml": requested_policy} if requested_policy else {})
    host.push(repository, files)


def wait_for_end(server: ServerSystem, execution: ExecutionId) -> Any:
    wait_until(lambda: server.get(f"/executions/{execution}")["execution"]["state"] in ("Failed", "Succeeded"))
    return server.get(f"/executions/{execution}")["execution"]


def run(server: ServerSystem, name: str) -> Any:
    return wait_for_end(server, server.post(f"/pipelines/{name}/executions")["id"])


def get_risk(server: ServerSystem, name: str) -> str:
    risk: str = server.get(f"/services/{name}")["service"]["at_risk"] or ""
    return risk


# --- in versions -----------------------------------------------------------------------------------------------------


def test_policy_versions_have_author_and_comment(server: ServerSystem) -> None:
    first = put(server, "kept", LAX, params={"comment": "to begin with"}).json()
    assert (first["version"], first["changed_by"], first["comment"]) == (1, "local", "to begin with")
    assert put(server, "kept", LAX).json() == first
    second = put(server, "kept", STRICT)
    assert second.headers["ETag"] == '"2"'
    assert server.get("/policies/kept")["text"] == STRICT
    assert server.get("/policies/kept?version=1") == first
    assert [entry["version"] for entry in server.get("/policies/kept/history")] == [2, 1]
    assert {"default", "kept"} <= {entry["name"] for entry in server.get("/policies")}


def test_a_conditional_change_needs_the_present_version(server: ServerSystem) -> None:
    assert put(server, "seen", LAX, headers={"If-None-Match": "*"}).status_code == 200
    response = put(server, "seen", STRICT, headers={"If-None-Match": "*"})
    assert response.status_code == 412
    assert "is at version 1" in response.json()["error"]
    assert put(server, "seen", STRICT, headers={"If-Match": '"1"'}).json()["version"] == 2
    assert put(server, "seen", LAX, headers={"If-Match": '"1"'}).status_code == 412
    assert put(server, "seen", LAX, headers={"If-Match": "yesterday"}).status_code == 400
    assert server.client.delete("/policies/seen", headers={"If-Match": "1"}).status_code == 412
    assert server.client.delete("/policies/seen", headers={"If-Match": "2"}).json()["is_removed"]


def test_built_in_policies_cannot_be_removed(server: ServerSystem) -> None:
    builtin = server.get("/policies/default")
    assert (builtin["version"], builtin["changed_by"]) == (0, "dockgate")
    assert "only_fixable" in builtin["text"]
    assert [entry["version"] for entry in server.get("/policies/default/history")] == [0]
    assert put(server, "default", LAX).status_code == 409
    assert server.client.delete("/policies/default").status_code == 409
    apply = server.client.post("/apply", content="kind: Policy\nname: default\nrules:\n  malicious: {}\n")
    assert apply.status_code == 409
    assert server.get("/policies/default") == builtin


def test_an_error_in_a_policy_has_its_line_and_the_allowed_values(server: ServerSystem) -> None:
    answer = put(server, "wrong", "# so\nmax_findings:\n  HIHG: 0\n")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("wrong.yaml:3: max_findings.HIHG: ")
    assert "CRITICAL" in answer.text
    for name in ("schema", "try", "a+b", "-x", "a" * 49):
        assert put(server, name, LAX).status_code == 400, name
    assert put(server, "wrong", LAX, params={"comment": "x" * 1001}).status_code == 400
    assert server.client.get("/policies/wrong").status_code == 404
    assert server.client.get("/policies/wrong/history").status_code == 404


def test_a_policy_document_is_applied(server: ServerSystem) -> None:
    text = "kind: Policy\nname: applied\nrules:\n  max_findings:\n    HIGH: 0\n"
    answers = [server.client.post("/apply", content=text).json() for _ in range(2)]
    assert [answer["change"] for answer in answers] == ["created", "unchanged"]
    assert server.client.post("/apply", content=text.replace("0", "1")).json()["change"] == "updated"
    assert server.get("/policies/applied")["text"] == text.replace("0", "1")
    wrong = server.client.post("/apply?name=p.yaml", content=text.replace("HIGH", "HIHG"))
    assert wrong.json()["error"].startswith("p.yaml:5: rules.max_findings.HIHG")


def test_a_policy_in_use_cannot_be_removed(server: ServerSystem) -> None:
    put(server, "used", LAX)
    plan_gated_image(server, "user", PlannedFindings(), "used")
    response = server.client.delete("/policies/used")
    assert response.status_code == 409
    assert "the pipeline user" in response.json()["error"]


# --- and what is judged by them --------------------------------------------------------------------------------------


def test_running_services_are_judged_after_a_policy_change_and_keep_running(server: ServerSystem) -> None:
    put(server, "changing", LAX)
    image = plan_gated_image(server, "judged-again", PlannedFindings({"LOW": 2}), "changing")
    server.deploy_image(image)
    records = server.get(f"/images/{image}")["verdicts"]
    digests = [record["digest"] for record in records if record["policy"] == "changing"]
    put(server, "changing", STRICT)
    wait_until(lambda: get_risk(server, "judged-again"))
    assert "changing: 2 LOW findings" in get_risk(server, "judged-again")
    assert server.is_running(image)
    assert server.redeploy_image(image) == "Refused"
    put(server, "changing", LAX)
    wait_until(lambda: not get_risk(server, "judged-again"))
    assert server.redeploy_image(image) == "Deployed"
    versions = {entry["digest"] for entry in server.get("/policies/changing/history")}
    case = server.store.verdicts.get_case(digests[-1])
    assert case.policy.digest in versions
    assert case.policy.rules["max_findings"][0]["LOW"] == 9


def test_a_removed_policy_blocks(server: ServerSystem) -> None:
    put(server, "going", LAX)
    image = plan_gated_image(server, "left-behind", PlannedFindings(), "going")
    server.deploy_image(image)
    server.apply(PIPELINE.format(name="left-behind", repository="left-behind", service="left-behind", timeout="7d"))
    assert server.client.delete("/policies/going").status_code == 200
    wait_until(lambda: server.get("/services/left-behind")["service"]["cannot_judge"])
    assert "removed" in server.get("/services/left-behind")["service"]["cannot_judge"]
    assert not get_risk(server, "left-behind")
    assert server.is_running(image)
    record = next(verdict for verdict in server.get(f"/images/{image}")["verdicts"] if verdict["policy"] == "going")
    assert server.store.verdicts.get_case(record["digest"]).policy.name == "going"
    assert run(server, "left-behind")["state"] == "Succeeded"  # by the policy that the pipeline names now
    wait_until(lambda: not server.get("/services/left-behind")["service"]["cannot_judge"])


def test_an_approval_is_rejected_when_its_policy_is_removed(server: ServerSystem) -> None:
    put(server, "vanishing", LAX)
    image = plan_gated_image(server, "waiter", PlannedFindings(), "vanishing")
    execution = server.request_approval(image)
    server.apply(PIPELINE.format(name="waiter", repository="waiter", service="waiter", timeout="7d"))
    assert "the approval waiter-1/" in server.client.delete("/policies/vanishing").json()["error"]
    server.end_scan(image)
    assert server.answer(execution) == "Approved"


# --- what a repository asks ------------------------------------------------------------------------------------------


def test_a_repository_can_require_a_stricter_policy(server: ServerSystem) -> None:
    image = plan_gated_image(
        server, "modest", PlannedFindings({"LOW": 2}), "default", "policy:\n  max_findings:\n    LOW: 1\n"
    )
    execution = server.request_approval(image)
    server.end_scan(image)
    assert server.answer(execution) == "Rejected"
    assert "2 LOW findings, at most 1 allowed" in server.read_summary(execution)
    approval = server.get(f"/approvals/{execution}/ContainerVulnerabilityAssessment/Approval/1")
    reference = PolicyReference(approval["policy"])
    assert reference.server_policy == "default"
    assert reference.repository_digest
    (record,) = list_recorded_verdicts(server, image)
    assert record["policy"] == approval["policy"]
    policy_used = server.store.verdicts.get_case(record["digest"]).policy
    assert [use["LOW"] for use in policy_used.rules["max_findings"]] == [15, 1]
    assert server.store.policies.read_by_digest(reference.repository_digest).rules.keys() == {"max_findings"}


def test_a_repositorys_policy_applies_to_deploys_and_running_services(server: ServerSystem) -> None:
    requested_policy = "policy:\n  max_findings:\n    LOW: 2\n"
    image = plan_gated_image(server, "watched", PlannedFindings({"LOW": 2}), "default", requested_policy)
    server.deploy_image(image)
    one_more = make_advisory("watched", Severity.LOW, "2")  # within the server's policy, above what was asked
    server.advisories.advisories = [*server.advisories.advisories, one_more]
    wait_until(lambda: get_risk(server, "watched"))
    assert get_risk(server, "watched").startswith("policy default+repository: 3 LOW findings, at most 2 allowed")
    assert server.redeploy_image(image) == "Refused"
    ask(server, "watched", "")  # it asks for it no more: the same digest passes the server's policy
    assert server.redeploy_image(image) == "Deployed"
    wait_until(lambda: not get_risk(server, "watched"))


def test_a_repositorys_policy_does_not_affect_other_repositories(server: ServerSystem) -> None:
    image = plan_gated_image(server, "plain", PlannedFindings({"LOW": 2}), "default")
    server.deploy_image(image)
    server.apply("kind: Repository\nname: picky\n")
    server.apply(SERVICE.format(name="picky", count=1))
    server.apply(PIPELINE.format(name="picky", repository="picky", service="picky", timeout="7d"))
    server.builder.digests["picky/app"] = image
    ask(server, "picky", "policy:\n  max_findings:\n    LOW: 0\n")
    assert "2 LOW findings, at most 0" in run(server, "picky")["reason"]
    assert run(server, "plain")["state"] == "Succeeded"
    assert not get_risk(server, "plain")


def test_a_repository_cannot_weaken_the_policy(server: ServerSystem) -> None:
    lax = "policy:\n  max_findings:\n    HIGH: 9\n  evidence:\n    unread: allow\n    uncovered: allow\n"
    image = plan_gated_image(server, "greedy", PlannedFindings({"HIGH": 1}), "default", lax)
    execution = server.request_approval_after_scan(image)
    assert server.answer(execution) == "Rejected"
    unread_image = plan_gated_image(server, "unread", PlannedFindings(status="UNSUPPORTED"), "default", lax)
    assert server.answer(server.request_approval_after_scan(unread_image)) == "Rejected"


@pytest.mark.slow
def test_a_repositorys_policy_keeps_other_rules_of_the_server(server: ServerSystem) -> None:
    put(server, "relaxed", RELAXED)
    image = plan_gated_image(
        server, "relaxing", PlannedFindings(), "relaxed", "policy:\n  max_findings:\n    HIGH: 0\n"
    )
    server.deploy_image(image)
    policy_used = server.store.verdicts.get_case(list_recorded_verdicts(server, image)[0]["digest"]).policy
    assert [use["unread"] for use in policy_used.rules["evidence"]] == ["allow"]


@pytest.mark.parametrize(
    ("requested_policy", "expected"),
    [
        ("policy:\n  max_findings:\n    HIHG: 0\n", "broken/.dockgate.yaml:3: policy.max_findings.HIHG: unknown key"),
        pytest.param("policy: {}\n", "broken/.dockgate.yaml:1: policy: a policy is a mapping", marks=pytest.mark.slow),
        pytest.param("rules: {}\n", "broken/.dockgate.yaml:1: rules: unknown key", marks=pytest.mark.slow),
        pytest.param("- policy\n", "broken/.dockgate.yaml:1: it is not a mapping", marks=pytest.mark.slow),
        pytest.param("policy: [\n", "broken/.dockgate.yaml:1: this is not YAML", marks=pytest.mark.slow),
        ("#" * 70_000, "broken/.dockgate.yaml:1: not a regular file of at most 65536 bytes"),
    ],
)
def test_an_invalid_repository_policy_fails_the_action_with_its_line(
    server: ServerSystem, requested_policy: str, expected: str
) -> None:
    plan_gated_image(server, "broken", PlannedFindings(), "default", requested_policy)
    execution = run(server, "broken")
    assert execution["state"] == "Failed"
    assert expected in execution["reason"]


def test_an_empty_repository_policy_changes_nothing(server: ServerSystem) -> None:
    image = plan_gated_image(server, "wishless", PlannedFindings(), "default", "# nothing\n")
    server.deploy_image(image)
    assert server.get(f"/images/{image}")["verdicts"][0]["policy"] == "default"


# --- tried before they are enforced ----------------------------------------------------------------------------------


def try_policy_in_parts(server: ServerSystem, text: str, against: str, **fields: Any) -> dict[str, Any]:
    """Part by part, put together."""
    comparison: dict[str, Any] = {"judged": 0, "status_changes": {}, "changes": [], "parts": 0}
    after = ""
    while comparison["parts"] == 0 or after:
        part = server.post("/policies/try", {"text": text, "against": against, "after": after, **fields})
        after = part["next"]
        comparison["judged"] += part["judged"]
        comparison["changes"] += part["changes"]
        comparison["parts"] += 1
        for turn, count in part["status_changes"].items():
            comparison["status_changes"][turn] = comparison["status_changes"].get(turn, 0) + count
    return comparison


def test_a_policy_is_tried_on_the_history_and_nothing_is_stored(server: ServerSystem) -> None:
    put(server, "tried", LAX)
    images = [
        plan_gated_image(server, f"tried-{number}", PlannedFindings({"LOW": number}), "tried") for number in range(1, 4)
    ]
    for image in images:
        server.deploy_image(image)
    before = [list_recorded_verdicts(server, image) for image in images]
    comparison = try_policy_in_parts(server, "max_findings:\n  LOW: 1\n", "history", policy="tried", limit=2)
    assert (comparison["judged"], comparison["parts"]) == (3, 2)
    assert comparison["status_changes"] == {"Approved → Rejected": 2}
    change = next(change for change in comparison["changes"] if change["image"] == images[2])
    assert (change["before"], change["after"], change["policy"]) == ("Approved", "Rejected", "tried")
    assert [entry["text"] for entry in change["added"]] == ["3 LOW findings, at most 1 allowed"]
    assert change["subject"] == list_recorded_verdicts(server, images[2])[0]["digest"]
    assert [list_recorded_verdicts(server, image) for image in images] == before
    assert try_policy_in_parts(server, LAX, "history", policy="tried")["changes"] == []


def test_a_trial_keeps_the_repositorys_policy(server: ServerSystem) -> None:
    put(server, "tried-asked", LAX)
    requested_policy = "policy:\n  max_findings:\n    LOW: 2\n"
    image = plan_gated_image(server, "tried-modest", PlannedFindings({"LOW": 3}), "tried-asked", requested_policy)
    assert server.answer(server.request_approval_after_scan(image)) == "Rejected"
    comparison = try_policy_in_parts(server, "max_findings:\n  LOW: 99\n", "history", policy="tried-asked")
    assert (comparison["judged"], comparison["changes"]) == (1, [])


def test_a_policy_is_tried_on_running_services(server: ServerSystem) -> None:
    put(server, "ran", LAX)
    image = plan_gated_image(server, "running-tried", PlannedFindings({"LOW": 1}), "ran")
    server.deploy_image(image)
    server.advisories.advisories = [*server.advisories.advisories, make_advisory("running-tried", Severity.LOW, "2")]
    comparison = try_policy_in_parts(server, STRICT, "running", policy="ran", limit=1)
    (change,) = comparison["changes"]
    assert (change["subject"], change["image"], change["policy"]) == ("running-tried", image, "ran")
    assert [entry["text"] for entry in change["added"]] == ["2 LOW findings, at most 0 allowed"]
    assert server.get("/services/running-tried")["service"]["at_risk"] is None


def test_an_invalid_policy_cannot_be_tried_and_has_its_line(server: ServerSystem) -> None:
    body = {"text": "max_findings:\n  HIHG: 0\n", "against": "history", "name": "new"}
    answer = server.client.post("/policies/try", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("new.yaml:2: max_findings.HIHG")
    for basis, after in itertools.product(("history", "running"), ("x", "9" * 30)):
        request = {**body, "text": LAX, "against": basis, "after": after}
        assert server.client.post("/policies/try", json=request).status_code == 400
    assert server.client.post("/policies/try", json={**body, "text": LAX, "against": "x"}).status_code == 422


def test_one_policy_is_tried_at_a_time(server: ServerSystem) -> None:
    put(server, "turn", LAX)
    server.deploy_image(plan_gated_image(server, "turn", PlannedFindings(), "turn"))
    dry_run, candidate = server.services.policies.dry_run, server.services.policies.policies("default")
    with dry_run.turn, pytest.raises(BusyError):
        dry_run.judge_history(candidate, None, 1, None)
    assert dry_run.judge_history(candidate, None, 1, None).judged == 1
