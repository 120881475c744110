from collections.abc import Iterator

import pytest
from tests.aws.account import Account, run_account


@pytest.fixture
def aws() -> Iterator[Account]:
    """An account; every call that the functions made of our fakes was one that AWS would take."""
    with run_account() as new_account:
        yield new_account
        assert new_account.list_faults() == []
