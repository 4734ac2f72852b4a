"""`acp chat`: talk to the agent in a directory."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli import complete
from acp_agent.surfaces.cli.grid import is_terminal
from acp_agent.surfaces.cli.group import Command

if TYPE_CHECKING:
    from acp_agent.surfaces.cli.chat.room import Room, Wish
    from acp_agent.surfaces.cli.chat.screen import Screen

EPILOG = """\b
Examples:
  acp chat
  acp chat ../api --mode edit
  acp chat --resume
  acp chat -p "what does this project do?" --mode plan"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path())
@click.option("--model", metavar="MODEL", shell_complete=complete.models, help="A model or an alias of the config.")
@click.option("--role", metavar="ROLE", help="A role of the config (default: coder).")
@click.option(
    "--mode",
    type=click.Choice(("plan", "ask", "edit", "auto")),
    help="What may be done without asking (default: ask, which asks before every edit and command).",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="last",
    metavar="[SESSION]",
    help="Go on with a session, by default the last one in DIR.",
)
@click.option("-p", "--print", "message", metavar="TEXT", help="One message, its answer, and leave.")
def chat(**given: Any) -> int:
    """Talk to the agent; it works right in DIR (default: here), and asks before it changes anything.

    Without a terminal every line of standard input is a message, and what would have to be asked is denied.
    """
    return hold(given)


def hold(given: Mapping[str, Any]) -> int:
    """Hold the conversation; returns the exit code."""
    from acp_agent.domain.policy import Mode
    from acp_agent.surfaces.cli.chat.room import Wish, open_room

    mode = Mode(given["mode"]) if given["mode"] else None
    wish = Wish(given["directory"], given["model"], given["role"], mode, given["resume"])
    with open_room() as room:
        return _hold(room, wish, given["message"])


def _hold(room: "Room", wish: "Wish", message: str | None) -> int:
    from acp_agent.config.paths import state_dir
    from acp_agent.surfaces.cli.chat.echo import Echo
    from acp_agent.surfaces.cli.chat.keyboard import Keyboard, Script, checked
    from acp_agent.surfaces.cli.chat.talk import Talk
    from acp_agent.surfaces.cli.chat.turn import Left

    if message is not None and not message.strip():
        raise UsageError("--print: the message is empty", hint='acp chat -p "what to do"')
    room.enter(wish)
    attended = is_terminal(sys.stdin) and is_terminal(sys.stdout)
    keyboard = Keyboard(state_dir(room.app.environ) / "chat_history") if attended else None
    screen = _screen()
    talk = Talk(room, screen, Echo(), keyboard.answer if keyboard else None)
    talk.greet()
    try:
        if message is not None:
            return talk.hear(checked(message)) or int(ExitCode.OK)
        if keyboard is not None:
            keyboard.complete = talk.completions
            talk.recall()
        return talk.converse(keyboard or Script())
    except Left:
        return int(ExitCode.INTERRUPTED)
    finally:
        talk.farewell()
        screen.pause()


def _screen() -> "Screen":
    """Painted where there is a terminal that can move its cursor."""
    if is_terminal(sys.stdout) and os.environ.get("TERM", "") not in ("dumb", "unknown"):
        from acp_agent.surfaces.cli.chat.painted import PaintedScreen

        return PaintedScreen()
    from acp_agent.surfaces.cli.chat.screen import PlainScreen

    return PlainScreen()
