"""A token made directly in the tables, without the server."""

import re
from contextlib import closing
from pathlib import Path

import pytest
from tests.scenarios.server import ServerSystem

from dockgate.config import Settings
from dockgate.identity.model import Permission
from dockgate.services.identity import people
from dockgate.shared.errors import DockgateError, NotFoundError, UsageError
from dockgate.store import open_store


def settings(folder: Path) -> Settings:
    return Settings(data=folder, cache=folder)


def test_database_access_grants_a_valid_token_which_is_recorded(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})  # whose token was lost
        assert server.client.get("/principals").status_code == 401
        token, text = people.issue_local_token(settings(tmp_path), "ada", 1)
        assert re.fullmatch(f"dgt_{token.id}_[0-9a-f]{{64}}", text)
        server.client.headers["Authorization"] = f"Bearer {text}"
        assert [item["name"] for item in server.get("/principals")] == ["ada"]
        made, first = server.get("/audit")
        assert (made["who"], made["call"], made["subject"], made["status"]) == (
            *("local", "dockgate token create --local", "ada"),
            201,
        )
        assert first["call"] == "POST /api/v1/principals"


def test_a_local_token_has_the_requested_scopes_and_limits(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
        token, _ = people.issue_local_token(settings(tmp_path), "ada", 1, [Permission.READ], ["web"], ["Web"])
        assert (token.scopes, token.repositories, token.pipelines) == ((Permission.READ,), ("web",), ("Web",))


def test_an_unknown_principal_is_shown_who_may_administer(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        with pytest.raises(NotFoundError) as anonymous:
            people.issue_local_token(settings(tmp_path), "ada", 1)
        assert "principal add NAME --role admin" in str(anonymous.value.advice)
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
    with pytest.raises(NotFoundError, match="no principal 'eve'") as messages:
        people.issue_local_token(settings(tmp_path), "eve", 1)
    assert "ada" in str(messages.value.advice)


def test_what_the_server_would_refuse_is_refused_and_on_record(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        server.post("/principals", {"name": "ada", "roles": ["admin"]})
    with pytest.raises(UsageError):
        people.issue_local_token(settings(tmp_path), "ada", 1000)
    with closing(open_store(tmp_path)) as store:
        assert store.audit.list()[0].status == 400


def test_a_folder_without_tables_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(DockgateError, match="no server has stored data") as messages:
        people.issue_local_token(settings(tmp_path), "ada", 1)
    assert "DOCKGATE_DATA" in str(messages.value.advice)
    assert list(tmp_path.iterdir()) == []
