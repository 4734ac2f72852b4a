"""What a person entered at `acp serve --login`: variables of one provider, in a file of its own in the state directory.

They stand in for the environment where it says nothing of that provider. Where it does, all of them are left out, so
that a key never goes to an address that came from elsewhere. Standard library only: every start looks for the file.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from acp_agent.config.paths import shown_path, state_dir
from acp_agent.domain.errors import UsageError

LOGIN_FILE = "login.json"


def login_file(environ: Mapping[str, str]) -> Path:
    """Where it is kept."""
    return state_dir(environ) / LOGIN_FILE


def with_login(environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ` with what was entered, unless it sets one of those itself. Raises UsageError for a broken file."""
    try:
        text = login_file(environ).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return environ
    except (OSError, ValueError):
        raise _broken(environ) from None
    try:
        entered = json.loads(text)
    except (ValueError, RecursionError):
        raise _broken(environ) from None
    if not isinstance(entered, dict) or not all(isinstance(value, str) for value in entered.values()):
        raise _broken(environ)
    return environ if any(environ.get(name) for name in entered) else {**environ, **entered}


def is_logged_in(environ: Mapping[str, str]) -> bool:
    """Whether something was entered."""
    return login_file(environ).exists()


def keep_login(environ: Mapping[str, str], entered: Mapping[str, str]) -> Path:
    """Keep `entered` in place of what was there, readable by this user alone. Raises UsageError."""
    path = login_file(environ)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file 0600; the replacement is whole or not there.
        handle, name = tempfile.mkstemp(prefix=f".{LOGIN_FILE}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dict(entered), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        hint = "ACP_HOME names another state directory"
        raise UsageError(f"{shown_path(path)}: cannot be written: {error.strerror}", hint=hint) from None
    return path


def forget_login(environ: Mapping[str, str]) -> bool:
    """Remove what was entered; whether there was anything."""
    try:
        login_file(environ).unlink()
    except FileNotFoundError:
        return False
    return True


def _broken(environ: Mapping[str, str]) -> UsageError:
    shown = shown_path(login_file(environ))
    return UsageError(f"{shown}: is not what acp serve --login writes", hint=f"remove {shown} and log in again")
