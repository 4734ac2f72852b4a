"""The private home directory of a project: caches live on in it, and nobody's secrets are there."""

import hashlib
from dataclasses import replace
from pathlib import Path

from acp_agent.tools.repository import Repository
from acp_agent.tools.sandbox.model import Sandbox


def with_home(sandbox: Sandbox, root: Path) -> Sandbox:
    """`sandbox` with the home of the project at `root`, which is made; all worktrees of a repository share one."""
    if sandbox.home is not None or sandbox.state is None:
        return sandbox
    repository = Repository.of(root)
    project = root if repository is None else repository.common
    home = sandbox.state / "homes" / hashlib.sha256(str(project).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    if not home.is_dir():
        home.mkdir(parents=True, mode=0o700, exist_ok=True)
        (home.parent / f"{home.name}.project").write_text(f"{project}\n", "utf-8", "surrogateescape")
    return replace(sandbox, home=home)
