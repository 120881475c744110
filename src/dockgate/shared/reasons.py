"""Reasons that people give for a decision, for the record."""

from dockgate.shared.errors import UsageError

# Characters of a reason.
REASON_LIMIT = 400


def require_short_reason(reason: str) -> None:
    """Raise UsageError for a reason that is too long for a list."""
    if len(reason) > REASON_LIMIT:
        raise UsageError(f"the reason has {len(reason):,} characters", f"Use at most {REASON_LIMIT}.")
