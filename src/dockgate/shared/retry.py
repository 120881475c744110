"""How long what somebody else has to take is tried again: answers by callback, notices."""

import hashlib
from datetime import datetime, timedelta

FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(hours=1)
GIVE_UP = timedelta(days=1)
"""after the first attempt"""


def again_at(name: str, since: str, failed: int, now: datetime) -> datetime | None:
    """When to try again after one more failure, `failed` before it, first tried `since` (RFC 3339): twice as long after
    each, up to an hour, for a day. None: never.

    Up to a quarter more by the name, so that those that failed at once do not all come back at once.
    """
    wait = min(FIRST_WAIT * 2 ** min(failed, 16), LONGEST_WAIT)
    part = int(hashlib.sha256(f"{name}/{failed}".encode()).hexdigest()[:4], 16) / 0x10000
    following = now + wait * (1 + part / 4)
    return following if following < datetime.fromisoformat(since) + GIVE_UP else None
