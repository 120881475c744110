"""A token made directly in the tables, without the server."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from tests.scenarios.server import ServerSystem

from dockgate.config import Settings
from dockgate.identity.model import Permission, Role, read_roles
from dockgate.services.identity import people
from dockgate.services.identity.provider_sign_in import read_mapping
from dockgate.shared.errors import DockgateError, NotFoundError, UsageError
from dockgate.store import open_store


def make_settings(folder: Path) -> Settings:
    return Settings(data=folder, cache=folder)


def test_database_access_grants_a_valid_token_which_is_recorded(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})  # whose token was lost
        assert server.client.get("/principals").status_code == 401
        token, text = people.issue_local_token(make_settings(tmp_path), "ada", 1)
        assert re.fullmatch(f"dgt_{token.id}_[0-9a-f]{{64}}", text)
        server.client.headers["Authorization"] = f"Bearer {text}"
        assert [item["name"] for item in server.get("/principals")] == ["ada"]
        audit_entry, first = server.get("/audit")
        assert (audit_entry["who"], audit_entry["call"], audit_entry["subject"], audit_entry["status"]) == (
            *("local", "dockgate token create --local", "ada"),
            201,
        )
        assert first["call"] == "POST /api/v1/principals"


def test_a_local_token_has_the_requested_scopes_and_limits(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
        token, _ = people.issue_local_token(make_settings(tmp_path), "ada", 1, [Permission.READ], ["web"], ["Web"])
        assert (token.scopes, token.repositories, token.pipelines) == ((Permission.READ,), ("web",), ("Web",))


def test_patterns_have_neither_our_own_registry_nor_blanks(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
        repositories = [" team/* ", "localhost:7421/team/*", "quay.io:8443/team/*"]
        token, _ = people.issue_local_token(make_settings(tmp_path), "ada", 1, [], repositories, [" Web"])
        assert (token.repositories, token.pipelines) == (("team/*", "quay.io:8443/team/*"), ("Web",))
        for pattern in ("127.0.0.1:7421/*", " "):
            with pytest.raises(UsageError):
                people.issue_local_token(make_settings(tmp_path), "ada", 1, [], [pattern])


def test_the_roles_of_a_provider_and_of_people_have_no_registry_of_our_own(tmp_path: Path) -> None:
    texts = ["developer:127.0.0.1:7421/team/*", "developer:quay.io:8443/team/*"]
    roles = [entry.role for entry in read_mapping([("devs", text) for text in texts], ("127.0.0.1:7421",))]
    assert list(map(str, roles)) == ["developer:team/*", "developer:quay.io:8443/team/*"]
    with pytest.raises(UsageError, match="DOCKGATE_OIDC_ROLES, group"):
        read_mapping([("devs", "developer:127.0.0.1:7421/*")], ("127.0.0.1:7421",))
    with ServerSystem(tmp_path) as server:
        server.services.access.people.add("ada", [Role.ADMIN], None)
        principal, _ = server.services.access.people.add("eve", [], None, read_roles(texts)[1])
        assert list(map(str, principal.project_roles)) == list(map(str, roles))


def test_an_unknown_principal_is_shown_who_may_administer(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        with pytest.raises(NotFoundError) as anonymous:
            people.issue_local_token(make_settings(tmp_path), "ada", 1)
        assert "principal add NAME --role admin" in str(anonymous.value.advice)
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
    with pytest.raises(NotFoundError, match="no principal 'eve'") as messages:
        people.issue_local_token(make_settings(tmp_path), "eve", 1)
    assert "ada" in str(messages.value.advice)


def test_what_the_server_would_refuse_is_refused_and_on_record(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
    with pytest.raises(UsageError):
        people.issue_local_token(make_settings(tmp_path), "ada", 1000)
    with closing(open_store(tmp_path)) as store:
        assert store.audit.list()[0].status == 400


def test_a_folder_without_tables_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DockgateError, match="no server has stored data") as messages:
        people.issue_local_token(make_settings(tmp_path), "ada", 1)
    assert "DOCKGATE_DATA" in str(messages.value.advice)
    assert list(tmp_path.iterdir()) == []
