"""Every table of the first version.

No version is released yet, so these are the present tables, and no table is written down twice. The first release
replaces this with the operations that `alembic revision --autogenerate` writes for an empty database; a test requires
it before there is a second revision. Until then the id names the state of the tables, so that a database of an earlier
state is refused at the start, and no statement fails later.
"""

from alembic import op

from dockgate.store.migrations import get_head
from dockgate.store.schema.base import metadata

revision = get_head()
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    metadata.create_all(op.get_bind(), checkfirst=False)
