"""Alembic runs this file: it runs the migrations on the connection that `store.migrate` hands in."""

from alembic import context

from acp_agent.store.schema import MIGRATION_TABLE
from acp_agent.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=MIGRATION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
