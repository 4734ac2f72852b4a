"""Whose name commits made inside carry: the user's, whose configuration is hidden there."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

from acp_agent.tools.repository import Repository, git_argv, git_environment

_IDENTITY = re.compile(r"(?P<name>[^<\n]+) <(?P<email>[^>\n]*)> ")
_PERSON = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL")
_NOBODY = ("acp-agent", "acp-agent@localhost")


def git_settings(root: Path) -> dict[str, str]:
    """Variables for git inside, in place of the user's own configuration."""
    repository = Repository.of(root)
    name, email = _identity(root if repository is None else repository.common)
    settings = (
        # The home directory is another one, and with it what git is told of foreign owners.
        ("safe.directory", "*"),
        ("user.name", name),
        ("user.email", email),
        # Keys are not there.
        ("commit.gpgSign", "false"),
        ("tag.gpgSign", "false"),
    )
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for place, (key, value) in enumerate(settings):
        variables |= {f"GIT_CONFIG_KEY_{place}": key, f"GIT_CONFIG_VALUE_{place}": value}
    return variables


@cache
def _identity(directory: Path) -> tuple[str, str]:
    """As git itself finds it, once for each repository of a process (about 3 ms)."""
    environment = {**git_environment(os.environ), **{name: os.environ[name] for name in _PERSON if name in os.environ}}
    try:
        asked = subprocess.run(
            git_argv(directory, "var", "GIT_AUTHOR_IDENT"),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return _NOBODY
    found = _IDENTITY.match(asked.stdout.decode("utf-8", "surrogateescape"))
    return (found["name"], found["email"]) if found and asked.returncode == 0 else _NOBODY
