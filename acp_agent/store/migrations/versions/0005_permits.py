"""Permits: which process has how many calls under which limiter."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of permits."""
    op.create_table(
        "acp_permit",
        sa.Column("call_id", sa.Text(), nullable=False),
        sa.Column("limiter", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DOUBLE_PRECISION(), nullable=False),
        sa.Column("until", sa.DOUBLE_PRECISION(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "limiter"),
    )
