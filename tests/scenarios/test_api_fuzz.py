"""Every answer of the API agrees with its OpenAPI document, whatever is sent.

An admin calls everything, a viewer what it may not, and a caller without a token what needs none or is refused; who is
refused what is in `test_routes.py`. `make fuzz-api` calls everything under every role.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios.fuzz_api import fuzz_calls
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_routes import Callers

from dockgate.identity.model import Permission

pytestmark = pytest.mark.real

# Caller -> the permissions of the calls, the phases, and how many requests a call.
RUNS = {
    "admin": ({None, *Permission}, "fuzzing", 1),
    "viewer": ({Permission.RUN, Permission.DECIDE}, "fuzzing", 2),
    "": ({None, Permission.DECIDE}, "fuzzing", 2),
}


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with ServerSystem(Path(tmp_path_factory.mktemp("server"))) as server:
        callers_of_server = Callers(server)
        yield callers_of_server
        callers_of_server.client.close()


@pytest.mark.parametrize("who", RUNS)
def test_every_response_matches_the_openapi_document(callers: Callers, tmp_path: Path, who: str) -> None:
    permissions, phases, count = RUNS[who]
    problems = fuzz_calls(callers, who, tmp_path, permissions, "--phases", phases, "--max-examples", str(count))
    assert not problems, problems
    headers = {"Authorization": f"Bearer {callers.tokens[who or 'viewer']}"}
    assert callers.client.get("/api/v1/caller", headers=headers).status_code == 200
