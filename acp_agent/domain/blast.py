"""How far one run may reach before a person looks: counts of what it did, limits, and what goes beyond them. Pure."""

import re
from collections.abc import Iterable, Mapping

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.events_files import MAX_PATHS, FilesSnapshot
from acp_agent.domain.tool import Intent, Risk

_PUSH = re.compile(r"\bgit\b[^\n;|&]*\bpush\b")
GATE = "gate:"


class BlastLimits(Frozen):
    """What a run may do before it parks as a breach; None is no limit. `wall_time` in seconds of work.

    `lines` are those added and removed, `ignored_deletions` files deleted that git ignores (no undo brings them back).
    `shared` are limits of the whole batch by name, `repositories` among them, and `batch_time` is seconds since the
    batch began.
    """

    files: int | None = 500
    lines: int | None = 50_000
    deletions: int | None = 100
    ignored_deletions: int | None = 100
    commands: int | None = 1_000
    pushes: int | None = 10
    wall_time: float | None = None
    shared: dict[str, int] = Field(default_factory=dict)
    batch_time: float | None = None


class Excess(Frozen):
    """One limit and what would go beyond it; `what` begins with `batch ` for a limit of the whole batch."""

    what: str
    would_be: float
    limit: float


class Blast(Frozen):
    """What a run has done so far. `paths` are known by name, `more` files are not; the rest counts as `BlastLimits`."""

    paths: frozenset[str] = frozenset()
    more: int = 0
    lines: int = 0
    deletions: int = 0
    ignored_deletions: int = 0
    commands: int = 0
    pushes: int = 0
    raised: dict[str, float] = Field(default_factory=dict)

    @property
    def files(self) -> int:
        """Files changed."""
        return len(self.paths) + self.more

    def with_intent(self, intent: Intent, risk: Risk) -> "Blast":
        """With a call that is about to begin: the changes it names, or one more command."""
        if intent.after:
            gone = sum(after is None and intent.before.get(path) is not None for path, after in intent.after.items())
            return self.model_copy(
                update={
                    "paths": self.paths | intent.after.keys(),
                    "lines": self.lines + intent.lines,
                    "deletions": self.deletions + gone,
                }
            )
        if risk == Risk.READ:
            return self
        pushes = self.pushes + bool(_PUSH.search(intent.title))
        return self.model_copy(update={"commands": self.commands + 1, "pushes": pushes})

    def with_snapshot(self, fact: FilesSnapshot) -> "Blast":
        """With what a command changed; what a gate did is not the agent's."""
        if fact.moment == "before" or fact.of.startswith(GATE):
            return self
        return self.model_copy(
            update={
                "paths": self.paths | set(fact.paths),
                "more": self.more + max(0, fact.files - MAX_PATHS),
                "lines": self.lines + fact.added + fact.removed,
                "deletions": self.deletions + fact.deleted,
                "ignored_deletions": self.ignored_deletions + fact.lost,
            }
        )

    def raised_by(self, excesses: Iterable[Excess]) -> "Blast":
        """After a person allowed `excesses`: as much again from there on."""
        return self.model_copy(
            update={"raised": {**self.raised, **{one.what: one.would_be + one.limit for one in excesses}}}
        )

    def counts(self) -> Mapping[str, int]:
        """The counts by the names of their limits."""
        return {
            "files": self.files,
            "lines": self.lines,
            "deletions": self.deletions,
            "ignored_deletions": self.ignored_deletions,
            "commands": self.commands,
            "pushes": self.pushes,
        }


def beyond(blast: Blast, limits: BlastLimits, worked: float, since_start: float) -> tuple[Excess, ...]:
    """The limits that `blast` goes beyond, in their order. Times in seconds: of work, and since the batch began."""
    counts: list[tuple[str, float, float | None]] = [
        (name, count, getattr(limits, name)) for name, count in blast.counts().items()
    ]
    counts += [("wall_time", worked, limits.wall_time), ("batch wall_time", since_start, limits.batch_time)]
    return tuple(
        Excess(what=name, would_be=count, limit=limit)
        for name, count, limit in counts
        if limit is not None and count > blast.raised.get(name, limit)
    )


def growth(before: Blast, after: Blast, shared: Iterable[str]) -> dict[str, int]:
    """What is added to the counts of the batch, by name; `repositories` counts a run that changes its first file."""
    old, new = before.counts(), after.counts()
    grown = {name: new[name] - old[name] for name in shared if name in new}
    if "repositories" in shared:
        grown["repositories"] = int(after.files > 0 and before.files == 0)
    return {name: count for name, count in grown.items() if count > 0 and f"batch {name}" not in before.raised}


def batch_scope(batch_id: str | None, name: str) -> str:
    """The budget in which the runs of a batch book what they add to one of its counts."""
    return f"blast:{batch_id}:{name}"


WORDS = {
    "files": "files changed",
    "lines": "lines added and removed",
    "deletions": "files deleted",
    "ignored_deletions": "ignored files deleted, which no undo brings back",
    "commands": "commands",
    "pushes": "pushes",
    "repositories": "repositories changed",
    "wall_time": "seconds",
}


def report(excesses: Iterable[Excess], doing: str) -> str:
    """What would exceed what, for a person: `3,000 files changed, the limit is 500 (shell: make all)`."""
    parts = []
    for one in excesses:
        batch = one.what.startswith("batch ")
        name = one.what.removeprefix("batch ")
        whose = "the limit of the batch" if batch else "the limit"
        parts.append(f"{one.would_be:,.0f} {WORDS[name]}, {whose} is {one.limit:,.0f}")
    return "; ".join(parts) + (f" ({doing})" if doing else "")
