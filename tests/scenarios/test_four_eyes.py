"""Four eyes: who pushed, authored, committed or started may neither approve nor override, whatever names they use."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.fakes.repository_host import MemoryHost
from tests.parts import wait_until
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.live import PIPELINE
from tests.scenarios.server import ServerSystem

from dockgate.delivery.contributors import NO_OBJECT
from dockgate.delivery.fixes import AUTHOR
from dockgate.delivery.registry_access import SERVER
from dockgate.delivery.repository_files import FilesEdit
from dockgate.delivery.source_ports import RefUpdate

# An author without a principal.
OUTSIDER = "Zoe <zoe@elsewhere.example>"
CONTRIBUTOR = "contributed to this image (commit, push or start)"


class FourEyes:
    def __init__(self, server: ServerSystem) -> None:
        self.server = server
        self.tokens = {"admin": server.post("/principals", {"name": "admin", "roles": ["admin"]})["token"]}
        server.client.headers["Authorization"] = f"Bearer {self.tokens['admin']}"
        for name in ("ann", "ben", "cyd", "starter"):
            self.add(name, f"{name}@example.org")
        self.case_builder = 0

    def add(self, name: str, email: str, *roles: str) -> None:
        body = {"name": name, "roles": list(roles or ("developer", "approver", "security")), "email": email}
        self.server.post("/principals", body)
        self.tokens[name] = self.server.post("/tokens", {"principal": name})["text"]

    def create_repository(
        self, findings: PlannedFindings | None = None, *, people: bool = True, approver_count: int = 1
    ) -> str:
        """A pipeline with its repository, named like it, whose image is scanned at once. Nothing is pushed yet."""
        self.case_builder += 1
        name = f"case{self.case_builder}"
        image = self.server.plan_foreign_image(name, findings or PlannedFindings())
        self.server.scan_may_end[image].set()
        self.server.builder.digests[f"{name}/app"] = image
        self.server.apply(f"kind: Repository\nname: {name}\n")
        text = PIPELINE.format(name=name, repository=name, service=name, timeout="7d")
        text = text.partition("  - name: Deploy")[0]  # decisions are complete without it
        self.server.apply(text + (f"        approvers: {{count: {approver_count}}}\n" if people else ""))
        return name

    def call(self, who: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return slow_http.post(f"{self.server.url}/api/v1{path}", json=body or {}, headers=headers)

    def start(self, name: str, who: str = "starter") -> str:
        execution: str = self.call(who, f"/pipelines/{name}/executions").json()["id"]
        wait_until(lambda: self.server._find_approval(execution))
        return execution

    def vote(self, who: str, execution: str) -> httpx.Response:
        approval = self.server._find_approval(execution)["id"]
        return self.call(who, f"/approvals/{approval}/vote", {"is_yes": True})

    def is_refusing(self, who: str, execution: str, reason: str = CONTRIBUTOR) -> bool:
        answer = self.vote(who, execution)
        return answer.status_code == 403 and reason in answer.json()["error"]

    def approve_execution(self, who: str, execution: str) -> None:
        answer = self.vote(who, execution)
        assert answer.is_success, answer.text
        assert self.wait_for_end(execution) == "Succeeded"

    def wait_for_end(self, execution: str) -> str:
        def read_final_state() -> str:
            findings: str = self.server.get(f"/executions/{execution}")["execution"]["state"]
            return findings if findings in ("Failed", "Succeeded") else ""

        return wait_until(read_final_state)

    @property
    def host(self) -> MemoryHost:
        host = self.server.services.sources.host
        assert isinstance(host, MemoryHost)
        return host


def make_files(text: str) -> dict[str, str]:
    return {"Dockerfile": "FROM scratch\n", "file": text}


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FourEyes]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        yield FourEyes(server)


def test_a_pusher_with_a_forged_author_cannot_approve(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    assert eyes.is_refusing("ann", execution)
    eyes.approve_execution("ben", execution)


def test_an_earlier_pusher_cannot_approve(eyes: FourEyes) -> None:
    """The last push alone was looked at before: an innocent commit on top hid who pushed the rest."""
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    eyes.server.push(name, "ben", author=OUTSIDER)
    execution = eyes.start(name)
    assert [eyes.is_refusing(who, execution) for who in ("ann", "ben", "starter")] == [True] * 3
    eyes.approve_execution("cyd", execution)


def test_who_merges_a_branch_of_the_server_cannot_approve_it_and_others_can(eyes: FourEyes) -> None:
    """The commit is the server's, so that its author and pusher are not a principal: the merge is what counts."""
    name = eyes.create_repository()
    head = eyes.server.push(name, "ann", files=make_files("1"))
    eyes.approve_execution("cyd", eyes.start(name))
    repository_files = eyes.server.services.sources.files
    edit = FilesEdit(head, {"file": "2"}, AUTHOR, "Upgrade the file")
    commit = repository_files.prepare_files(name, edit, eyes.server.clock())
    pushes = eyes.server.services.sources.pushes
    pushes.create_branch(repository_files, name, "dockgate/fix-1", commit, SERVER, f"fix/{name}")
    eyes.host.move(name, "main", commit)
    eyes.server.record_moves(name, "ben", RefUpdate("refs/heads/main", head, commit))
    execution = eyes.start(name)
    assert [eyes.is_refusing(who, execution) for who in ("ben", "starter")] == [True] * 2
    eyes.approve_execution("ann", execution)


@pytest.mark.slow
def test_authors_and_committers_cannot_approve_with_other_addresses(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "starter", author="Ann <ANN+work@example.org>", committer="Ben <ben@Example.ORG>")
    execution = eyes.start(name)
    assert [eyes.is_refusing(who, execution) for who in ("ann", "ben")] == [True] * 2
    eyes.approve_execution("cyd", execution)


def test_a_second_principal_with_the_pushers_mailbox_cannot_approve(eyes: FourEyes) -> None:
    eyes.add("ann-again", "Ann+second@example.org")
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    assert eyes.is_refusing("ann-again", execution)
    eyes.call("admin", "/principals/ann/disable").raise_for_status()
    assert eyes.is_refusing("ann-again", execution)
    eyes.call("admin", "/principals/ann/enable").raise_for_status()
    eyes.approve_execution("ben", execution)


def test_principals_with_one_mailbox_have_one_vote(eyes: FourEyes) -> None:
    eyes.add("ben-again", "Ben+second@example.org")
    name = eyes.create_repository(approver_count=2)
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    eyes.vote("ben", execution).raise_for_status()
    assert eyes.is_refusing("ben-again", execution, "ben-again has the mailbox of ben, who has voted")
    eyes.approve_execution("cyd", execution)


def test_contributors_to_an_approved_commit_are_not_excluded_later(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    eyes.approve_execution("ben", eyes.start(name))
    eyes.server.push(name, "cyd", author=OUTSIDER)
    execution = eyes.start(name)
    assert eyes.is_refusing("cyd", execution)
    eyes.approve_execution("ann", execution)


def test_a_rejected_execution_does_not_reset_the_contributors(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    rejected_execution = eyes.start(name)
    approval = eyes.server._find_approval(rejected_execution)["id"]
    eyes.call("ben", f"/approvals/{approval}/vote", {"is_yes": False, "reason": "no"}).raise_for_status()
    assert eyes.wait_for_end(rejected_execution) == "Failed"
    eyes.server.push(name, "ben", author=OUTSIDER)
    assert eyes.is_refusing("ann", eyes.start(name))


def test_a_merge_excludes_the_contributors_of_its_branch(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "starter", author=OUTSIDER)
    eyes.approve_execution("cyd", eyes.start(name))
    eyes.server.push(name, "ann", branch="feature", author="Ben <ben@example.org>")
    feature = eyes.host.list_heads(name)["feature"]
    eyes.server.push(name, "starter", author=OUTSIDER, merges=[feature])
    execution = eyes.start(name)
    assert [eyes.is_refusing(who, execution) for who in ("ann", "ben")] == [True] * 2
    eyes.approve_execution("cyd", execution)


@pytest.mark.slow
def test_commits_pushed_again_keep_their_first_pusher(eyes: FourEyes) -> None:
    """Two commits pushed to a branch; only the first of them is moved to the main branch, by a colleague."""
    name = eyes.create_repository()
    main = eyes.server.push(name, "starter", author=OUTSIDER)
    eyes.approve_execution("cyd", eyes.start(name))
    first = eyes.host.push(name, make_files("1"), branch="feature", author=OUTSIDER, merges=[main])
    second = eyes.host.push(name, make_files("2"), branch="feature", author=OUTSIDER)
    eyes.server.record_moves(name, "ann", RefUpdate("refs/heads/feature", NO_OBJECT, second))
    eyes.host.move(name, "main", first)
    eyes.server.record_moves(name, "ben", RefUpdate("refs/heads/main", main, first))
    execution = eyes.start(name)
    assert [eyes.is_refusing(who, execution) for who in ("ann", "ben")] == [True] * 2
    eyes.approve_execution("cyd", execution)


def test_a_forced_push_excludes_its_pusher_and_the_contributors_of_its_history(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    old = eyes.server.push(name, "ann", author=OUTSIDER)
    new = eyes.server.push(name, "ann", author=OUTSIDER)
    eyes.approve_execution("ben", eyes.start(name))
    eyes.host.move(name, "main", old)
    eyes.server.record_moves(name, "cyd", RefUpdate("refs/heads/main", new, old))
    execution = eyes.start(name)
    assert eyes.is_refusing("cyd", execution)
    eyes.approve_execution("ann", execution)
    other_commit = eyes.host.push(name, make_files("3"), branch="orphan", author="Ben <ben@example.org>")
    eyes.server.record_moves(name, "cyd", RefUpdate("refs/heads/orphan", NO_OBJECT, other_commit))
    eyes.host.move(name, "main", other_commit)
    eyes.server.record_moves(name, "ann", RefUpdate("refs/heads/main", old, other_commit))
    execution = eyes.start(name)
    assert [eyes.is_refusing(who, execution) for who in ("ann", "ben", "cyd")] == [True] * 3


def test_who_started_or_retried_cannot_approve(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name, "ben")
    assert eyes.is_refusing("ben", execution)
    approval = eyes.server._find_approval(execution)
    eyes.call("cyd", f"/approvals/{approval['id']}/vote", {"is_yes": False, "reason": "later"}).raise_for_status()
    assert eyes.wait_for_end(execution) == "Failed"
    eyes.call("cyd", f"/executions/{execution}/retry").raise_for_status()
    wait_until(lambda: (eyes.server._find_approval(execution) or approval)["id"] != approval["id"])
    assert eyes.server.get(f"/executions/{execution}")["execution"]["trigger"] == {
        "cause": "started by hand",
        "started_by": "ben",
        "retried_by": "cyd",
    }
    assert [eyes.is_refusing(who, execution) for who in ("ann", "ben", "cyd")] == [True] * 3


def test_a_limited_token_of_the_pusher_cannot_approve(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    for body in ({"scopes": ["decide"]}, {"pipelines": [name], "scopes": ["decide"]}):
        eyes.tokens["narrowed"] = eyes.server.post("/tokens", {"principal": "ann", **body})["text"]
        assert eyes.is_refusing("narrowed", execution), body


def test_a_commit_with_unknown_pusher_cannot_be_approved(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    commit = eyes.host.push(name, {"Dockerfile": "FROM scratch\n"}, author=OUTSIDER)
    execution = eyes.start(name)
    for who in ("ann", "ben", "cyd"):
        assert eyes.is_refusing(who, execution, f"the pusher of the commit {commit[:12]}")


def test_a_push_during_a_crash_keeps_its_pusher(eyes: FourEyes) -> None:
    """It was written down before git took it."""
    name = eyes.create_repository()
    commit = eyes.host.push(name, {"Dockerfile": "FROM scratch\n"}, author=OUTSIDER)
    update = RefUpdate("refs/heads/main", NO_OBJECT, commit)
    eyes.server.services.sources.pushes.record_requested("died", name, "ann", "token", [update])
    execution = eyes.start(name)
    assert eyes.is_refusing("ann", execution)
    eyes.approve_execution("ben", execution)


def test_unlistable_commits_cannot_be_approved(eyes: FourEyes) -> None:
    name = eyes.create_repository()
    commit = eyes.server.push(name, "ann", author=OUTSIDER)
    execution = eyes.start(name)
    lost_commit = eyes.host._commits.pop((name, commit))
    assert eyes.is_refusing("ben", execution, "the contributors are unknown: no commit")
    eyes.host._commits[name, commit] = lost_commit
    eyes.approve_execution("ben", execution)


def test_contributors_cannot_override(eyes: FourEyes) -> None:
    name = eyes.create_repository(PlannedFindings({"CRITICAL": 1}), people=False)
    eyes.server.push(name, "ann", author="Ben <ben@example.org>")
    execution = eyes.start(name)
    assert eyes.wait_for_end(execution) == "Failed"
    approval = eyes.server._find_approval(execution)["id"]
    body = {"reason": "not reachable", "until": "2999-01-01"}
    for who in ("ann", "ben", "starter"):
        response = eyes.call(who, f"/approvals/{approval}/override", body)
        assert (response.status_code, CONTRIBUTOR in response.json()["error"]) == (403, True), who
    assert eyes.server.get("/waivers") == []
    eyes.call("cyd", f"/approvals/{approval}/override", body).raise_for_status()
    wait_until(lambda: (eyes.server._find_approval(execution) or {"id": approval})["id"] != approval)
    assert eyes.wait_for_end(execution) == "Succeeded"


def test_an_external_requester_cannot_override(eyes: FourEyes) -> None:
    image = eyes.server.plan_foreign_image("asked", PlannedFindings({"CRITICAL": 1}))
    eyes.server.scan_may_end[image].set()
    question = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": "elsewhere.example/app:asked"}
    approval = eyes.call("ann", "/approvals", question).json()["approval"]["id"]
    wait_until(lambda: eyes.server.get(f"/approvals/{approval}")["state"] == "Rejected")
    body = {"reason": "not reachable", "until": "2999-01-01"}
    response = eyes.call("ann", f"/approvals/{approval}/override", body)
    assert (response.status_code, "ann asked for the approval" in response.json()["error"]) == (403, True)
    eyes.add("ann-elsewhere", "ann+elsewhere@example.org")
    response = eyes.call("ann-elsewhere", f"/approvals/{approval}/override", body)
    assert (response.status_code, "the mailbox of ann, who asked for" in response.json()["error"]) == (403, True)
    eyes.call("ben", f"/approvals/{approval}/override", body).raise_for_status()


def test_who_pushed_an_image_from_outside_cannot_override(eyes: FourEyes) -> None:
    image = eyes.server.plan_foreign_image("own-push", PlannedFindings({"CRITICAL": 1}))
    eyes.server.scan_may_end[image].set()
    eyes.server.use_cases.registry_pushes.record("own-push", "outside/app", image, "1", "ben")
    reference = f"{eyes.server.registry.address}/outside/app@{image}"
    question = {"pipeline": "shop", "stage": "gate", "execution": "own-push", "image": reference}
    approval = eyes.call("ann", "/approvals", question).json()["approval"]["id"]
    wait_until(lambda: eyes.server.get(f"/approvals/{approval}")["state"] == "Rejected")
    body = {"reason": "not reachable", "until": "2999-01-01"}
    response = eyes.call("ben", f"/approvals/{approval}/override", body)
    assert (response.status_code, "ben pushed the image" in response.json()["error"]) == (403, True)
    eyes.add("ben-elsewhere", "Ben+elsewhere@example.org")
    response = eyes.call("ben-elsewhere", f"/approvals/{approval}/override", body)
    assert (response.status_code, "the mailbox of ben, who pushed" in response.json()["error"]) == (403, True)
    eyes.call("cyd", f"/approvals/{approval}/override", body).raise_for_status()


@pytest.mark.parametrize(
    ("pushes", "reason"),
    [
        # Under a tag of attached documents it is not recorded as an image.
        ([("outside/app", "sha256-" + "a" * 64 + ".sig", "ben")], "the pusher of the image is unknown"),
        ([("outside/app", "1", "")], "the pusher of the image is unknown"),
        ([("outside/first", "1", "ben"), ("outside/app", "1", "ann")], "ben pushed the image"),
    ],
    ids=["attachment", "unknown", "copied"],
)
def test_a_pusher_cannot_hide_and_override(
    eyes: FourEyes, request: pytest.FixtureRequest, pushes: list[tuple[str, str, str]], reason: str
) -> None:
    name = f"hidden-{request.node.callspec.id}"
    image = eyes.server.plan_foreign_image(name, PlannedFindings({"CRITICAL": 1}))
    eyes.server.scan_may_end[image].set()
    for number, (repository, tag, by) in enumerate(pushes):
        eyes.server.use_cases.registry_pushes.record(f"{name}-{number}", repository, image, tag, by)
    reference = f"{eyes.server.registry.address}/outside/app@{image}"
    question = {"pipeline": "shop", "stage": "gate", "execution": name, "image": reference}
    approval = eyes.call("ann", "/approvals", question).json()["approval"]["id"]
    wait_until(lambda: eyes.server.get(f"/approvals/{approval}")["state"] == "Rejected")
    response = eyes.call("ben", f"/approvals/{approval}/override", {"reason": "no", "until": "2999-01-01"})
    assert (response.status_code, reason in response.json()["error"]) == (403, True)
