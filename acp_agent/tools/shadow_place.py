"""Where a shadow repository lies, and what it may borrow of the repository the workspace is in."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acp_agent.tools.kept import shadow_folder
from acp_agent.tools.repository import Repository, git_argv, git_environment

# What is never anybody's work, for directories that no .gitignore speaks for.
_HEAVY = ("node_modules/", ".venv/", "venv/", "__pycache__/", ".tox/", ".mypy_cache/", ".pytest_cache/", ".cache/")
# Attributes by which the bytes on disk differ from those in the repository.
_CONVERTING = re.compile(r"(?<![-!\w])(?:text|eol=|crlf|ident|filter=|working-tree-encoding=)")
_SETTINGS = r"^(core\.(autocrlf|attributesfile|excludesfile)|extensions\.objectformat)$"
_ASKING = 5.0


@dataclass(frozen=True, slots=True)
class ShadowPlace:
    """`root` is the workspace, `top` the work tree the shadow sees, `inside` the workspace's place in it ("": all).

    `objects` of the repository are read, never written; `index` is copied once, None where that would not be byte for
    byte; `exclude_files` and `excludes` say what is ignored beside the .gitignore files.
    """

    folder: Path
    root: Path
    top: Path
    inside: str = ""
    objects: Path | None = None
    index: Path | None = None
    sha256: bool = False
    exclude_files: tuple[Path, ...] = ()
    excludes: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: Path, root: Path, environ: Mapping[str, str]) -> "ShadowPlace":
        """The place of the shadow of `root`, a resolved path. Asks git about a repository's settings."""
        folder = shadow_folder(state, root)
        repository = Repository.of(root)
        if repository is None or _is_a_home(repository.top) or _is_ignored(repository, root, environ):
            return cls(folder, root, root, excludes=_HEAVY)
        settings = _settings(root, environ)
        own = _private(repository)
        files = (repository.common / "info" / "exclude", _path(settings.get("core.excludesfile"), environ))
        return cls(
            folder=folder,
            root=root,
            top=repository.top,
            inside="" if repository.top == root else root.relative_to(repository.top).as_posix(),
            objects=repository.common / "objects",
            index=_usable_index(repository, own, settings, environ),
            sha256=settings.get("extensions.objectformat") == "sha256",
            exclude_files=tuple(file for file in files if file is not None and file.is_file()),
        )


def _private(repository: Repository) -> Path:
    """git's own directory of the checkout, where its index is."""
    if repository.link.is_dir():
        return repository.link
    pointer = repository.link.read_text("utf-8", "surrogateescape").removeprefix("gitdir:").strip()
    return Path(os.path.realpath(repository.link.parent / pointer))


def _usable_index(
    repository: Repository, own: Path, settings: Mapping[str, str], environ: Mapping[str, str]
) -> Path | None:
    """The repository's index if what it says of clean files holds for their bytes."""
    if settings.get("core.autocrlf", "false").lower() not in ("false", "no", "0", "off"):
        return None
    files = [repository.common / "info" / "attributes", _path(settings.get("core.attributesfile"), environ)]
    listed = _asked(repository.top, environ, "ls-files", "-z", "-c", "-o", "--", "*.gitattributes")
    if listed is None:
        return None
    files += [repository.top / os.fsdecode(name) for name in listed.split(b"\0")[:-1]]
    home = Path(environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config"))
    files += [home / "git" / "attributes", Path("/etc/gitattributes")]
    index = own / "index"
    return index if index.is_file() and not any(_converts(file) for file in files if file) else None


def _converts(file: Path) -> bool:
    try:
        lines = file.read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return any(_CONVERTING.search(line) for line in lines if not line.startswith("#"))


def _settings(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    told = _asked(root, environ, "config", "-z", "--get-regexp", _SETTINGS)
    rows = (os.fsdecode(row).partition("\n") for row in (told or b"").split(b"\0")[:-1])
    return {name: value for name, _, value in rows}


def _is_ignored(repository: Repository, root: Path, environ: Mapping[str, str]) -> bool:
    if repository.top == root:
        return False
    return (
        _asked(repository.top, environ, "check-ignore", "-q", "--", f"./{root.relative_to(repository.top)}") is not None
    )


def _is_a_home(top: Path) -> bool:
    return top in (Path("/"), Path(os.path.realpath(os.path.expanduser("~"))))


def _path(text: str | None, environ: Mapping[str, str]) -> Path | None:
    if not text:
        return None
    return Path(environ.get("HOME", "/"), text[2:]) if text.startswith("~/") else Path(text)


def _asked(path: Path, environ: Mapping[str, str], *arguments: str) -> bytes | None:
    """What git answers, None where it refuses."""
    try:
        ended = subprocess.run(
            git_argv(path, *arguments),
            env=git_environment(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_ASKING,
            process_group=0,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None
