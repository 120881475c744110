"""The changes that a call made, in words, for its entry in the audit log."""

from collections.abc import Callable
from contextvars import ContextVar

# Characters of a detail.
MAX_DETAIL = 500

# Describes the audit entry of the call that is being answered, None for a call without one. Threads inherit it.
_describe: ContextVar[Callable[[str], None] | None] = ContextVar("describe", default=None)


def begin_call(describe: Callable[[str], None] | None) -> None:
    """Set what describes the audit entry of the call that begins, None for a call without an entry."""
    _describe.set(describe)


def note_change(detail: str) -> None:
    """Record in this call's audit entry what the call changed.

    Never pass a secret. Does nothing without an entry.
    """
    describe = _describe.get()
    if describe is not None and detail:
        describe(detail if len(detail) <= MAX_DETAIL else f"{detail[: MAX_DETAIL - 1]}…")
