"""What of a repository's own files a command may write: enough for `git commit`, nothing that runs code later.

Of a checkout with a `.git` directory that is all of it but configuration, hooks, packs and other checkouts' files. Of
a linked worktree it is its private directory, new objects, and the references beside its own branch: the branches,
stashes and configuration that it shares with the user's checkout are out of reach.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acp_agent.tools.repository import Repository
from acp_agent.tools.sandbox.model import exposes_home

# Configuration names programs, hooks are programs; attributes choose filters; `commondir` brings other configuration.
_RUNS_CODE = ("config", "config.worktree", "commondir", "hooks", "info")
# Other checkouts' files: they change while commands run, by the hands of others, so they are only bound, never mended.
_OF_OTHERS = ("modules", "worktrees")
# History that exists is never rewritten by a commit; what is lost here is lost for good.
_HISTORY = ("objects/pack", "objects/info")
# `acp-run` and `acp-ready` say whose the worktree is and that it is set up.
_OF_A_WORKTREE = ("commondir", "gitdir", "config.worktree", "locked", "acp-run", "acp-ready")
_BRANCHES = "refs/heads/"


@dataclass(frozen=True, slots=True)
class GitPlaces:
    """In this order: `shown` to read, of them `writable`, of those `kept` as they are (also where they do not exist).

    `foreign` belongs to other checkouts: kept where it exists and can be bound.
    Links that appear in `linkless` directories, also further down, would lead git out when it runs unconfined.
    """

    shown: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    linkless: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()


def git_places(root: Path) -> GitPlaces:
    """Those of the repository that `root` lies in; a `.git` that cannot be believed is kept as it is."""
    repository = Repository.of(root)
    if repository is None:
        return GitPlaces(kept=(root / ".git",))
    common, link = repository.common, repository.link
    if repository.top != root and exposes_home(repository.top):
        # A home directory under version control: its history is nothing that a project below it should write.
        return GitPlaces(shown=(common, link))
    private = repository.private
    if private == common:
        kept = (*_below(common, _RUNS_CODE), *_below(common, _HISTORY))
        pointer = () if link == common else (link,)
        return GitPlaces((), (common,), (*pointer, *kept), (common,), tuple(_below(common, _OF_OTHERS)))
    branch = tuple(_branch_folders(private, common))
    return GitPlaces(
        (common,),
        (private, common / "objects", *branch),
        (link, *_below(private, _OF_A_WORKTREE), *_below(common, _HISTORY)),
        (private, *branch),
    )


def _below(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    return (folder / name for name in names)


def _branch_folders(private: Path, common: Path) -> Iterator[Path]:
    """Where the branch checked out and its log lie. git replaces such files by renaming, so it needs the folders."""
    try:
        head = (private / "HEAD").read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return
    branch = head.removeprefix("ref:").strip()
    if not head.startswith("ref:") or not branch.startswith(_BRANCHES) or ".." in branch:
        return
    for base in (common, common / "logs"):
        folder = (base / branch).parent
        try:
            # Where all branches are packed it does not exist; git removes it again when it is empty.
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            # A repository of somebody else's: then it cannot be written from inside either.
            continue
        yield folder
