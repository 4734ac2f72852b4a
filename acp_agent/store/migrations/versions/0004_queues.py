"""The queue of a run: whose workers may take it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give runs a queue; those that exist have none."""
    # Made anew on SQLite, whose own way writes the column behind the key.
    with op.batch_alter_table("acp_run", recreate="auto") as table:
        table.add_column(sa.Column("queue", sa.Text(), nullable=True))
