"""Who may do what, by the API alone: each role and each class of call, and tokens that do not stand."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.scenarios import slow_http
from tests.scenarios.defects import PlannedFindings
from tests.scenarios.server import ServerSystem
from tests.store.factories import IMAGE, make_approval

from dockgate.cli.server_gate import GateRequest, request_verdict
from dockgate.gate.model import Status
from dockgate.identity.model import PERMISSIONS, Permission, Role
from dockgate.web.authorization import MAX_SUBJECT
from dockgate.web.recent_calls import MAX_RECORDED, MAX_REFUSALS, RecentCalls

NOTHING = "sha256:" + "0" * 64

# Class of call -> method, path, body, and who may; each is otherwise wrong, so that nothing comes of it.
CLASSES: dict[str, tuple[str, str, Any, set[Role]]] = {
    "look": ("GET", "/pipelines", None, set(Role)),
    "start": ("POST", "/pipelines/none/executions", None, {Role.DEVELOPER, Role.ADMIN}),
    "scan": ("POST", f"/images/{NOTHING}/scan", {"repository": "-"}, {Role.DEVELOPER, Role.ADMIN}),
    "decide": (
        "POST",
        "/approvals/none-1/a/b/1/reject",
        {"token": "x", "reason": "no"},
        {Role.APPROVER, Role.SECURITY, Role.ADMIN},
    ),
    "vote": ("POST", "/approvals/none-1/a/b/1/vote", {"is_yes": True}, {Role.APPROVER, Role.SECURITY, Role.ADMIN}),
    "override": (
        "POST",
        "/approvals/none-1/a/b/1/override",
        {"reason": "why", "until": "2999-01-01"},
        {Role.SECURITY, Role.ADMIN},
    ),
    "read the record": ("GET", "/audit", None, {Role.SECURITY, Role.ADMIN}),
    "define": ("POST", "/apply", {"kind": "Repository", "name": "defined"}, {Role.ADMIN}),
    "scale": ("POST", "/services/none/scale", {"desired_count": 1}, {Role.ADMIN}),
    "add people": ("POST", "/principals", {"name": "-", "roles": []}, {Role.ADMIN}),
    "make tokens": ("POST", "/tokens", {"principal": "none"}, {Role.ADMIN}),
}


class People:
    """A server with one principal of each role, named like it."""

    def __init__(self, server: ServerSystem) -> None:
        self.server = server
        answer = server.post("/principals", {"name": "admin", "roles": ["admin"]})
        self.tokens = {"admin": answer["token"]}
        for role in Role:
            if role is not Role.ADMIN:
                body = {"name": role.value, "roles": [role.value], "email": f"{role.value}@example.org"}
                assert self.post("admin", "/principals", body)["token"] is None
                self.tokens[role.value] = self.issue_token(role.value)

    def ask(self, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return slow_http.request(method, f"{self.server.url}{path}", json=body, headers=headers)

    def post(self, who: str, path: str, body: Any = None) -> Any:
        answer = self.ask(who, "POST", f"/api/v1{path}", body)
        assert answer.is_success, answer.text
        return answer.json()

    def issue_token(self, principal: str, **fields: Any) -> str:
        text: str = self.post("admin", "/tokens", {"principal": principal, **fields})["text"]
        return text


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        yield People(server)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", CLASSES)
def test_each_role_has_its_permissions_only(people: People, name: str, role: Role) -> None:
    method, path, body, allowed_roles = CLASSES[name]
    answer = people.ask(role.value, method, f"/api/v1{path}", body)
    assert answer.status_code != 401
    assert (answer.status_code == 403) == (role not in allowed_roles), answer.text
    if role not in allowed_roles:
        assert all(entry.value in answer.json()["error"] for entry in allowed_roles)


def test_an_invalid_token_gets_no_details(people: People) -> None:
    good = people.issue_token("viewer")
    revoked_token = people.issue_token("viewer")
    assert people.post("admin", f"/tokens/{revoked_token.split('_')[1]}/revoke")["revoked_at"]
    people.post("admin", "/principals", {"name": "gone", "roles": ["admin"]})
    token_of_disabled = people.issue_token("gone")
    people.post("admin", "/principals/gone/disable")
    swapped_token = "_".join([*good.split("_")[:2], "0" * 64])
    answers = set()
    for text in (revoked_token, token_of_disabled, swapped_token, "dgt_000000000000_" + "0" * 64, "nonsense"):
        answer = slow_http.get(f"{people.server.url}/api/v1/status", headers={"Authorization": f"Bearer {text}"})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="dockgate"')
        answers.add(answer.text)
    assert len(answers) == 1
    headers = {"Authorization": f"Bearer {good}"}
    assert slow_http.get(f"{people.server.url}/api/v1/status", headers=headers).status_code == 200
    people.post("admin", "/principals/gone/enable")
    headers = {"Authorization": f"Bearer {token_of_disabled}"}
    assert slow_http.get(f"{people.server.url}/api/v1/status", headers=headers).status_code == 200


def test_roles_and_scopes_take_effect_at_once(people: People) -> None:
    people.post("admin", "/principals", {"name": "moved", "roles": ["developer"]})
    people.tokens["moved"] = people.issue_token("moved", scopes=["run"])
    assert people.ask("moved", "POST", "/api/v1/pipelines/none/executions").status_code == 404
    assert people.ask("moved", "GET", "/api/v1/pipelines").status_code == 403
    people.post("admin", "/principals/moved/roles", {"roles": ["viewer"]})
    assert people.ask("moved", "POST", "/api/v1/pipelines/none/executions").status_code == 403
    response = people.ask("admin", "POST", "/api/v1/tokens", {"principal": "moved", "scopes": ["run"]})
    assert (response.status_code, "does not have the permission run" in response.json()["error"]) == (400, True)


def test_a_token_limited_to_a_pipeline_cannot_use_other_calls(people: People) -> None:
    people.tokens["narrow"] = people.issue_token("admin", pipelines=["mine"])
    for path, status in {
        "/pipelines/mine": 404,
        "/executions/mine-1": 404,
        "/approvals/mine-1/a/b/1": 404,
        "/status": 200,
        "/pipelines/other": 403,
        "/executions/other-1": 403,
        "/executions/mine-x-1": 403,
        "/pipelines": 200,  # of which it sees its own
        "/principals": 403,
        f"/images/{NOTHING}": 403,
        "/audit": 403,
    }.items():
        assert people.ask("narrow", "GET", f"/api/v1{path}").status_code == status, path
    assert people.ask("narrow", "POST", "/api/v1/apply").status_code == 403
    assert people.ask("narrow", "POST", f"/api/v1/images/{NOTHING}/scan", {"repository": "x"}).status_code == 403


def test_git_uses_the_token_as_password(people: People) -> None:
    people.server.store.repositories.put("web", people.server.services.clock.now())
    pull, push = (
        "/git/web.git/info/refs?service=git-upload-pack",
        "/git/web.git/info/refs?service=git-receive-pack",
    )
    response = people.ask("", "GET", pull)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="dockgate"')
    people.tokens["pusher"] = people.issue_token("developer", repositories=["web"])
    people.tokens["elsewhere"] = people.issue_token("developer", repositories=["other"])
    for who, reads, writes in (
        ("viewer", 404, 403),
        ("developer", 404, 404),
        ("pusher", 404, 404),
        ("elsewhere", 403, 403),
        ("approver", 404, 403),
    ):
        password = base64.b64encode(f"user:{people.tokens[who]}".encode()).decode()
        for path, status in ((pull, reads), (push, writes)):
            answer = slow_http.get(people.server.url + path, headers={"Authorization": f"Basic {password}"})
            assert answer.status_code == status, (who, path)  # 404: this server's git is none
    for query in ("", "?service=git-upload-pack"):
        assert people.ask("viewer", "POST", f"/git/web.git/git-receive-pack{query}").status_code == 403


def test_an_approvals_token_needs_the_permission_decide(people: People) -> None:
    people.server.plans[IMAGE] = ("planned", PlannedFindings())
    people.server.scan_may_end[IMAGE] = threading.Event()  # it is being read, and the policy says nothing yet
    people.server.store.approvals.add(make_approval("foreign-1/Gate/Approve/1", expires_at="2999-01-01T00:00:00.000Z"))
    for role in Role:
        approval_token = people.ask(role.value, "GET", "/api/v1/approvals/foreign-1/Gate/Approve/1").json()["token"]
        assert bool(approval_token) == (Permission.DECIDE in PERMISSIONS[role])
    body = {"token": "token of foreign-1/Gate/Approve/1", "reason": "no", "who": "another person"}
    people.ask("approver", "POST", "/api/v1/approvals/foreign-1/Gate/Approve/1/reject", body)
    settled_approval = people.ask("viewer", "GET", "/api/v1/approvals/foreign-1/Gate/Approve/1").json()
    assert (settled_approval["state"], settled_approval["decided_by"]) == ("Rejected", "approver")


def test_every_changing_call_is_audited_with_its_status(people: People) -> None:
    people.ask("viewer", "POST", "/api/v1/apply")
    people.ask("admin", "POST", "/api/v1/pipelines/none/executions")
    newest_entry, before = people.ask("security", "GET", "/api/v1/audit?limit=2").json()
    assert (newest_entry["who"], newest_entry["call"], newest_entry["status"]) == (
        "admin",
        "POST /api/v1/pipelines/{name}/executions",
        404,
    )
    assert newest_entry["subject"] == "/api/v1/pipelines/none/executions"
    assert newest_entry["token"] == people.tokens["admin"].split("_")[1]
    assert (before["who"], before["subject"], before["status"]) == ("viewer", "/api/v1/apply", 403)
    people.ask("viewer", "POST", "/git/web.git/git-upload-pack")
    assert people.ask("security", "GET", "/api/v1/audit?limit=1").json()[0]["id"] == newest_entry["id"]
    people.ask("viewer", "POST", "/git/web.git/git-receive-pack")
    push_entry = people.ask("security", "GET", "/api/v1/audit?limit=1").json()[0]
    assert (push_entry["subject"], push_entry["status"]) == ("/git/web.git/git-receive-pack", 403)
    entries_of_viewer = people.ask("security", "GET", "/api/v1/audit?by=viewer").json()
    assert {entry["who"] for entry in entries_of_viewer} == {"viewer"}


def test_refused_calls_do_not_fill_the_audit_log(people: People) -> None:
    people.server.app.state.refused_calls = RecentCalls(MAX_REFUSALS)
    people.post("admin", "/principals", {"name": "vera", "roles": ["viewer"]})
    people.tokens["vera"] = people.issue_token("vera")
    path = f"/api/v1/executions/{'x' * 20_000}/stop"
    statuses = [people.ask("vera", "POST", path, {}).status_code for _ in range(MAX_REFUSALS + 5)]
    assert statuses == [403] * MAX_REFUSALS + [429] * 5
    entries = people.ask("security", "GET", f"/api/v1/audit?by=vera&limit={MAX_REFUSALS * 2}").json()
    assert [entry["status"] for entry in entries] == [403] * MAX_REFUSALS
    assert {len(entry["subject"]) for entry in entries} == {MAX_SUBJECT + 1}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/images/sha256:{:064}/scan", {"repository": "bravo/app"}, 403),  # decided by the call itself
        ("/pipelines/none-{}/executions", None, 404),
        ("/approvals", {"pipeline": "{}"}, 422),
    ],
)
def test_calls_that_end_without_effect_do_not_fill_the_audit_log(
    people: People, path: str, body: object, status: int
) -> None:
    people.server.app.state.refused_calls = RecentCalls(MAX_REFUSALS)
    name = f"dave-{status}"
    roles = {"roles": [], "project_roles": [{"role": "developer", "repositories": "alpha/*"}]}
    people.post("admin", "/principals", {"name": name, **(roles if status == 403 else {"roles": ["developer"]})})
    people.tokens[name] = people.issue_token(name)
    calls = [people.ask(name, "POST", f"/api/v1{path.format(number)}", body) for number in range(MAX_REFUSALS + 5)]
    assert [call.status_code for call in calls] == [status] * MAX_REFUSALS + [429] * 5
    entries = people.ask("security", "GET", f"/api/v1/audit?by={name}&limit={MAX_REFUSALS * 2}").json()
    assert len(entries) == MAX_REFUSALS
    assert people.ask(name, "GET", "/api/v1/status").status_code == 200


def test_sign_ins_do_not_fill_the_audit_log(people: People) -> None:
    people.server.app.state.recorded_calls = RecentCalls(MAX_RECORDED)
    people.post("admin", "/principals", {"name": "sid", "roles": ["viewer"]})
    form = {"token": people.issue_token("sid")}

    def sign_in() -> int:
        headers = {"Sec-Fetch-Site": "same-origin"}
        return slow_http.post(f"{people.server.url}/signin", data=form, headers=headers).status_code

    assert [sign_in() for _ in range(MAX_RECORDED + 3)] == [303] * MAX_RECORDED + [429] * 3
    entries = people.ask("security", "GET", f"/api/v1/audit?by=sid&limit={MAX_RECORDED * 2}").json()
    assert len(entries) == MAX_RECORDED


def test_tokens_record_their_last_use(people: People) -> None:
    text = people.issue_token("viewer")
    people.tokens["used"] = text

    def get_last_use() -> str | None:
        tokens = people.ask("admin", "GET", "/api/v1/tokens?principal=viewer").json()
        last: str | None = next(token["last_used_at"] for token in tokens if token["id"] == text.split("_")[1])
        return last

    assert get_last_use() is None
    people.ask("used", "GET", "/api/v1/status")
    first = get_last_use()
    assert first
    people.ask("used", "GET", "/api/v1/status")
    assert get_last_use() == first


def test_no_response_contains_a_secret_or_its_digest(people: People) -> None:
    listing = people.ask("admin", "GET", "/api/v1/tokens").text
    assert "digest" not in listing
    for text in people.tokens.values():
        assert text.rpartition("_")[2] not in listing


def test_callers_get_their_permissions(people: People) -> None:
    assert people.ask("approver", "GET", "/api/v1/caller").json()["permissions"] == ["read", "decide"]


def test_principals_are_validated(people: People) -> None:
    for wrong in (
        {"name": "a b", "roles": ["viewer"]},
        {"name": "policy", "roles": ["viewer"]},
        {"name": "Admin", "roles": ["viewer"]},
        {"name": "zoe", "roles": []},
        {"name": "zoe", "roles": ["viewer"], "email": "zoe"},
        {"name": "zoe", "roles": ["boss"]},
    ):
        assert people.ask("admin", "POST", "/api/v1/principals", wrong).status_code in (400, 409, 422), wrong
    for days in (0, 367, -1):
        body = {"principal": "viewer", "days": days}
        assert people.ask("admin", "POST", "/api/v1/tokens", body).status_code == 400


def test_a_token_for_pipelines_requests_no_approval_from_outside(people: People) -> None:
    """There everybody may call their pipeline by any name."""
    people.server.plan_foreign_image("app", PlannedFindings())
    people.tokens["limited"] = people.issue_token("developer", pipelines=["shop"])
    body = {"pipeline": "shop", "stage": "gate", "execution": "1", "image": "elsewhere.example/app:app"}
    assert people.ask("limited", "POST", "/api/v1/approvals", body).status_code == 403


def test_a_limited_token_can_use_the_gate_and_read_its_verdict(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    limits, name = {"repositories": ["elsewhere.example/app"]}, "app"
    image = people.server.plan_foreign_image(name, PlannedFindings({"CRITICAL": 1}))
    people.server.scan_may_end[image].set()
    monkeypatch.setenv("DOCKGATE_TOKEN", people.issue_token("developer", **limits))
    reference = f"elsewhere.example/app:{name}"
    answer = request_verdict(
        GateRequest(people.server.url, reference, "default", "shop", "gate", "", "", 20, True), True, lambda _: None
    )
    assert answer.report is not None
    assert answer.report.verdict.status is Status.REJECTED
    assert answer.report.case is not None
    people.tokens["limited"] = people.issue_token("developer", **limits)
    assert people.ask("limited", "POST", f"/api/v1/images/{image}/findings", {}).status_code != 403
    other_image = people.server.plan_foreign_image(f"other-{name}", PlannedFindings())
    people.server.scan_may_end[other_image].set()
    body = {
        "pipeline": "theirs",
        "stage": "gate",
        "execution": "1",
        "digest": other_image,
        "repository": "another.example/app",
    }
    foreign_approval = people.post("admin", "/approvals", body)["approval"]
    assert people.ask("limited", "GET", f"/api/v1/images/{other_image}").status_code == 403
    assert people.ask("limited", "GET", f"/api/v1/approvals/{foreign_approval['id']}").status_code == 404
