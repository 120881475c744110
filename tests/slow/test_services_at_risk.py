"""tests/scenarios/test_services_at_risk.py on Postgres."""

import pytest
from tests.scenarios.test_services_at_risk import *  # noqa: F403 - the tests


@pytest.fixture(scope="module")  # type: ignore[no-redef]
def database() -> str:
    return "postgres"
