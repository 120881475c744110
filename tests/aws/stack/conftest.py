from collections.abc import Iterator

import pytest
from tests.aws.stack.cloud import Cloud, run_cloud
from tests.aws.stack.cloudformation import MODES, Stack


@pytest.fixture(name="cloud")
def _cloud() -> Iterator[Cloud]:
    """Every call of CloudFormation, and every answer, keeps to botocore's model."""
    with run_cloud() as new_cloud:
        yield new_cloud
        assert new_cloud.formation.faults == []


@pytest.fixture(params=MODES)
def stack(request: pytest.FixtureRequest) -> Stack:
    """Resolving it alone shows that nothing refers to what is not there in this mode."""
    return Stack(MODES[request.param])
