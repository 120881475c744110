from collections.abc import Iterator

import pytest
from tests.aws.account import Account, account


@pytest.fixture
def aws() -> Iterator[Account]:
    """An account; every call that the functions made of our fakes was one that AWS would take."""
    with account() as made:
        yield made
        assert made.faults() == []
