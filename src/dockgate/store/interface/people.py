"""Principals, their tokens, and the record of what they did.

What all of them promise is told in the package.
"""

from collections.abc import Sequence
from typing import Protocol

from dockgate.identity.model import AuditEntry, Principal, Role, Token


class Principals(Protocol):
    """Never deleted: what they did is on record under their names. The last one that may administer is never disabled
    and keeps its role (ConflictError): nobody could give it back."""

    def exist(self) -> bool:
        """Whether there is, or ever was, one."""
        ...

    def begin(self, principal: Principal, token: Token) -> None:
        """The first one, with its token, both or neither. ConflictError when there is one already."""
        ...

    def add(self, principal: Principal) -> None:
        """ConflictError when the name stands for somebody already, also in other capitals."""
        ...

    def get(self, name: str) -> Principal: ...

    def list(self) -> Sequence[Principal]:
        """By name."""
        ...

    def set_roles(self, name: str, roles: Sequence[Role]) -> Principal: ...

    def disable(self, name: str, now: str) -> Principal:
        """ "" for `now` enables it again. Its tokens stand again too, then."""
        ...


class Tokens(Protocol):
    def add(self, token: Token) -> None: ...

    def find(self, token_id: str) -> tuple[Token, Principal] | None:
        """The token and whose it is; None for one that is unknown."""
        ...

    def list(self, principal: str = "") -> Sequence[Token]:
        """Newest first, all or one principal's."""
        ...

    def used(self, token_id: str, now: str) -> None: ...

    def revoke(self, token_id: str, now: str) -> Token:
        """One that was revoked before keeps its time."""
        ...


class Audit(Protocol):
    """Who did what. Rows are added and never deleted, and never changed but for their status, once, and their
    detail."""

    def begin(self, entry: AuditEntry) -> None: ...

    def describe(self, entry_id: str, detail: str) -> None:
        """Replace the detail: first what is requested, then what was done."""
        ...

    def finish(self, entry_id: str, status: int) -> None:
        """The first status stands."""
        ...

    def list(self, who: str = "", limit: int = 100, before: str = "") -> Sequence[AuditEntry]:
        """Newest first; `before` is the id of an entry to go on from."""
        ...
