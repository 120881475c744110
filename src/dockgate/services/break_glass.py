"""Break-glass access: issues a token in the server's tables, for operators who lost every admin token."""

import uuid
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from dockgate.config import Settings
from dockgate.delivery.ports import Clock
from dockgate.identity.model import LOCAL, AuditEntry, Permission, Token
from dockgate.services.identity import People
from dockgate.shared.errors import NotFoundError, UsageError
from dockgate.shared.timestamps import format_time
from dockgate.store import open_store

CALL = "dockgate token create --local"
# The statuses of the API's call that does the same.
DONE, REFUSED = 201, 400


def token(
    settings: Settings,
    principal: str,
    days: float,
    scopes: Sequence[Permission] = (),
    repositories: Sequence[str] = (),
    pipelines: Sequence[str] = (),
    clock: Clock = lambda: datetime.now(UTC),
) -> tuple[Token, str]:
    """Issue a token as `People.issue` does, for a user who can read and write the server's tables.

    The server may be running. The audit trail records it.

    Raises NotFoundError without tables, and for an unknown principal, listing the admins.
    """
    if not settings.database_url and not (settings.data / "dockgate.db").exists():
        raise NotFoundError(
            f"no server has kept its tables in {settings.data}",
            "Set DOCKGATE_DATA, or DOCKGATE_DATABASE_URL, as it has it.",
        )
    with closing(open_store(settings.data, settings.database_url or None)) as store:
        everybody = store.principals.list()
        if principal not in [existing.name for existing in everybody]:
            may = [
                existing.name
                for existing in everybody
                if existing.may(Permission.ADMINISTER) and not existing.disabled_at
            ]
            advice = f"Who may administer: {', '.join(may)}." if may else "dockgate principal add NAME --role admin"
            raise NotFoundError(f"there is no principal {principal!r}", advice)
        entry = AuditEntry(uuid.uuid4().hex, format_time(clock()), LOCAL.name, "", CALL, principal)
        store.audit.begin(entry)
        try:
            made = People(store, clock).issue(principal, days, scopes, repositories, pipelines)
        except UsageError:
            store.audit.finish(entry.id, REFUSED)
            raise
        store.audit.finish(entry.id, DONE)
        return made
