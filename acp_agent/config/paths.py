"""Where state and configuration lie. Standard library only at import: every fast command asks.

An empty environment variable counts as unset.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from acp_agent.domain.errors import UsageError
from acp_agent.domain.location import Location, ServerLocation

APPLICATION = "acp-agent"
PROJECTS_FILE = "projects.toml"
CONFIG_FILE = "config.toml"
DATABASE_FILE = "acp.db"


def state_dir(environ: Mapping[str, str]) -> Path:
    """The folder of everything we remember: `ACP_HOME`, else systemd's `STATE_DIRECTORY`, else the platform's."""
    if chosen := environ.get("ACP_HOME"):
        return _absolute(chosen)
    # systemd gives several folders separated by colons; the first is the one a unit names first.
    if chosen := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return _absolute(chosen)
    return _platform_folder(environ, "XDG_STATE_HOME", ".local/state", "user_state_path")


def config_dir(environ: Mapping[str, str]) -> Path:
    """The user's folder of settings, as the platform has it."""
    return _platform_folder(environ, "XDG_CONFIG_HOME", ".config", "user_config_path")


def config_file(environ: Mapping[str, str]) -> Path:
    """The user's settings: `ACP_CONFIG`, else `config.toml` in the platform's folder. It may be missing."""
    chosen = environ.get("ACP_CONFIG")
    return _absolute(chosen) if chosen else config_dir(environ) / CONFIG_FILE


def database_path(environ: Mapping[str, str]) -> Path:
    """The SQLite file of the local store."""
    return state_dir(environ) / DATABASE_FILE


def database_location(environ: Mapping[str, str]) -> Location:
    """Where the record is: the PostgreSQL database of `ACP_DATABASE_URL`, else the file of the local store."""
    url = environ.get("ACP_DATABASE_URL", "")
    if not url:
        return database_path(environ)
    if not url.startswith(("postgresql://", "postgres://")):
        hint = "postgresql://USER:PASSWORD@HOST:5432/DATABASE; unset it to use the SQLite file in ACP_HOME"
        raise UsageError("ACP_DATABASE_URL: not the URL of a PostgreSQL database", hint=hint)
    return ServerLocation(url, state_dir(environ))


def host_queue(environ: Mapping[str, str]) -> str:
    """The queue of runs whose checkouts are on this host: `ACP_HOST`, else the machine's name."""
    return f"host.{environ.get('ACP_HOST') or os.uname().nodename or 'localhost'}"


def is_queue(name: str) -> bool:
    """Whether a person's word names a queue: `any`, or `host.NAME`."""
    return name == "any" or (name.startswith("host.") and len(name) > len("host."))


def find_projects_file(cwd: Path, flag: str | None, environ: Mapping[str, str]) -> Path:
    """The projects.toml in force: `--projects`, `ACP_PROJECTS`, upward from `cwd`, the user's folder of settings.

    The first two may name a folder. Raises UsageError when a named file is missing or none is found.
    """
    if flag:
        return _named(flag, cwd, "--projects")
    if chosen := environ.get("ACP_PROJECTS"):
        return _named(chosen, cwd, "ACP_PROJECTS")
    for folder in (cwd, *cwd.parents, config_dir(environ)):
        if (found := folder / PROJECTS_FILE).is_file():
            return found
    raise UsageError(
        f"no {PROJECTS_FILE} in {cwd}, above it, or in {config_dir(environ)}",
        hint="acp init writes one for the git repositories it finds; --projects FILE names another",
    )


def resolved(base: Path, text: str) -> Path:
    """`text` as a person wrote it in a file of folder `base`: `~` expanded, symbolic links followed, absolute."""
    return Path(os.path.realpath(os.path.join(base, os.path.expanduser(text))))


def shown_path(path: Path) -> str:
    """`path` as short as it stays clear: relative when it lies below the current directory."""
    text = os.path.abspath(path)
    here = os.path.join(os.getcwd(), "")
    return text.removeprefix(here)


def _named(text: str, cwd: Path, option: str) -> Path:
    path = Path(os.path.abspath(os.path.join(cwd, os.path.expanduser(text))))
    if path.is_dir():
        path = path / PROJECTS_FILE
    if not path.is_file():
        hint = f"{option} names a {PROJECTS_FILE} or the folder it lies in; acp init writes one"
        raise UsageError(f"{option}: no such file: {path}", hint=hint)
    return path


def _absolute(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))


def _platform_folder(environ: Mapping[str, str], variable: str, default: str, function: str) -> Path:
    if sys.platform == "linux":
        # The XDG rule in full; platformdirs would cost 7 ms of every command and reads os.environ alone.
        chosen = environ.get(variable, "")
        home = environ.get("HOME") or os.path.expanduser("~")
        return Path(chosen if os.path.isabs(chosen) else os.path.join(home, default)) / APPLICATION
    import platformdirs

    folder: Path = getattr(platformdirs, function)(APPLICATION, appauthor=False)
    return folder
