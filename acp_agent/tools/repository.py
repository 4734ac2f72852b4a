"""The git repository a workspace lies in: found by reading files, asked without running its programs."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# A repository's own configuration can name programs to run; none of these may, and none is needed to look.
_HARMLESS = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false",
    "-c", "color.ui=false",
)  # fmt: skip
_WORKTREE = re.compile(r"^\s*worktree\s*=\s*(.+)$", re.MULTILINE)
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "XDG_CONFIG_HOME")


@dataclass(frozen=True, slots=True)
class Repository:
    """A checkout. `top` is its first directory, `link` the `.git` there, `common` what all worktrees share.

    `private` is what belongs to this worktree alone, `common` itself for the first one.
    """

    top: Path
    link: Path
    common: Path
    private: Path

    @classmethod
    def of(cls, root: Path) -> "Repository | None":
        """The repository that `root` lies in, None where there is none that can be believed.

        A `.git` is content too, and what it points to is shown to commands: it must be one of git's that points back.
        """
        for folder in (root, *root.parents):
            link = folder / ".git"
            if link.is_symlink():
                return None
            if link.is_dir() and _is_git_directory(link):
                return cls(folder, link, link, link)
            if link.is_file():
                found = _directories_of(link)
                return cls(folder, link, *found) if found is not None else None
        return None


def _directories_of(link: Path) -> tuple[Path, Path] | None:
    """The common and the private directory behind a `.git` file."""
    pointer = _words(link)
    if not pointer.startswith("gitdir:"):
        return None
    own = Path(os.path.realpath(link.parent / pointer.removeprefix("gitdir:").strip()))
    if (own / "commondir").is_file():
        common = Path(os.path.realpath(own / _words(own / "commondir")))
        is_ours = own.parent == common / "worktrees" and Path(os.path.realpath(_words(own / "gitdir"))) == link
    else:
        common = own
        names = (Path(os.path.realpath(own / name.strip())) for name in _WORKTREE.findall(_words(own / "config")))
        is_ours = link.parent in names
    return (common, own) if is_ours and _is_git_directory(common) else None


def _is_git_directory(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def _words(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""


def git_argv(root: Path, *arguments: str) -> list[str]:
    """The command that asks git about `root`."""
    return ["git", "--no-pager", *_HARMLESS, "-C", str(root), *arguments]


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """A small environment for git: no variable that points it elsewhere, no prompt, no lock taken just to look."""
    kept = {name: environ[name] for name in _KEPT if name in environ}
    return {"LC_CTYPE": "C.UTF-8", **kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def literally(path: str) -> str:
    """A pathspec that names `path` and nothing else, whatever its characters."""
    return f":(literal){path}"
