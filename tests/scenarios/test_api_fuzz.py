"""Every answer of the API agrees with its OpenAPI document, whatever is sent.

An admin calls everything, and a caller without a token what needs none. `make slow` lets a viewer and a caller without
a token call what they may not; who is refused what is in `test_routes.py`. `make fuzz-api` calls everything under every
role.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.fuzz_api import fuzz_calls
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_routes import Callers

from dockgate.identity.model import Permission

pytestmark = pytest.mark.real

# A caller, the permissions of the calls, and how many requests a call.
RUNS: list[Any] = [
    ("admin", {None, *Permission}, 1),
    ("", {None}, 2),
    pytest.param("viewer", {Permission.RUN, Permission.DECIDE}, 2, marks=pytest.mark.slow),
    pytest.param("", {Permission.DECIDE}, 2, marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        callers_of_server = Callers(server)
        yield callers_of_server
        callers_of_server.client.close()


@pytest.mark.parametrize(("who", "permissions", "count"), RUNS)
def test_every_response_matches_the_openapi_document(
    callers: Callers, tmp_path: Path, who: str, permissions: set[Permission | None], count: int
) -> None:
    problems = fuzz_calls(callers, who, tmp_path, permissions, "--phases", "fuzzing", "--max-examples", str(count))
    assert not problems, problems
    headers = {"Authorization": f"Bearer {callers.tokens[who or 'viewer']}"}
    assert callers.client.get("/api/v1/caller", headers=headers).status_code == 200
