"""`dockgate principal`, `token`, `audit`, and what people say to approvals."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.cli import answers
from tests.cli.conftest import Dockgate
from tests.cli.fake_server import FakeServer

from dockgate.delivery.model import ApprovalState
from dockgate.identity.model import Role
from dockgate.services.identity.people import USED_SECONDS, People
from dockgate.store import open_store

TOKEN = "dgt_0123456789ab_" + "0" * 64
APPROVAL = "Web-7/Gate/Approve/1"


def test_the_first_principals_token_is_printed_once_and_alone(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /principals"] = {"principal": {}, "token": TOKEN}
    result = dockgate("principal", "add", "ada", "--role", "admin", "--email", "ada@example.org")
    assert (result.code, result.out.splitlines()[-1]) == (0, TOKEN)
    assert "DOCKGATE_TOKEN" in result.err
    assert server.requests[0].parse_body() == {"name": "ada", "roles": ["admin"], "email": "ada@example.org"}
    server.answers["POST /principals"] = {"principal": {}, "token": None}
    assert "dockgate token create ben" in dockgate("principal", "add", "ben", "--role", "viewer").out


def test_a_principal_is_changed_by_name(dockgate: Dockgate, server: FakeServer) -> None:
    for verb in ("disable", "enable"):
        server.answers[f"POST /principals/ben/{verb}"] = {}
        assert dockgate("principal", verb, "ben").out == f"ben: {verb}d\n"
    server.answers["POST /principals/ben/roles"] = {"roles": ["viewer", "approver"]}
    result = dockgate("principal", "roles", "ben", "--role", "viewer", "--role", "approver")
    assert result.out == "ben: viewer, approver\n"
    assert server.requests[-1].parse_body() == {"roles": ["viewer", "approver"]}


def test_principals_are_listed(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["GET /principals"] = []
    assert "has all permissions" in dockgate("principal", "list").out
    principal = {
        "name": "ada",
        "roles": ["admin"],
        "email": "a@b.c",
        "created_at": "",
        "disabled_at": "2026-11-24T10:00:00Z",
    }
    server.answers["GET /principals"] = [principal]
    output = dockgate("principal", "list").out
    assert "admin" in output
    assert "disabled" in output


def test_a_token_is_made_with_its_limits_and_printed_alone(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /tokens"] = {"token": {}, "text": TOKEN}
    result = dockgate("token", "create", "ci", "--days", "7", "--scope", "run", "--pipeline", "Web")
    assert result.out == f"{TOKEN}\n"
    assert server.requests[0].parse_body() == {
        "principal": "ci",
        "days": 7,
        "scopes": ["run"],
        "repositories": [],
        "pipelines": ["Web"],
    }


def test_a_token_is_created_locally_without_a_server(dockgate: Dockgate, server: FakeServer, tmp_path: Path) -> None:
    refusal = dockgate("token", "create", "ada", "--local")
    assert refusal.code == 2
    assert str(tmp_path / "data") in refusal.err
    with closing(open_store(tmp_path / "data")) as store:
        people = People(store, lambda: datetime.now(UTC), ("127.0.0.1:7421",))
        people.add("ada", [Role.ADMIN], "")
        creation = dockgate("token", "create", "ada", "--local")
        assert creation.code == 0
        assert people.authenticate(creation.out.strip()).name == "ada"
        document = json.loads(dockgate("token", "create", "ada", "--local", "-o", "json").out)
    assert document["text"].startswith(f"dgt_{document['token']['id']}_")
    assert "digest" not in document["token"]
    assert server.requests == []


def test_the_secret_of_a_pasted_token_is_not_sent(dockgate: Dockgate, server: FakeServer) -> None:
    server.answers["POST /tokens/0123456789ab/revoke"] = {"id": "0123456789ab"}
    for token_text in (TOKEN, "0123456789ab"):
        assert dockgate("token", "revoke", token_text).out == "0123456789ab: revoked\n"
    assert all("0" * 64 not in request.path for request in server.requests)


def test_tokens_are_listed_with_their_limits(dockgate: Dockgate, server: FakeServer) -> None:
    token = {
        "id": "0123456789ab",
        "principal": "ci",
        "scopes": ["run"],
        "repositories": [],
        "pipelines": ["Web"],
        "expires_at": "2999-01-01T00:00:00Z",
        "last_used_at": None,
        "revoked_at": None,
        "is_session": False,
    }
    server.answers["GET /tokens"] = [token, {**token, "scopes": [], "pipelines": [], "revoked_at": "2026-01-01"}]
    head, first, second = dockgate("token", "list").out.splitlines()
    assert f"LAST USED (WITHIN {USED_SECONDS // 3600} H)" in head
    assert [word in first for word in ("run", "Web", "never")] == [True] * 3
    assert [word in second for word in ("all", "-", "revoked")] == [True] * 3


def test_the_audit_log_shows_callers_and_missing_responses(dockgate: Dockgate, server: FakeServer) -> None:
    entry = {"at": "2026-11-24T10:00:00Z", "who": "ada", "token": "t", "call": "POST /x/{y}", "subject": "/x/1"}
    server.answers["GET /audit"] = [{**entry, "status": None}, {**entry, "status": 201}]
    output = dockgate("audit", "--by", "ada", "--call", "POST /x/{y}", "--result", "refused").out
    assert "POST /x/1" in output
    assert "no response" in output
    filters = {"by": "ada", "call": "POST /x/{y}", "result": "Refused"}
    assert server.requests[0].query == {**filters, "limit": "50", "sort": "-at"}


def test_the_audit_log_shows_the_first_references_of_a_push(dockgate: Dockgate, server: FakeServer) -> None:
    entry = {"at": "2026-11-24T10:00:00Z", "who": "ada", "token": "t", "call": "POST /git/x", "subject": "/git/x"}
    lines = [f"refs/heads/b{number} {'0' * 40} -> {'a' * 40}" for number in range(7)]
    server.answers["GET /audit"] = [{**entry, "status": 200, "detail": "\n".join(lines)}]
    output = dockgate("audit").out
    assert "refs/heads/b4 0000000000 -> aaaaaaaaaa\n" in output
    assert "refs/heads/b5" not in output
    assert "and 2 more" in output


def test_an_approval_shows_the_number_of_votes(dockgate: Dockgate, server: FakeServer) -> None:
    waits = answers.make_approval(ApprovalState.WAITING, approvers={"principals": ["ann"], "roles": [], "count": 2})
    server.answers[f"POST /approvals/{APPROVAL}/vote"] = {"approval": waits, "votes": [{"who": "ann", "is_yes": True}]}
    assert dockgate("approval", "approve", APPROVAL).out == f"{APPROVAL}: Waiting, 1 of 2 approvals\n"
    assert server.requests[0].parse_body() == {"is_yes": True, "reason": ""}


def test_an_approval_shows_its_approvers(dockgate: Dockgate, server: FakeServer) -> None:
    approvers = {"principals": ["ann"], "roles": ["security"], "count": 2, "exclude_committer": True}
    server.answers[f"GET /approvals/{APPROVAL}"] = answers.make_approval(ApprovalState.WAITING, approvers=approvers)
    assert "2 of ann, security; not the committer" in dockgate("approval", "show", APPROVAL).out


def test_an_override_lists_its_waivers_and_the_retried_execution(dockgate: Dockgate, server: FakeServer) -> None:
    waiver = {"id": "o-1", "vulnerability": "CVE-1", "package": "pkg:npm/a@1", "rule": "", "until": "2026-12-31"}
    bare = {**waiver, "id": "o-2", "vulnerability": "", "package": "", "rule": "max_age"}
    waiver_of_rule = {**bare, "id": "o-3", "rule": "forbidden_packages", "violation": "telnet is forbidden"}
    server.answers[f"POST /approvals/{APPROVAL}/override"] = {
        "waivers": [waiver, bare, waiver_of_rule],
        "retried_execution": "Web-7",
    }
    result = dockgate("approval", "override", APPROVAL, "--reason", "why", "--until", "2026-12-31")
    assert result.out.splitlines() == [
        "o-1: CVE-1 in pkg:npm/a@1, until 2026-12-31",
        "o-2: rule max_age, until 2026-12-31",
        "o-3: telnet is forbidden, until 2026-12-31",
        "Retrying Web-7.",
    ]


def test_a_role_can_be_for_some_repositories(dockgate: Dockgate, server: FakeServer) -> None:
    project_roles = [{"role": "developer", "repositories": "team-a/*"}]
    server.answers["POST /principals/ben/roles"] = {"roles": ["viewer"], "project_roles": project_roles}
    result = dockgate("principal", "roles", "ben", "--role", "viewer", "--role", "developer:team-a/*")
    assert result.out == "ben: viewer, developer:team-a/*\n"
    assert server.requests[-1].parse_body() == {"roles": ["viewer"], "project_roles": project_roles}
    refused_run = dockgate("principal", "roles", "ben", "--role", "root")
    assert refused_run.code == 2
    assert "developer:team-a/*" in refused_run.err
