"""Branches as a push records them, without the event that would start pipelines."""

from sqlalchemy import delete, insert

from dockgate.store import Store
from dockgate.store.schema.events import heads


def record_branch(store: Store, repository: str, branch: str, commit: str) -> None:
    """Record the commit of a branch."""
    with store.database.write() as connection:
        connection.execute(delete(heads).where(heads.c.repository == repository, heads.c.branch == branch))
        connection.execute(insert(heads).values(repository=repository, branch=branch, head=commit, moves=1))
