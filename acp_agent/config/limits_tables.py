"""How far a run and a batch may reach: the tables of config.toml and projects.toml, and what holds of them together."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from acp_agent.config.tables import Seconds, Table, plain
from acp_agent.domain.blast import BlastLimits

UNLIMITED = 10**15


def _bound(value: object) -> object:
    if value == "none":
        return UNLIMITED
    if type(value) is not int or value < 0:
        raise plain('should be a whole number, 0 or more, or "none"')
    return value


Bound = Annotated[int, BeforeValidator(_bound)]
"""A whole number; "none" is no limit."""


class LimitsTable(Table):
    """What a run may do before it waits for a person."""

    files: Bound | None = None
    lines: Bound | None = None
    deletions: Bound | None = None
    ignored_deletions: Bound | None = None
    commands: Bound | None = None
    pushes: Bound | None = None
    wall_time: Seconds | None = None


class BatchLimitsTable(LimitsTable):
    """What all runs of a batch together may do before those that would do more wait for a person."""

    files: Bound | None = 5_000
    lines: Bound | None = 500_000
    deletions: Bound | None = 1_000
    ignored_deletions: Bound | None = 500
    commands: Bound | None = 20_000
    pushes: Bound | None = 100
    repositories: Bound | None = 200


class UserLimits(Table):
    """Limits of reach. `protect_ignored` mounts ignored folders read-only for commands."""

    run: LimitsTable = Field(default_factory=LimitsTable)
    batch: BatchLimitsTable = Field(default_factory=BatchLimitsTable)
    protect_ignored: bool = False


def run_limits(user: UserLimits, role: LimitsTable | None, project: LimitsTable | None) -> BlastLimits:
    """What one run may do: the user's limits, a role's in their place, and a project's where they are tighter."""
    base = BlastLimits().model_dump(exclude={"shared", "batch_time"})
    chosen = {**base, **user.run.model_dump(exclude_none=True), **(role.model_dump(exclude_none=True) if role else {})}
    for name, limit in (project.model_dump(exclude_none=True) if project else {}).items():
        chosen[name] = limit if chosen[name] is None else min(chosen[name], limit)
    return BlastLimits(**chosen)


def with_batch(limits: BlastLimits, user: UserLimits) -> BlastLimits:
    """`limits` of a run that shares those of its batch."""
    shared = user.batch.model_dump(exclude_none=True, exclude={"wall_time"})
    return limits.model_copy(update={"shared": shared, "batch_time": user.batch.wall_time})
