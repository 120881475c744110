"""Work through many items: one that fails keeps no other from being done."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from dockgate.shared.errors import StoreError, describe_error, find_unexpected_error

T = TypeVar("T")

# Failures of the database in a row after which it is taken to be away.
STORE_FAILURES = 3

_log = logging.getLogger(__name__)


def run_for_each(items: Iterable[T], act: Callable[[T], object], name: Callable[[T], str] = str) -> None:
    """Call `act` with each item, whether or not others fail.

    Raise the first error at the end; others are logged. When the database fails for several items in a row, the rest is
    not tried. `name` is an item's name in the log.
    """
    first_error: Exception | None = None
    store_failures = 0
    for item in items:
        try:
            act(item)
            store_failures = 0
        except Exception as error:
            store_failures = store_failures + 1 if isinstance(error, StoreError) else 0
            if first_error is None:
                first_error = error
                first_error.add_note(f"(of {name(item)})")
            else:
                _log.warning("%s failed: %s", name(item), describe_error(error), exc_info=find_unexpected_error(error))
            if store_failures == STORE_FAILURES:
                break
    if first_error is not None:
        raise first_error
