"""Approvals that need people: several, named, not the committer; each waiter is answered once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.server import ServerSystem
from tests.store.factories import FACTORIES, limit_to_sqlite

THREADS = 5


@dataclass
class Voting:
    """A server on which pipelines wait for people."""

    server: ServerSystem
    tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tokens["admin"] = self.server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]
        self.server.client.headers["Authorization"] = f"Bearer {self.tokens['admin']}"
        for name in ("ann", "ben", *(f"p{number}" for number in range(THREADS))):
            self.add(name, ["approver"], f"{name}@example.org")
        self.add("ada", ["approver"], "ADA@example.org")
        self.add("sec", ["security"], "sec@example.org")
        self.add("dev", ["developer"], "dev@example.org")

    def add(self, name: str, roles: list[str], email: str) -> None:
        self.server.post("/principals", {"name": name, "roles": roles, "email": email})
        self.tokens[name] = self.server.post("/tokens", {"principal": name})["text"]

    def start_waiting_execution(
        self, name: str, approvers: str, findings: PlannedFindings | None = None
    ) -> tuple[str, str]:
        """An execution that waits for people, and its image, whose scan may end."""
        digest = f"sha256:{sha256(name.encode()).hexdigest()}"
        self.server.plans[digest] = (name, findings or PlannedFindings())
        self.server.scan_may_end[digest] = threading.Event()
        self.server.builder.digests[f"{name}/app"] = digest
        self.server.apply(f"kind: Repository\nname: {name}\n")
        text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
        text = text.partition("  - name: Deploy")[0]  # decisions are complete without it
        self.server.apply(f"{text}        approvers: {approvers}\n")
        self.server.push(name, "dev")
        execution: str = self.server.post(f"/pipelines/{name}/executions")["id"]
        wait_until(lambda: self.server._find_approval(execution))
        return execution, digest

    def vote(self, who: str, execution: str, is_yes: bool = True, reason: str = "") -> httpx.Response:
        approval = self.get_approval(execution)["id"]
        return slow_http.post(
            f"{self.server.url}/api/v1/approvals/{approval}/vote",
            json={"is_yes": is_yes, "reason": reason},
            headers={"Authorization": f"Bearer {self.tokens[who]}"},
        )

    def get_approval(self, execution: str) -> Any:
        return self.server._find_approval(execution)

    def wait_for_end(self, execution: str) -> str:
        state: str = wait_until(
            lambda: (
                (state := self.server.get(f"/executions/{execution}")["execution"]["state"]) in ("Succeeded", "Failed")
                and state
            )
        )
        return state


@pytest.fixture(scope="module", params=FACTORIES)
def voting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Voting]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server")), database=request.param) as server:
        yield Voting(server)


@limit_to_sqlite("voting")
def test_an_approval_needs_the_verdict_and_enough_votes(voting: Voting) -> None:
    execution, image = voting.start_waiting_execution("both", "{principals: [ann, ben], count: 2}")
    assert voting.vote("ann", execution).json()["approval"]["state"] == "Waiting"
    voting.server.end_scan(image)
    wait_until(lambda: "waiting for approvers" in (voting.get_approval(execution)["summary"] or ""))
    assert voting.vote("ann", execution).is_success  # repeated
    assert voting.get_approval(execution)["state"] == "Waiting"
    answer = voting.vote("ben", execution).json()
    assert (answer["approval"]["state"], answer["approval"]["decided_by"]) == ("Approved", "ann, ben")
    assert [vote["who"] for vote in answer["votes"]] == ["ann", "ben"]
    assert voting.wait_for_end(execution) == "Succeeded"
    assert voting.vote("p0", execution).status_code in (403, 409)


@limit_to_sqlite("voting")
def test_people_cannot_approve_what_the_verdict_rejects(voting: Voting) -> None:
    execution, image = voting.start_waiting_execution("bad", "{count: 1}", PlannedFindings({"CRITICAL": 1}))
    assert voting.vote("ann", execution).is_success
    voting.server.end_scan(image)
    assert voting.wait_for_end(execution) == "Failed"
    assert (voting.get_approval(execution)["state"], voting.get_approval(execution)["decided_by"]) == (
        "Rejected",
        "policy",
    )


@limit_to_sqlite("voting")
def test_one_rejecting_vote_rejects_before_the_scan(voting: Voting) -> None:
    execution, _ = voting.start_waiting_execution("unwanted", "{count: 2}")
    assert voting.vote("ann", execution).is_success
    assert voting.vote("ben", execution, is_yes=False).status_code == 400
    assert voting.vote("ann", execution, is_yes=False, reason="second thoughts").status_code == 409
    assert voting.vote("ben", execution, is_yes=False, reason="no").json()["approval"]["state"] == "Rejected"
    assert voting.wait_for_end(execution) == "Failed"


@limit_to_sqlite("voting")
def test_a_refused_vote_has_a_reason(voting: Voting) -> None:
    execution, _ = voting.start_waiting_execution("strict", "{principals: [ann, ada, dev]}")
    committers = voting.server.get(f"/approvals/{voting.get_approval(execution)['id']}")["committers"]
    assert committers == ["admin", "dev", "ada@example.org", "dev@example.org"]
    voting.add("author", ["approver"], "ADA+other@Example.org")
    for who, expected in {
        "ben": "not one of the approvers",
        "dev": "needs the permission decide",
        "author": "not one of",
    }.items():
        response = voting.vote(who, execution)
        assert (response.status_code, expected in response.json()["error"]) == (403, True), response.text
    own_execution, _ = voting.start_waiting_execution("own", "{count: 1}")
    assert "contributed to this image" in voting.vote("author", own_execution).json()["error"]
    voting.add("mailless", ["approver"], "")
    assert "no e-mail" in voting.vote("mailless", own_execution).json()["error"]


@limit_to_sqlite("voting")
def test_an_approval_without_approvers_takes_no_votes(voting: Voting) -> None:
    image = voting.server.plan_image("plain", PlannedFindings())
    execution = voting.server.request_approval(image)
    assert voting.vote("ann", execution).status_code == 400


def test_concurrent_votes_and_scan_answer_once(voting: Voting) -> None:
    execution, image = voting.start_waiting_execution("crowd", f"{{count: {THREADS}}}")
    gate = threading.Barrier(THREADS + 1)

    def say(number: int) -> int:
        gate.wait()
        if number == THREADS:
            voting.server.end_scan(image)
            return 200
        return voting.vote(f"p{number}", execution).status_code

    with ThreadPoolExecutor(THREADS + 1) as pool:
        assert set(pool.map(say, range(THREADS + 1))) == {200}
    assert voting.wait_for_end(execution) == "Succeeded"
    approval = voting.get_approval(execution)
    assert approval["state"] == "Approved"
    causes = [verdict["cause"] for verdict in voting.server.get(f"/images/{image}")["verdicts"]]
    assert causes.count(f"{approval['id']}/people") == 1


def test_concurrent_opposite_votes_give_one_answer(voting: Voting) -> None:
    execution, image = voting.start_waiting_execution("torn", "{count: 1}")
    voting.server.end_scan(image)
    wait_until(lambda: voting.get_approval(execution)["verdict"])
    gate = threading.Barrier(2)

    def say(is_yes: bool) -> int:
        gate.wait()
        return voting.vote("ann" if is_yes else "ben", execution, is_yes, "because").status_code

    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(say, (True, False)))
    state = voting.get_approval(execution)["state"]
    assert state in ("Approved", "Rejected")
    assert 200 in codes
    assert voting.wait_for_end(execution) == ("Succeeded" if state == "Approved" else "Failed")


def reject(voting: Voting, name: str, findings: PlannedFindings) -> tuple[str, str]:
    """An execution whose verdict rejects, and its image; no approver is needed."""
    image = voting.server.plan_image(name, findings)
    execution = voting.server.request_approval(image)
    voting.server.end_scan(image)
    assert voting.wait_for_end(execution) == "Failed"
    return execution, image


def override(voting: Voting, who: str, execution: str, **body: str) -> httpx.Response:
    first = voting.server.get(f"/executions/{execution}")["stages"][2]["actions"][0]["name"]
    approval = f"{execution}/ContainerVulnerabilityAssessment/{first}/1"
    return slow_http.post(
        f"{voting.server.url}/api/v1/approvals/{approval}/override",
        json={"reason": "not reachable", "until": "2999-01-01", **body},
        headers={"Authorization": f"Bearer {voting.tokens[who]}"},
    )


@limit_to_sqlite("voting")
def test_an_override_becomes_waivers_and_the_execution_passes(voting: Voting) -> None:
    execution, image = reject(voting, "urgent", PlannedFindings({"CRITICAL": 1, "HIGH": 2}))
    old = voting.get_approval(execution)
    for wrong in ({"reason": " "}, {"until": ""}, {"until": "later violations"}, {"until": "2020-01-01"}):
        assert override(voting, "sec", execution, **wrong).status_code == 400, wrong
    assert voting.server.get("/waivers") == []
    assert override(voting, "ann", execution).status_code == 403
    answer = override(voting, "sec", execution)
    assert answer.is_success, answer.text
    waivers = answer.json()["waivers"]
    assert len(waivers) == 3
    assert {(waiver["image"], waiver["owner"], waiver["created_by"], waiver["reason"]) for waiver in waivers} == {
        (image, "sec", "sec", "not reachable")
    }
    assert all(
        waiver["vulnerability"] and waiver["package"] and waiver["until"].startswith("2999-01-01") for waiver in waivers
    )
    wait_until(lambda: (voting.get_approval(execution) or old)["id"] != old["id"])
    assert voting.wait_for_end(execution) == "Succeeded"
    assert voting.get_approval(execution)["state"] == "Approved"
    assert voting.server.get(f"/approvals/{old['id']}")["state"] == "Rejected"
    assert voting.server.is_running(image)
    assert override(voting, "sec", execution).is_success  # repeated: nothing more follows
    assert len(voting.server.get("/waivers")) == 3
    verdict = voting.server.get(f"/verdicts/{voting.get_approval(execution)['verdict']}")
    assert len(verdict["platform_verdicts"][0]["waived"]) == 3


def _get_verdict(voting: Voting, execution: str) -> str | None:
    verdict: str | None = voting.get_approval(execution)["verdict"]
    return verdict


@limit_to_sqlite("voting")
def test_undetermined_verdicts_and_personal_rejections_cannot_be_overridden(voting: Voting) -> None:
    before = len(voting.server.get("/waivers"))
    execution, _ = reject(voting, "unknown", PlannedFindings(status="UNSUPPORTED"))
    response = override(voting, "sec", execution)
    assert (response.status_code, "undetermined" in response.json()["error"]) == (409, True)
    for name, is_judged in (("refused", False), ("refused-though-approved", True)):
        refused_by_a_person, image = voting.start_waiting_execution(name, "{count: 1}")
        if is_judged:
            voting.server.end_scan(image)
            wait_until(partial(_get_verdict, voting, refused_by_a_person))
        voting.vote("ann", refused_by_a_person, is_yes=False, reason="no")
        approval = voting.get_approval(refused_by_a_person)
        assert (approval["state"], approval["decided_by"], bool(approval["verdict"])) == ("Rejected", "ann", is_judged)
        response = override(voting, "sec", refused_by_a_person)
        assert (response.status_code, "not rejected by a verdict" in response.json()["error"]) == (409, True)
    assert len(voting.server.get("/waivers")) == before


@limit_to_sqlite("voting")
def test_an_override_does_not_cover_new_findings(voting: Voting) -> None:
    execution, image = reject(voting, "moving", PlannedFindings({"CRITICAL": 1}))
    voting.server.publish_advisory(image)
    response = override(voting, "sec", execution)
    assert (response.status_code, "would not be enough" in response.json()["error"]) == (409, True)
