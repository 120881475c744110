"""What a target does with a message that can never reach it."""

from collections.abc import Iterator
from contextlib import contextmanager

from dockgate.shared.errors import MessageRefusedError, UsageError


@contextmanager
def refuse_for_usage_errors() -> Iterator[None]:
    """Raise MessageRefusedError for a UsageError.

    `check` accepted the target when it was applied. Since then a library may have been removed, or the server's
    settings may forbid its host.
    """
    try:
        yield
    except UsageError as error:
        raise MessageRefusedError(str(error), error.advice) from None
