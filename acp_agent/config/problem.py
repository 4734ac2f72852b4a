"""One thing wrong in a file a person wrote, and how several of them become one error. Standard library only."""

from collections.abc import Sequence
from typing import NamedTuple

from acp_agent.domain.errors import UsageError

UNKNOWN_KEY = "unknown key"
MISSING = "is missing"


class Problem(NamedTuple):
    """What is wrong and where: `file` as shown, `line` counts from 1, `key` is dotted; `hint` says what to do."""

    file: str
    line: int | None
    key: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        """One line: `projects.toml:12: projects.api.tags: should be a list of strings`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.what}" if self.key else f"{place}: {self.what}"


class FileError(UsageError):
    """A file that cannot be used, because of `problem` and `more` others."""

    def __init__(self, problem: Problem, more: int = 0, hint: str | None = None) -> None:
        super().__init__(f"{problem} (+{more} more)" if more else str(problem), hint=problem.hint or hint)
        self.problem = problem


def by_line(problems: Sequence[Problem]) -> list[Problem]:
    """In the order of the file, each once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def raise_first(problems: Sequence[Problem], hint: str) -> None:
    """Raise FileError with one problem and the number of the others; nothing when there is none.

    It is the first in the file; for a missing key the unknown one beside it, which is likely what was meant.
    `hint` stands in for a problem that has none of its own.
    """
    if problems:
        first, *others = by_line(problems)
        if first.what == MISSING:
            beside = (other for other in others if other.what == UNKNOWN_KEY and _table(other) == _table(first))
            first = next(beside, first)
        raise FileError(first, len(others), hint)


def _table(problem: Problem) -> str:
    return problem.key.rpartition(".")[0]
