"""Commands that are files: `NAME.md` in a folder `commands`, a prompt that a person gives by `/NAME` and some words.

A project's are on offer once a person trusts them as they stand, since their words steer the agent. They beat those of
the user, which lie in `commands` beside config.toml.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acp_agent.config.commands import Command
from acp_agent.config.paths import shown_path
from acp_agent.config.skill_file import MAX_BYTES, MAX_DESCRIPTION, BrokenSkill, front_matter
from acp_agent.domain.errors import UsageError

FOLDER = "commands"
PROJECT_FOLDERS = (f".agents/{FOLDER}", f".claude/{FOLDER}")
ARGUMENTS = "$ARGUMENTS"
MOST = 200
_NAME = re.compile(r"[A-Za-z0-9][\w-]{0,63}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class CommandFile:
    """A command: `description` and `hint` are for a person who chooses, `text` is the prompt it stands for."""

    name: str
    description: str
    hint: str
    text: str
    path: Path

    def prompt(self, words: str) -> str:
        """The prompt with `words` where it names $ARGUMENTS; behind it where it does not."""
        if ARGUMENTS in self.text:
            return self.text.replace(ARGUMENTS, words)
        return f"{self.text}\n\n{words}" if words else self.text


def files_of_project(folder: Path, top: Path | None = None) -> list[Path]:
    """The command files that stand in `folder` itself; none that a link leads to outside of `top` (default: it)."""
    inside = os.path.realpath(top or folder)
    found = [file for name in PROJECT_FOLDERS for file in files_in(folder / name)]
    return [file for file in found if Path(os.path.realpath(file)).is_relative_to(inside)]


def is_command_file(file: Path) -> bool:
    """Whether a path is where a command of a project would be."""
    return file.suffix == ".md" and file.parent.name == FOLDER and file.parent.parent.name in (".agents", ".claude")


def trusted_text(file: Path) -> tuple[Command, ...]:
    """What a person agrees to by trusting the file: all of it. Raises UsageError where it cannot be used."""
    text = text_of(file)
    if text is None or command_of(file, text) is None:
        hint = f"a command is UTF-8 text of at most {MAX_BYTES:,} bytes, with a prompt behind its front matter"
        raise UsageError(f"{shown_path(file)}: is no command that can be used", hint=hint)
    return (Command(FOLDER, text),)


def files_in(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names[: 10 * MOST]:
        if name.endswith(".md") and _NAME.match(name.removesuffix(".md")) and (folder / name).is_file():
            yield folder / name


def text_of(file: Path) -> str | None:
    """What a file holds; None where it cannot be read, is too large or is no text."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        return None if len(data) > MAX_BYTES else data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def command_of(file: Path, text: str) -> CommandFile | None:
    """The command of a file; None for one that has no prompt or a front matter that cannot be read."""
    try:
        values, body = front_matter(text)
    except BrokenSkill:
        return None
    if not body.strip():
        return None
    first = body.strip().splitlines()[0].lstrip("# ")
    description = values.get("description") or first
    return CommandFile(file.stem, description[:MAX_DESCRIPTION], values.get("argument-hint", ""), body.strip(), file)
