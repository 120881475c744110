"""Alembic's entry point: runs the revisions on the connection, and in the transaction, of `migrate`."""

from alembic import context

from dockgate.store.schema.base import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
