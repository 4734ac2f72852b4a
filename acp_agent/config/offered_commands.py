"""Which command files are on offer: where they lie, which of the same name wins, and which a person has trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acp_agent.config.command_files import FOLDER, CommandFile, command_of, files_in, files_of_project, text_of
from acp_agent.config.commands import Command
from acp_agent.config.paths import config_dir, state_dir
from acp_agent.config.skills import top_of
from acp_agent.config.trust import untrusted

MOST = 200


@dataclass(frozen=True, slots=True)
class CommandFiles:
    """The commands on offer, and the files that nobody trusted as they stand."""

    entries: tuple[CommandFile, ...] = ()
    untrusted: tuple[Path, ...] = ()

    def named_in(self, text: str) -> tuple[CommandFile, str] | None:
        """The command a prompt begins with, and the words behind it."""
        first, _, words = text.strip().partition(" ")
        name, newline, rest = first.partition("\n")
        entry = next((one for one in self.entries if name == f"/{one.name}"), None)
        return None if entry is None else (entry, f"{rest} {words}".strip() if newline else words.strip())


def find_commands(cwd: Path, environ: Mapping[str, str]) -> CommandFiles:
    """The commands for work in `cwd`, the nearest first; of its project only those that are trusted. Reads files."""
    top = top_of(cwd)
    folders = [*(folder for folder in (cwd, *cwd.parents) if folder.is_relative_to(top))]
    taken: dict[str, CommandFile] = {}
    unknown: list[Path] = []
    for file in (file for folder in folders for file in files_of_project(folder, top)):
        # Read once: what is trusted is what is used.
        text = text_of(file)
        command = None if text is None else command_of(file, text)
        if text is None or command is None or command.name in taken:
            continue
        if untrusted(file, (Command(FOLDER, text),), state_dir(environ)):
            unknown.append(file)
        elif len(taken) < MOST:
            taken[command.name] = command
    for file in files_in(config_dir(environ) / FOLDER):
        text = text_of(file)
        command = None if text is None else command_of(file, text)
        if command is not None and len(taken) < MOST:
            taken.setdefault(command.name, command)
    return CommandFiles(tuple(taken.values()), tuple(unknown))
