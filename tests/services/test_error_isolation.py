"""Work through many items: one that fails keeps no other from being done."""

import pytest

from dockgate.services.error_isolation import STORE_FAILURES, run_for_each
from dockgate.shared.errors import StoreError, UsageError


def test_every_item_is_tried_and_the_first_error_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    finished_items: list[int] = []

    def act(item: int) -> None:
        if item in (1, 3):
            raise UsageError(f"{item} is odd")
        finished_items.append(item)

    with pytest.raises(UsageError, match="1 is odd") as error_info:
        run_for_each(range(5), act, lambda item: f"item {item}")
    assert finished_items == [0, 2, 4]
    assert error_info.value.__notes__ == ["(of item 1)"]
    assert "item 3 failed: 3 is odd" in caplog.text


def test_a_database_that_is_away_is_not_asked_for_every_item() -> None:
    tried_items: list[int] = []

    def act(item: int) -> None:
        tried_items.append(item)
        if item:
            raise StoreError("it does not answer", "Wait.")

    with pytest.raises(StoreError):
        run_for_each(range(100), act)
    assert len(tried_items) == STORE_FAILURES + 1
