"""The API and the commands say what each caller may decide, as the vote and the console do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.conftest import Dockgate, dockgate
from tests.scenarios import slow_http
from tests.scenarios.browser import Browser
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_four_eyes import OUTSIDER, FourEyes

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.model import Approval, ApprovalId, Approvers
from dockgate.delivery.source_ports import RefUpdate
from dockgate.gate.policy_reference import PolicyReference
from dockgate.identity.model import Role
from dockgate.shared.timestamps import format_time

__all__ = ["dockgate"]


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FourEyes]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        yield FourEyes(server)


def get(eyes: FourEyes, who: str, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {eyes.tokens[who]}"}
    answer = slow_http.get(f"{eyes.server.url}/api/v1{path}", headers=headers)
    assert answer.is_success, answer.text
    return answer


def run_as(eyes: FourEyes, who: str, monkeypatch: pytest.MonkeyPatch, dockgate: Dockgate, *arguments: str) -> str:
    """The output of a command of this person."""
    monkeypatch.setenv("DOCKGATE_SERVER", eyes.server.url)
    monkeypatch.setenv("DOCKGATE_TOKEN", eyes.tokens[who])
    result = dockgate(*arguments)
    assert result.code == 0, result
    return result.out


def add_project_approver(eyes: FourEyes, name: str, *repositories: str, roles: tuple[str, ...] = ()) -> None:
    """Add a person who is an approver for some repositories."""
    project_roles = [{"role": "approver", "repositories": entry} for entry in repositories]
    body = {"name": name, "roles": roles, "project_roles": project_roles, "email": f"{name}@example.org"}
    eyes.server.post("/principals", body)
    eyes.tokens[name] = eyes.server.post("/tokens", {"principal": name})["text"]


def add_approvals(eyes: FourEyes, repository: str, count: int, approvers: Approvers) -> None:
    """Add approvals of an image that is not scanned yet."""
    image = eyes.server.plan_foreign_image(f"waiting-{repository.partition('/')[0]}", PlannedFindings())
    times = format_time(eyes.server.clock()), "2999-01-01T00:00:00.000Z"
    for number in range(count):
        approval_id = ApprovalId(f"external/{repository}-{number}")
        approval = Approval(approval_id, "token", image, repository, PolicyReference("default"), "", *times)
        eyes.server.store.approvals.add(replace(approval, approvers=approvers))


def test_what_a_person_may_decide_is_found_behind_newer_approvals_of_others(
    eyes: FourEyes, monkeypatch: pytest.MonkeyPatch, dockgate: Dockgate
) -> None:
    add_project_approver(eyes, "tia", "teamx", "teamx/*")
    add_approvals(eyes, "teamx/app", 1, Approvers())
    add_approvals(eyes, "other/app", 105, Approvers(roles=(Role.SECURITY,)))
    own_approval = "external/teamx/app-0"
    with Browser(eyes.server, eyes.tokens["tia"]) as browser:
        assert ">Decide<" in browser.get("/").text
    assert [entry["id"] for entry in get(eyes, "tia", "/approvals?state=Waiting").json()] == [own_approval]
    queue = get(eyes, "tia", "/status").json()["queue"]
    assert [entry["id"] for entry in queue["approvals"]] == [own_approval]
    assert queue["is_complete"] is True
    output = run_as(eyes, "tia", monkeypatch, dockgate, "status")
    assert output.startswith(f"1 approval needs your decision:\n  dockgate approval show {own_approval} ")
    assert "1 waiting." in output
    assert own_approval in run_as(eyes, "tia", monkeypatch, dockgate, "approval", "list", "--state", "waiting")
    assert own_approval in run_as(eyes, "ben", monkeypatch, dockgate, "approval", "list", "--limit", "1000")
    answer = get(eyes, "ben", "/approvals?state=Waiting&limit=50")
    assert len(answer.json()) == 50
    assert 'rel="next"' in answer.headers["Link"]


def start_with_unknown_pusher(eyes: FourEyes) -> tuple[str, str, str]:
    """Start an execution of a commit whose pusher is not recorded; return it, its repository and the commit."""
    name = eyes.create_repository()
    commit = eyes.host.push(name, {"Dockerfile": "FROM scratch\n"}, author=OUTSIDER)
    return eyes.start(name), name, commit


def read_decision(eyes: FourEyes, who: str, execution: str) -> Any:
    """What a person may do about an execution's approval; it is what the vote of this person would say."""
    approval = eyes.server._find_approval(execution)["id"]
    decision = get(eyes, who, f"/approvals/{approval}").json()["caller_decision"]
    if not decision["can_approve"]:
        answer = eyes.vote(who, execution)
        assert (answer.status_code, answer.json()["error"]) == (403, decision["objection"])
    return decision


def test_an_approval_says_to_each_caller_what_their_vote_would_say(
    eyes: FourEyes, monkeypatch: pytest.MonkeyPatch, dockgate: Dockgate
) -> None:
    execution, name, commit = start_with_unknown_pusher(eyes)
    eyes.add("vic", "vic@example.org", "viewer")
    eyes.add("dev", "dev@example.org", "developer")
    reason = f"the pusher of the commit {commit[:12]} of {name} is unknown"
    approval = eyes.server._find_approval(execution)["id"]
    for who in ("ben", "vic", "dev", "starter"):
        decision = read_decision(eyes, who, execution)
        assert (decision["can_approve"], decision["can_reject"]) == (False, False), who
        assert reason in decision["contributors_unknown"], who
        for arguments in (("approval", "show", approval), ("pipeline", "show", execution)):
            output = " ".join(run_as(eyes, who, monkeypatch, dockgate, *arguments).split())
            assert "no one can vote until the contributors are known" in output, (who, arguments)
            assert reason in output, (who, arguments)
            assert "dockgate approval approve" not in output, (who, arguments)
            assert "dockgate approval reject" not in output, (who, arguments)


def test_an_approval_offers_a_vote_once_its_contributors_are_known(
    eyes: FourEyes, monkeypatch: pytest.MonkeyPatch, dockgate: Dockgate
) -> None:
    execution, name, commit = start_with_unknown_pusher(eyes)
    update = RefUpdate("refs/heads/main", NO_OBJECT, commit)
    eyes.server.services.sources.pushes.record_refs(f"late-{name}", name, "ann", None, [update])
    decision = read_decision(eyes, "ben", execution)
    assert decision == {"can_approve": True, "can_reject": True, "objection": None, "contributors_unknown": None}
    assert read_decision(eyes, "ann", execution)["contributors_unknown"] is None
    approval = eyes.server._find_approval(execution)["id"]
    output = run_as(eyes, "ben", monkeypatch, dockgate, "approval", "show", approval)
    assert f"dockgate approval approve {approval}" in output
    assert "no one can vote" not in output
    eyes.approve_execution("ben", execution)
    assert get(eyes, "ben", f"/approvals/{approval}").json()["caller_decision"] is None


@pytest.mark.parametrize("who", ["named", "not named", "reader", "approver-elsewhere"])
def test_only_those_who_may_decide_get_the_commands(
    eyes: FourEyes, monkeypatch: pytest.MonkeyPatch, dockgate: Dockgate, who: str
) -> None:
    add_approvals(eyes, f"named-{who.replace(' ', '-')}/app", 1, Approvers(("ben",)))
    eyes.tokens |= {"named": eyes.tokens["ben"], "not named": eyes.tokens["cyd"]}
    eyes.tokens["reader"] = eyes.server.post("/tokens", {"principal": "ben", "scopes": ["read"]})["text"]
    if who == "approver-elsewhere":
        add_project_approver(eyes, who, "elsewhere/*", roles=("viewer",))
    approval = f"external/named-{who.replace(' ', '-')}/app-0"
    decision = get(eyes, who, f"/approvals/{approval}").json()["caller_decision"]
    answer = eyes.call(who, f"/approvals/{approval}/vote", {"is_yes": True})
    assert answer.is_success == decision["can_approve"], answer.text
    if not answer.is_success:
        assert (answer.status_code, answer.json()["error"]) == (403, decision["objection"])
        output = run_as(eyes, who, monkeypatch, dockgate, "approval", "show", approval)
        assert f"you cannot decide it: {decision['objection']}" in output
        assert f"dockgate approval approve {approval}" not in output
