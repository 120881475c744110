"""Signed, expiring links to one verdict alone, for visitors who have no account."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from dockgate.delivery.ports import Clock
from dockgate.shared.errors import DeniedError, UsageError
from dockgate.shared.timestamps import format_time

DEFAULT_DAYS = 7.0
MOST_DAYS = 30.0
# What the key signs, so that no signature for another purpose counts.
_PURPOSE = b"dockgate: link to a verdict, version 1"


@dataclass(frozen=True, slots=True)
class VerdictLinks:
    """Links to verdicts, from signing to revocation.

    `secret` is known to the servers of one database alone, `url` is their public URL. `count_revocations` returns how
    often the links to a verdict were revoked, `revoke` counts one more: links that were made before do not count.
    """

    secret: str
    url: str
    clock: Clock
    count_revocations: Callable[[str], int]
    revoke: Callable[[str], None]

    def link(self, digest: str, days: float = DEFAULT_DAYS) -> tuple[str, str]:
        """Return a link to the verdict of this digest, and when it ends. Raises UsageError for too many days."""
        if not 0 < days <= MOST_DAYS:
            raise UsageError(
                f"{days:g} days is no lifetime of a link", f"Use more than 0 and at most {MOST_DAYS:g} days."
            )
        end = self.clock() + timedelta(days=days)
        expires = int(end.timestamp())
        query = f"expires={expires}&signature={self._sign(digest, str(expires))}"
        return f"{self.url}/verdicts/{digest}/link?{query}", format_time(end)

    def require(self, digest: str, expires: str, signature: str) -> None:
        """Raise DeniedError unless a link to this verdict has this signature and has not ended."""
        is_signed = hmac.compare_digest(self._sign(digest, expires).encode(), signature.encode(errors="replace"))
        if not is_signed or not expires.isdecimal() or int(expires) <= self.clock().timestamp():
            raise DeniedError(
                "this link to a verdict is not valid, has ended or was revoked",
                "Ask for a new link, or sign in and open the verdict.",
            )

    def _sign(self, digest: str, expires: str) -> str:
        key = hmac.digest(self.secret.encode(), _PURPOSE, hashlib.sha256)
        content = f"{digest}\n{expires}\n{self.count_revocations(digest)}".encode(errors="replace")
        return base64.urlsafe_b64encode(hmac.digest(key, content, hashlib.sha256)).decode().rstrip("=")
