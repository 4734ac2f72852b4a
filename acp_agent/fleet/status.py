"""Reads what `git status --porcelain=v2 -z` and `--numstat -z` print."""

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One path that differs: `staged` in the index, `deleted` from the working tree, `untracked` unknown to git.

    An untracked path that ends in `/` is a repository of its own.
    """

    path: str
    staged: bool = False
    deleted: bool = False
    untracked: bool = False


@dataclass(frozen=True)
class Status:
    """A working tree against its HEAD. `head` and `branch` are None where there is none (unborn, detached)."""

    head: str | None
    branch: str | None
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Counts:
    """Totals of a numstat; a binary file counts as a file without lines."""

    files: int
    added: int
    removed: int


def parse_status(output: bytes) -> Status:
    """The status of `--no-renames` output, with or without `--branch`."""
    head = branch = None
    changes: list[Change] = []
    for record in os.fsdecode(output).split("\0"):
        kind, _, rest = record.partition(" ")
        if kind == "?":
            changes.append(Change(rest, untracked=True))
        elif kind in ("1", "u"):
            # 1 XY sub mH mI mW hH hI path; u XY sub m1 m2 m3 mW h1 h2 h3 path
            fields = rest.split(" ", 7 if kind == "1" else 9)
            work_mode = fields[4 if kind == "1" else 5]
            changes.append(Change(fields[-1], staged=fields[0][0] != ".", deleted=work_mode == "000000"))
        elif record.startswith("# branch.oid "):
            head = _value(record)
        elif record.startswith("# branch.head "):
            branch = _value(record)
    return Status(head, branch, tuple(changes))


def inside(path: str, subdir: str) -> bool:
    """Whether a path of the repository lies in the project's directory."""
    return not subdir or path.startswith(f"{subdir}/") or path == subdir


def count(records: Iterable[str]) -> Counts:
    """Add up the records `added<TAB>removed<TAB>path` of `--numstat -z --no-renames`."""
    files = added = removed = 0
    for record in records:
        plus, minus, _ = record.split("\t", 2)
        files += 1
        added += 0 if plus == "-" else int(plus)
        removed += 0 if minus == "-" else int(minus)
    return Counts(files, added, removed)


def _value(record: str) -> str | None:
    value = record.split(" ", 2)[2]
    return None if value in ("(initial)", "(detached)") else value
