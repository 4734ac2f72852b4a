"""The audit chain: every event gets its place, the hash of its payload and a digest over the one before."""

import sqlalchemy as sa
from alembic import op

from acp_agent.domain.chain import GENESIS, Anchor, link

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of events anew, each chained in the order in which they were written."""
    op.rename_table("acp_event", "acp_event_unchained")
    events = op.create_table(
        "acp_event",
        sa.Column("stream_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("ts", sa.DOUBLE_PRECISION(), nullable=False),
        sa.Column("v", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=True),
        sa.Column("tokens_out", sa.Integer(), nullable=True),
        sa.Column("cost", sa.DOUBLE_PRECISION(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("payload_hash", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "seq"),
    )
    heads = op.create_table(
        "acp_chain",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    ends = _chained(events)
    op.bulk_insert(heads, [{"tenant": tenant, **head._asdict()} for tenant, head in ends.items()])
    op.drop_table("acp_event_unchained")
    op.create_index("acp_event_by_position", "acp_event", ["tenant", "position"], unique=True)


def _chained(events: sa.Table) -> dict[str, Anchor]:
    """Copy every row with its digest; returns where each tenant's chain ends."""
    connection = op.get_bind()
    # SQLite numbers its rows as they are written. No version that made older rows ran on PostgreSQL.
    order = "rowid" if connection.dialect.name == "sqlite" else "ts, stream_id, seq"
    ends: dict[str, Anchor] = {}
    found = connection.execute(sa.text(f"SELECT * FROM acp_event_unchained ORDER BY {order}")).mappings()
    for some in found.partitions(500):
        rows = [dict(row) for row in some]
        for row in rows:
            ends[row["tenant"]] = link(ends.get(row["tenant"], Anchor(0, GENESIS)), row)
        connection.execute(events.insert(), rows)
    return ends
