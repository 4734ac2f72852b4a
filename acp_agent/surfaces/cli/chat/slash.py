"""The slash commands of `acp chat`: what was typed, what there is, and what was probably meant. Pure."""

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acp_agent.surfaces.cli.text import cut, one_line

COMMANDS: Mapping[str, tuple[str, str]] = {
    "help": ("", "This list."),
    "model": ("[NAME]", "List models, or use NAME from the next message on (default: back to what is found)."),
    "mode": ("[MODE]", "List modes, or work in MODE from the next message on: plan, ask, edit, auto."),
    "undo": ("[back]", "Take back what the last turn changed; once more the one before. back: bring it back."),
    "cost": ("", "Tokens and money of this session."),
    "quit": ("", "Leave; the session stays on record."),
}
"""What each takes, and one line of help."""

ALIASES = {"exit": "quit", "q": "quit", "?": "help", "models": "model", "modes": "mode"}

KEYS: Sequence[tuple[str, str]] = (
    ("Enter", "Sends the line; end it with a backslash to go on in the next one. Pasted lines stay together."),
    ("Ctrl-C", "Cancels the turn under way (what it did stays); once more leaves. At the prompt it clears the line."),
    ("Ctrl-D", "Leaves."),
)

MODES: Mapping[str, str] = {
    "plan": "looks only; changes and runs nothing",
    "ask": "reads freely; asks before every edit and command",
    "edit": "edits files and runs commands in the sandbox; asks before anything that leaves it",
    "auto": "works on its own inside the sandbox and the limits",
}


class Command(NamedTuple):
    """A known command and what stood behind it."""

    name: str
    argument: str


class Unknown(NamedTuple):
    """Something that looks like a command and is none; `advice` says what to do."""

    advice: str


def parse(text: str, skills: Sequence[str] = ()) -> Command | Unknown | None:
    """What a typed text is: a command, an unknown one, or (None) a message for the model, maybe with a skill's name."""
    if not text.startswith("/"):
        return None
    word, _, argument = text[1:].partition(" ")
    name = ALIASES.get(word.strip().lower(), word.strip().lower())
    argument = one_line(argument)
    if name not in COMMANDS:
        if word in skills:
            return None
        return Unknown(_advice(word))
    if argument and not COMMANDS[name][0]:
        return Unknown(f"/{name} takes nothing behind it; begin with a space to send the text to the model")
    return Command(name, argument)


def _advice(word: str) -> str:
    close = difflib.get_close_matches(word.lower(), [*COMMANDS, *ALIASES], n=1, cutoff=0.7)
    meant = f"; did you mean /{ALIASES.get(close[0], close[0])}?" if close else "."
    shown = cut(one_line(word), 40)
    return f"there is no command /{shown}{meant} /help lists them; begin with a space to send the text to the model"


def completions(line: str, models: Sequence[str], skills: Sequence[str] = ()) -> list[str]:
    """What the last word of a line that begins with a slash can become."""
    if not line.startswith("/"):
        return []
    word, space, argument = line.partition(" ")
    if not space:
        ours = [f"/{name} " if COMMANDS[name][0] else f"/{name}" for name in COMMANDS if f"/{name}".startswith(word)]
        return ours + [f"/{name} " for name in skills if name not in COMMANDS and f"/{name}".startswith(word)]
    offered = {"/undo": ["back"], "/mode": list(MODES), "/model": list(models)}.get(word, [])
    return [name for name in offered if name.startswith(argument)]
