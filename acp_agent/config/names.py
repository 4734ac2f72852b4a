"""What a project, tag, gate or alias may be called. Standard library only: the fast commands import it."""

import re

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
MAX_NAME = 100
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def name_problem(name: str) -> str | None:
    """Why `name` cannot be a name, or None. Names become parts of branches and paths, so git's rules hold too."""
    if not NAME.match(name):
        return "should begin with a letter or digit and go on with letters, digits, '.', '_' or '-'"
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if ".." in name or name.endswith((".", ".lock")):
        return "should not contain '..' nor end in '.' or '.lock': git would refuse its branch"
    return None


def shown_key(key: tuple[str | int, ...]) -> str:
    """`("projects", "api", "gates", 0)` as a person writes it: `projects.api.gates[0]`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if BARE_KEY.match(part) else printable(part, 60))
    return text


def printable(text: str, limit: int = 80) -> str:
    """`text` quoted, on one line, without control characters (a terminal would obey them), cut after `limit`."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "'" + "".join(char if char.isprintable() else ascii(char)[1:-1] for char in cut) + "'"
