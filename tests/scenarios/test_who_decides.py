"""Who may decide on an approval that needs people: one rule for votes and rejections, in the API and in the console."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import httpx
import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.browser import Browser, Forms
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_voting import Voting

NOT_AN_APPROVER = "ben is not one of the approvers: ann, security"


@pytest.fixture(scope="module")
def voting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Voting]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        yield Voting(server)


def reject(voting: Voting, who: str, execution: str) -> httpx.Response:
    """Reject as `dockgate approval reject`: with the approval's token."""
    headers = {"Authorization": f"Bearer {voting.tokens[who]}"}
    path = f"{voting.server.url}/api/v1/approvals/{voting.get_approval(execution)['id']}"
    token = slow_http.get(path, headers=headers).json().get("token")
    return slow_http.post(f"{path}/reject", json={"token": token, "reason": "not now"}, headers=headers)


def add_limited(voting: Voting, name: str, repositories: Sequence[str], role: str = "approver") -> None:
    """Add a person with a role for some repositories."""
    roles = [{"role": role, "repositories": pattern} for pattern in repositories]
    email = f"{name}@example.org"
    voting.server.post("/principals", {"name": name, "roles": [], "project_roles": roles, "email": email})
    voting.tokens[name] = voting.server.post("/tokens", {"principal": name})["text"]


def list_waiting(voting: Voting, who: str) -> set[str]:
    """The executions that the overview asks this person to decide on."""
    with Browser(voting.server, voting.tokens[who]) as browser:
        page = browser.get("/").text
    return set(re.findall(r'<a href="/executions/([^"/]+)">Decide<', page))


def read_execution(voting: Voting, who: str, execution: str) -> str:
    with Browser(voting.server, voting.tokens[who]) as browser:
        return browser.get(f"/executions/{execution}").text


def has_vote_form(voting: Voting, who: str, execution: str) -> bool:
    actions = Forms(read_execution(voting, who, execution)).actions
    return f"/approvals/{voting.get_approval(execution)['id']}/vote" in actions


@pytest.mark.parametrize("approvers", [pytest.param("{count: 1}", marks=pytest.mark.slow), "{roles: [approver]}"])
def test_a_role_for_a_git_repository_decides_on_what_its_pipeline_builds(voting: Voting, approvers: str) -> None:
    name = f"web{len(approvers)}"
    execution, image = voting.start_waiting_execution(name, approvers)
    add_limited(voting, f"own-{name}", [name])
    add_limited(voting, f"foreign-{name}", ["shop"])
    add_limited(voting, f"reader-{name}", [name], "developer")
    assert list_waiting(voting, f"foreign-{name}") == set()
    assert voting.vote(f"foreign-{name}", execution).status_code == 404
    assert voting.vote(f"reader-{name}", execution).status_code == 403
    assert list_waiting(voting, f"own-{name}") == {execution}
    assert has_vote_form(voting, f"own-{name}", execution)
    voting.server.end_scan(image)
    answer = voting.vote(f"own-{name}", execution)
    assert answer.is_success, answer.text
    assert voting.wait_for_end(execution) == "Succeeded"
    assert voting.get_approval(execution)["decided_by"] == f"own-{name}"


def test_a_vote_of_a_role_that_was_lost_does_not_count(voting: Voting) -> None:
    execution, image = voting.start_waiting_execution("lost", "{count: 2}")
    for name in ("first-lost", "second-lost"):
        add_limited(voting, name, ["lost"])
        assert voting.vote(name, execution).is_success
        voting.server.post("/principals/first-lost/roles", {"roles": ["viewer"], "project_roles": []})
    voting.server.end_scan(image)
    wait_until(lambda: voting.get_approval(execution)["verdict"])
    assert voting.get_approval(execution)["state"] == "Waiting"


def test_the_overview_asks_only_those_who_may_decide(voting: Voting) -> None:
    execution, _ = voting.start_waiting_execution("asked", "{principals: [ann, ada], roles: [security], count: 2}")
    assert {who for who in ("ann", "ben", "ada", "sec", "dev", "admin") if execution in list_waiting(voting, who)} == {
        "ann",
        "sec",
    }
    page = read_execution(voting, "ben", execution)
    assert "ben is not one of the approvers: ann, ada, security" in page
    assert "ann, ada or a person with the role security decides." in page
    assert not has_vote_form(voting, "ben", execution)
    assert voting.vote("ann", execution).is_success
    assert execution not in list_waiting(voting, "ann")
    voting.add("ann-again", ["security"], "Ann+work@example.org")
    assert execution not in list_waiting(voting, "ann-again")
    assert not has_vote_form(voting, "ann-again", execution)
    page = read_execution(voting, "ann", execution)
    assert "ann has voted" in page
    assert "ada or a person with the role security decides." in page
    assert execution in list_waiting(voting, "sec")


def test_a_page_says_when_no_other_approver_can_vote(voting: Voting) -> None:
    execution, _ = voting.start_waiting_execution("alone", "{principals: [ann], count: 1}")
    assert "ann decides." in read_execution(voting, "dev", execution)
    assert voting.vote("ann", execution).is_success
    assert "No other approver can vote." in read_execution(voting, "ben", execution)


def test_only_an_approver_rejects(voting: Voting) -> None:
    execution, _ = voting.start_waiting_execution("guarded", "{principals: [ann], roles: [security]}")
    refusal = reject(voting, "ben", execution)
    assert (refusal.status_code, refusal.json()["error"]) == (403, NOT_AN_APPROVER)
    with Browser(voting.server, voting.tokens["ben"]) as browser:
        form = f"/approvals/{voting.get_approval(execution)['id']}/reject"
        assert browser.send_form(form, reason="not now").status_code == 403
    assert voting.get_approval(execution)["state"] == "Waiting"
    assert reject(voting, "ann", execution).json()["state"] == "Rejected"
    votes = voting.server.get(f"/approvals/{voting.get_approval(execution)['id']}/votes")
    assert [(vote["who"], vote["is_yes"], vote["reason"]) for vote in votes] == [("ann", False, "not now")]
    assert voting.wait_for_end(execution) == "Failed"
    assert reject(voting, "ann", execution).is_success  # repeated


@pytest.mark.parametrize("fields", [{}, {"vote": ""}, {"vote": "maybe"}])
def test_a_form_without_a_pressed_button_decides_nothing(voting: Voting, fields: dict[str, str]) -> None:
    execution, _ = voting.start_waiting_execution(f"unpressed-{fields.get('vote', 'none')}z", "{count: 1}")
    path = f"/approvals/{voting.get_approval(execution)['id']}"
    with Browser(voting.server, voting.tokens["ann"]) as browser:
        answer = browser.send_form(f"{path}/vote", reason="not now", **fields)
    assert answer.status_code == 422
    assert "Press Approve or Reject." in answer.text
    assert 'value="not now"' in answer.text
    assert voting.server.get(f"{path}/votes") == []
    assert voting.get_approval(execution)["state"] == "Waiting"


def test_a_person_who_comes_late_reads_what_was_decided(voting: Voting) -> None:
    execution, image = voting.start_waiting_execution("late", "{count: 2}")
    path = f"/approvals/{voting.get_approval(execution)['id']}"
    voting.server.end_scan(image)
    wait_until(lambda: voting.get_approval(execution)["verdict"])
    assert voting.vote("ann", execution, is_yes=False, reason="not now").is_success
    with Browser(voting.server, voting.tokens["ben"]) as browser:
        answer = browser.send_form(f"{path}/vote", vote="yes")
    assert answer.status_code == 409
    assert "is already settled" in answer.text
    assert "Rejected by ann: not now." in answer.text
    assert set(re.findall(r'href="#([^"]+)"', answer.text)) <= set(re.findall(r'id="([^"]+)"', answer.text))
    assert "See the findings" not in answer.text, "the verdict approves, and no finding is to be repaired"


def test_the_link_to_decide_leads_to_the_approval_that_waits(voting: Voting) -> None:
    text = PIPELINE.format(name="twice", repository="twice", service="twice", timeout="7d")
    first_stage = "  - name: ContainerVulnerabilityAssessment"
    people = "\n        approvers: {count: 1}\n"
    image = '        image: "#{BuildVariables.IMAGE_DIGEST}"'
    second_stage = f"  - name: Release\n    actions:\n      - name: People\n        type: approval\n{image}{people}"
    assert first_stage in text
    execution, digest = voting.start_waiting_execution("twice", "{count: 1}")
    voting.server.post(f"/executions/{execution}/stop", {"reason": "another definition"})
    voting.server.apply(text.partition("  - name: Deploy")[0] + second_stage)
    second_execution = voting.server.post("/pipelines/twice/executions")["id"]
    voting.server.end_scan(digest)
    approval = f"{second_execution}/Release/People/1"
    wait_until(lambda: voting.server.client.get(f"/approvals/{approval}").is_success)
    html = read_execution(voting, "ann", second_execution)
    (link,) = re.findall(r'<a href="#([^"]+)">Decide</a>', html)
    panel = html.partition(f'id="{link}"')[2].partition("</article>")[0]
    assert f'action="/approvals/{approval}/vote"' in panel


def test_a_contributor_and_someone_who_approved_do_not_reject(voting: Voting) -> None:
    voting.add("writer", ["approver"], "dev+work@example.org")
    execution, _ = voting.start_waiting_execution("written", "{count: 2}")
    refusal = reject(voting, "writer", execution)
    assert refusal.status_code == 403
    assert "contributed to this image" in refusal.json()["error"]
    assert voting.vote("ann", execution).is_success
    assert reject(voting, "ann", execution).status_code == 409


def test_everyone_who_may_decide_rejects_what_needs_no_people(voting: Voting) -> None:
    image = voting.server.plan_image("quick", PlannedFindings())
    voting.server.scan_may_end[image] = Event()
    execution = voting.server.request_approval(image)
    path = f"/approvals/{voting.get_approval(execution)['id']}/reject"
    assert path in Forms(read_execution(voting, "ben", execution)).actions
    assert reject(voting, "ben", execution).json()["decided_by"] == "ben"
