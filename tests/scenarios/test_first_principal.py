"""A server before and after its first principal, and tokens that expire."""

import re
from datetime import timedelta
from pathlib import Path

from tests.scenarios.server import ServerSystem
from tests.scenarios.test_principals import People

from dockgate.web.authorization import MAX_FAILURES


def test_a_token_expires(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        people = People(server)
        people.tokens["short"] = people.issue_token("viewer", days=1)
        assert people.ask("short", "GET", "/api/v1/status").status_code == 200
        server.clock.ahead += timedelta(days=1, seconds=1)
        assert people.ask("short", "GET", "/api/v1/status").status_code == 401


def test_without_principals_local_callers_have_all_permissions_and_the_first_is_admin(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        response = server.client.post("/principals", json={"name": "vic", "roles": ["viewer"]})
        assert response.status_code == 400
        assert "--role admin" in response.json()["advice"]
        assert server.get("/caller")["name"] == "local"
        first = server.post("/principals", {"name": "ada", "roles": ["admin"]})
        assert re.fullmatch(r"dgt_[0-9a-f]{12}_[0-9a-f]{64}", first["token"])
        assert server.client.get("/status").status_code == 401
        assert server.client.get("/health").status_code == 200
        headers = {"Authorization": f"Bearer {first['token']}"}
        entries = server.client.get("/audit", headers=headers).json()
        assert [(entry["who"], entry["status"]) for entry in entries] == [("local", 201), ("local", 400)]


def test_too_many_invalid_tokens_get_429_and_valid_ones_pass(tmp_path: Path) -> None:
    with ServerSystem(tmp_path) as server:
        people = People(server)
        people.tokens["wrong"] = "dgt_000000000000_" + "0" * 64
        answers = [people.ask("wrong", "GET", "/api/v1/status").status_code for _ in range(MAX_FAILURES + 2)]
        assert answers == [401] * MAX_FAILURES + [429] * 2
        assert people.ask("viewer", "GET", "/api/v1/status").status_code == 200
        assert people.ask("", "GET", "/api/v1/status").status_code == 401
