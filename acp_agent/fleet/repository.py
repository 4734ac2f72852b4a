"""Facts of a person's repository, read with one git process each."""

import os
from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.errors import UsageError
from acp_agent.fleet.git import GitFailed, git
from acp_agent.fleet.status import parse_status

_QUESTIONS = ("--is-bare-repository", "--path-format=absolute", "--git-common-dir", "--show-toplevel", "--show-prefix")


@dataclass(frozen=True)
class Repository:
    """Where a project's directory stands in its repository.

    `root` and `common` (the shared git directory) are absolute; `subdir` is the directory inside `root`, "" for all of
    it. `head` is the commit checked out, `branch` the branch's short name or None when HEAD is detached.
    """

    root: str
    common: str
    subdir: str
    head: str
    branch: str | None


async def repository(path: Path | str, project: str) -> Repository:
    """The repository `path` is in. Raises UsageError, naming project and path, where there is nothing to work on."""
    _check_directory(path, project)
    try:
        answer = await git(path, "rev-parse", *_QUESTIONS, "HEAD", "--symbolic-full-name", "HEAD")
    except GitFailed as failure:
        raise await _explained(path, project, failure) from None
    lines = answer.text.split("\n")
    if len(lines) != 6:
        raise UsageError(f"project {project}: {path!s:.200} has a line break in its path")
    _, common, root, prefix, head, name = lines
    branch = name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else None
    return Repository(root, common, prefix.rstrip("/"), head, branch)


async def dirty_files(path: Path | str, *, untracked: bool = True) -> list[str]:
    """What differs from HEAD below `path`, ignored files aside, as paths inside the repository."""
    files = "--untracked-files=" + ("all" if untracked else "no")
    arguments = ("status", "--porcelain=v2", "-z", "--no-renames", "--ignore-submodules=dirty", files, "--", ".")
    return [change.path for change in parse_status((await git(path, *arguments)).stdout).changes]


def common_directory(root: Path | str) -> Path:
    """The shared git directory of a checkout whose top is `root`; also where that is a linked worktree or submodule."""
    entry = Path(root) / ".git"
    try:
        if entry.is_file():
            entry = Path(root) / entry.read_text("utf-8", "surrogateescape").removeprefix("gitdir:").strip()
        link = entry / "commondir"
        common = entry / link.read_text("utf-8", "surrogateescape").strip() if link.is_file() else entry
    except OSError as error:
        raise UsageError(f"{root}: {error.strerror}") from None
    if not (common / "objects").is_dir():
        raise UsageError(f"{root} is not the top of a git repository any more")
    return Path(os.path.realpath(common))


def _check_directory(path: Path | str, project: str) -> None:
    if not os.path.isdir(path):
        what = "is not a directory" if os.path.exists(path) else "does not exist"
        raise UsageError(f"project {project}: {path} {what}", hint="Correct its path in projects.toml")


async def _explained(path: Path | str, project: str, failure: GitFailed) -> UsageError:
    said = failure.said
    if "not a git repository" in said:
        return UsageError(f"project {project}: {path} is not in a git repository", hint=f"git init {path}")
    if "must be run in a work tree" in said:
        return UsageError(f"project {project}: {path} has no working tree (bare)", hint="Give the path of a checkout")
    if "ambiguous argument 'HEAD'" in said:
        hint = "Make a first commit: a worktree starts from one"
        return UsageError(f"project {project}: {path} has no commit yet", hint=hint)
    return UsageError(f"project {project}: {failure.what}")
