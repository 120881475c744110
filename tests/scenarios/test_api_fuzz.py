"""Every answer of the API agrees with its OpenAPI document, whoever calls, whatever is sent."""

from pathlib import Path

import pytest
from tests.scenarios.fuzz_api import fuzz
from tests.scenarios.server import ServerSystem
from tests.scenarios.test_routes import Callers

pytestmark = pytest.mark.real

RUNS = {
    "admin": ("--phases", "coverage,fuzzing", "--max-examples", "2"),
    "security": ("--phases", "fuzzing", "--max-examples", "2"),
    "approver": ("--phases", "fuzzing", "--max-examples", "1"),
    "developer": ("--phases", "fuzzing", "--max-examples", "2"),
    "viewer": ("--phases", "fuzzing", "--max-examples", "1"),
    "": ("--phases", "fuzzing", "--max-examples", "1"),
}


@pytest.mark.parametrize("who", RUNS)
def test_every_answer_agrees_with_the_document(tmp_path: Path, who: str) -> None:
    (tmp_path / "server").mkdir()
    with ServerSystem(tmp_path / "server") as server:
        callers = Callers(server)
        found = fuzz(callers, who, tmp_path, *RUNS[who])
        assert not found, found
        headers = {"Authorization": f"Bearer {callers.tokens[who or 'viewer']}"}
        assert callers.client.get("/api/v1/caller", headers=headers).status_code == 200
        callers.client.close()
