"""tests/scenarios/test_fixes.py on Postgres."""

import pytest
from tests.scenarios.test_fixes import *  # noqa: F403 - the tests


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def database() -> str:
    return "postgres"
