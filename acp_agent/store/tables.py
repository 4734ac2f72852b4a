"""The catalogue: what our tables are. It defines the schema, drives migrations and serves reports; never the hot path.

Text that holds JSON is plain text, times are Unix seconds of the database's clock, and money is US dollars. After a
change here run `scripts/gen-schema` and write a migration.
"""

from typing import Any

from sqlalchemy import DOUBLE_PRECISION, Index, MetaData, Text
from sqlmodel import Field, SQLModel


class Table(SQLModel):
    """What all our tables share: their own metadata, so that nobody else's tables get into our schema."""

    metadata = MetaData()


def _column(kind: Any, *, key: bool = False, default: Any = ...) -> Any:
    """A column of exactly `kind`, a type that both databases spell alike; nullable where its default is None."""
    return Field(default, primary_key=key, nullable=default is None, sa_type=kind)


def _text(*, key: bool = False, default: Any = ...) -> Any:
    return _column(Text, key=key, default=default)


def _real(*, default: Any = ...) -> Any:
    return _column(DOUBLE_PRECISION, default=default)


class Stream(Table, table=True):
    """A sequence of events and the right to write it: whoever holds `fence` while `owner` is set."""

    __tablename__ = "acp_stream"
    id: str = _text(key=True)
    tenant: str = _text(default="local")
    kind: str = _text()
    seq: int
    fence: int
    owner: str | None = _text(default=None)
    lease_until: float | None = _real(default=None)
    takeovers: int
    seq_at_claim: int


class EventRecord(Table, table=True):
    """One fact; `data` is its JSON, last because it can be long. Tokens and cost stand beside it where money moved.

    `position` is its place in the audit chain of its tenant, `payload_hash` and `digest` what domain/chain.py says.
    """

    __tablename__ = "acp_event"
    __table_args__ = (Index("acp_event_by_position", "tenant", "position", unique=True),)
    stream_id: str = _text(key=True)
    seq: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    tenant: str = _text(default="local")
    ts: float = _real()
    v: int
    type: str = _text()
    actor: str = _text()
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = _real(default=None)
    position: int
    payload_hash: str = _text()
    digest: str = _text()
    data: str = _text()


class ChainHead(Table, table=True):
    """Where the audit chain of a tenant ends."""

    __tablename__ = "acp_chain"
    tenant: str = _text(key=True, default="local")
    position: int
    digest: str = _text()


class RunSummary(Table, table=True):
    """What lists and filters need of a run, kept in step with its events by their transactions; a fold in columns."""

    __tablename__ = "acp_run"
    __table_args__ = (
        Index("acp_run_by_batch", "batch_id", "position"),
        Index("acp_run_by_session", "session_id"),
        Index("acp_run_by_status", "tenant", "status", "created_at", "position"),
        Index("acp_run_by_time", "tenant", "created_at"),
    )
    id: str = _text(key=True)
    tenant: str = _text(default="local")
    session_id: str = _text()
    batch_id: str | None = _text(default=None)
    position: int
    project: str = _text()
    role: str = _text()
    title: str = _text()
    prompt: str = _text()
    status: str = _text()
    waiting_for: str | None = _text(default=None)
    reason: str | None = _text(default=None)
    message: str = _text()
    model: str = _text()
    steps: int
    tool_calls: int
    tokens_in: int
    tokens_out: int
    cost: float = _real()
    cost_known: bool
    branch: str | None = _text(default=None)
    worktree: str | None = _text(default=None)
    root: str = _text()
    path: str | None = _text(default=None)
    commit_sha: str | None = _text(default=None)
    files: int
    added: int
    removed: int
    landed: str | None = _text(default=None)
    last_type: str = _text()
    last_text: str = _text()
    created_at: float = _real()
    updated_at: float = _real()
    ended_at: float | None = _real(default=None)
    queue: str | None = _text(default=None)


class BatchSummary(Table, table=True):
    """One prompt over many projects; `projects` and `options` are JSON."""

    __tablename__ = "acp_batch"
    __table_args__ = (Index("acp_batch_by_time", "tenant", "created_at"),)
    id: str = _text(key=True)
    tenant: str = _text(default="local")
    prompt: str = _text()
    projects: str = _text()
    options: str = _text()
    status: str = _text()
    exit_code: int | None = None
    reason: str | None = _text(default=None)
    created_at: float = _real()
    ended_at: float | None = _real(default=None)


class LoopSummary(Table, table=True):
    """Many runs towards a goal, as lists show it. Money and tokens are those of its runs (`acp_run.batch_id`)."""

    __tablename__ = "acp_loop"
    __table_args__ = (
        Index("acp_loop_by_name", "tenant", "name", "place", "created_at"),
        Index("acp_loop_by_time", "tenant", "created_at"),
    )
    id: str = _text(key=True)
    tenant: str = _text(default="local")
    name: str = _text()
    place: str = _text()
    project: str = _text()
    parent: str | None = _text(default=None)
    goal: str = _text()
    status: str = _text()
    waiting_for: str | None = _text(default=None)
    reason: str | None = _text(default=None)
    message: str = _text()
    iterations: int
    max_iter: int
    accepted: int
    rejected: int
    rotation: int
    score: float | None = _real(default=None)
    branch: str | None = _text(default=None)
    root: str = _text()
    landed: str | None = _text(default=None)
    last_text: str = _text()
    created_at: float = _real()
    updated_at: float = _real()
    ended_at: float | None = _real(default=None)


class SessionRecord(Table, table=True):
    """The conversation that runs continue."""

    __tablename__ = "acp_session"
    id: str = _text(key=True)
    tenant: str = _text(default="local")
    cwd: str = _text()
    title: str = _text()
    deleted: bool = False
    created_at: float = _real()
    updated_at: float = _real()


class Budget(Table, table=True):
    """Money of one scope. A NULL cap counts without a limit; `reserved` is set aside for calls in flight."""

    __tablename__ = "acp_budget"
    tenant: str = _text(key=True, default="local")
    scope: str = _text(key=True)
    cap: float | None = _real(default=None)
    reserved: float = _real()
    spent: float = _real()


class Permit(Table, table=True):
    """A call that holds or waits under a limiter of all processes, until its lease ends: see domain/permits.py."""

    __tablename__ = "acp_permit"
    call_id: str = _text(key=True)
    limiter: str = _text(key=True)
    tenant: str = _text(default="local")
    owner: str = _text()
    urgency: int
    most: int
    held: int
    asked_at: float = _real()
    until: float = _real()
