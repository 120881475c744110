from collections.abc import Iterator

import pytest
from tests.aws.stack.cloud import Cloud, cloud


@pytest.fixture(name="cloud")
def _cloud() -> Iterator[Cloud]:
    """Every call of CloudFormation, and every answer, keeps to botocore's model."""
    with cloud() as made:
        yield made
        assert made.formation.faults == []
