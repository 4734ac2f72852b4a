"""The conversation: a message in, a turn or a command out, until somebody leaves."""

import os
from itertools import groupby

from acp_agent.config.settings import DEFAULT_ROLE, resolve_chain
from acp_agent.domain.errors import AcpAgentError, ExitCode, UsageError
from acp_agent.domain.events import Event, Parked, RunEnded
from acp_agent.domain.events_session import SessionChanged
from acp_agent.domain.policy import Mode
from acp_agent.domain.run import RunState
from acp_agent.domain.session import DEFAULT
from acp_agent.surfaces.cli.chat import slash
from acp_agent.surfaces.cli.chat.consent import Consent, Read
from acp_agent.surfaces.cli.chat.echo import Echo
from acp_agent.surfaces.cli.chat.keyboard import Lines
from acp_agent.surfaces.cli.chat.narration import LIMITS, Narration
from acp_agent.surfaces.cli.chat.room import Room
from acp_agent.surfaces.cli.chat.screen import Screen
from acp_agent.surfaces.cli.chat.turn import Conduct
from acp_agent.surfaces.cli.formats import count, money, some
from acp_agent.surfaces.cli.undo import told

ROLE = "role:"
MOST_MODELS = 40
"""Models listed of one place."""


class Talk:
    """One session in one terminal. Without `read` nobody is there: approvals are denied and the first error ends it."""

    def __init__(self, room: Room, screen: Screen, echo: Echo, read: Read | None) -> None:
        self._room = room
        self._screen = screen
        self._echo = echo
        self._is_attended = read is not None
        self._narration = Narration(screen)
        self._consent = Consent(screen, self._narration, read)
        self._offered: list[str] = []
        self._offered_skills: list[str] | None = None

    def greet(self) -> None:
        """Model and why, mode, directory. Raises UsageError where there is no model."""
        session = self._room.session
        chain, why = self._room.model()
        role = f", role {session.role}" if session.role != DEFAULT_ROLE else ""
        self._screen.note(
            f"acp chat: {', then '.join(chain)} ({why}){role}, mode {session.mode}, {_short(session.cwd)}; /help"
        )

    def recall(self) -> None:
        """Tell what was said so far, and whether the last turn came to its end."""
        narration = Narration(self._screen, replay=True)
        turns: list[list[Event]] = [list(turn) for _, turn in groupby(self._room.told(), lambda event: event.stream_id)]
        for event in (event for turn in turns for event in turn):
            narration.fact(event)
        if turns and isinstance(last := turns[-1][-1].data, Parked) and last.waiting == "answer":
            self._screen.note(f"the next message answers: {last.detail}", "waiting")
        elif turns and not any(isinstance(event.data, RunEnded) for event in turns[-1]):
            self._screen.note("the last turn has not ended; the next message closes it, what it did stays", "waiting")
        self._screen.rest()

    def converse(self, lines: Lines) -> int:
        """Go on until the end of the input or `/quit`; returns the exit code."""
        presses = 0
        while True:
            try:
                text = lines.message(self._room.session.mode)
                presses = 0
                code = None if text is None else self.hear(text)
            except KeyboardInterrupt:
                if not self._is_attended:
                    return int(ExitCode.INTERRUPTED)
                presses += 1
                if presses > 1:
                    return int(ExitCode.OK)
                self._screen.note("Ctrl-C once more, or Ctrl-D, leaves")
                continue
            except AcpAgentError as error:
                self._complain(error)
                continue
            if code is None:
                return int(ExitCode.OK)
            if code != ExitCode.OK and not self._is_attended:
                return code

    def hear(self, text: str) -> int | None:
        """Obey a command or take a turn; returns its exit code, None for `/quit`. Raises UsageError, Refused, Left."""
        match slash.parse(text, self._skills() if text.startswith("/") else ()):
            case None:
                return self._turn(text.strip()) if text.strip() else int(ExitCode.OK)
            case slash.Unknown(advice):
                raise UsageError(advice)
            case slash.Command(name="quit"):
                return None
            case slash.Command(name, argument):
                commands = {"help": self._help, "model": self._model, "mode": self._mode, "undo": self._undo}
                {**commands, "cost": self._cost}[name](argument)
                self._screen.rest()
        return int(ExitCode.OK)

    def farewell(self) -> None:
        """How to go on another time."""
        session_id = self._room.session.session_id
        if session_id:
            self._screen.note(f"session {session_id}; go on with: acp chat --resume {session_id}")

    def completions(self, line: str) -> list[str]:
        """What a typed line may become."""
        settings = self._room.app.settings.table
        models = [DEFAULT, *settings.models, *(ROLE + role for role in settings.roles), *self._offered]
        return slash.completions(line, models, self._skills() if line.startswith("/") else ())

    def _skills(self) -> list[str]:
        if self._offered_skills is None:
            skills = [skill.name for skill in self._room.skills().entries]
            self._offered_skills = [*skills, *(command.name for command in self._room.commands().entries)]
        return self._offered_skills

    def _turn(self, text: str) -> int:
        self._room.begin()
        conduct = Conduct(self._room, self._screen, self._narration, self._consent, self._echo)
        try:
            state = conduct.carry_out(text)
        except BaseExceptionGroup as group:
            raise _root_of(group) from group
        self._room.refresh()
        if conduct.was_interrupted and not self._is_attended:
            return int(ExitCode.INTERRUPTED)
        return int(_code(state))

    def _complain(self, error: AcpAgentError) -> None:
        if not self._is_attended:
            raise error
        self._screen.note(error.what, "failed")
        if error.hint:
            self._screen.note(f"hint: {error.hint}")
        self._screen.rest()

    def _help(self, argument: str) -> None:
        rows = [(f"/{name} {takes}".strip(), about) for name, (takes, about) in slash.COMMANDS.items()]
        taken_up = ", ".join(f"/{name}" for name in self._skills() if name not in slash.COMMANDS)
        more = ("Skills and command files", f"Begin a message with one: {taken_up}")
        self._screen.listing([*rows, *slash.KEYS, more])

    def _mode(self, argument: str) -> None:
        if not argument:
            now = self._room.session.mode
            self._screen.listing([("*" if mode == now else "", mode, about) for mode, about in slash.MODES.items()])
            return
        if argument not in slash.MODES:
            raise UsageError(f"there is no mode {argument}", hint=f"modes: {', '.join(slash.MODES)}")
        self._room.change(SessionChanged(mode=Mode(argument)))
        self._screen.note(f"mode {argument} from the next message on: {slash.MODES[argument]}")

    def _undo(self, argument: str) -> None:
        if argument not in ("", "back"):
            raise UsageError(
                "/undo takes nothing, or: back", hint="acp undo ID --to STEP goes back to a step of a turn"
            )
        for line in told(self._room.undo(back=bool(argument)), bool(argument)):
            self._screen.note(line)

    def _model(self, argument: str) -> None:
        if not argument:
            self._screen.listing(self._models())
            return
        settings = self._room.app.settings
        if argument == DEFAULT:
            changed = SessionChanged(model=DEFAULT, role=DEFAULT_ROLE)
        elif argument.startswith(ROLE):
            settings.role(argument.removeprefix(ROLE))
            changed = SessionChanged(model=DEFAULT, role=argument.removeprefix(ROLE))
        else:
            resolve_chain(settings, argument)
            changed = SessionChanged(model=argument)
        self._room.change(changed)
        chain, why = self._room.model()
        self._screen.note(f"from the next message on: {', then '.join(chain)} ({why})")

    def _models(self) -> list[tuple[str, ...]]:
        """Every model that can be named, where it is from, and a mark at the one in use."""
        session, settings = self._room.session, self._room.app.settings
        current = session.model or (ROLE + session.role if session.role != DEFAULT_ROLE else DEFAULT)
        named: dict[str, str] = {DEFAULT: "what the configuration names, or is found"}
        for alias in settings.table.models:
            named[alias] = "alias: " + ", then ".join(resolve_chain(settings, alias))
        for role, table in settings.table.roles.items():
            named[ROLE + role] = f"role{f' with {table.model}' if table.model else ''}"
        for place in self._room.call(self._room.app.models.survey):
            for model in place.models[:MOST_MODELS]:
                named.setdefault(model, place.source)
        self._offered = [name for name in named if "/" in name]
        named.setdefault(current, "chosen")
        return [("*" if name == current else "", name, about) for name, about in named.items()]

    def _cost(self, argument: str) -> None:
        turns, past, tokens = self._room.spent()
        spent = money(past.cost, past.cost_known) if turns else money(0.0)
        used = f"{count(tokens.input_tokens)} tokens in, {count(tokens.output_tokens)} out"
        self._screen.note(f"this session: {some(turns, 'turn')}, {used}, {spent}")


def _code(state: RunState) -> ExitCode:
    if state.waiting_for is not None:
        return ExitCode.WAITS
    if state.reason in LIMITS:
        return ExitCode.LIMIT
    return ExitCode.OK if state.reason == "end_turn" else ExitCode.FAILED


def _root_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that matters: task groups wrap what their tasks raise."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = (error.subgroup(AcpAgentError) or error).exceptions[0]
    return error


def _short(directory: str) -> str:
    home = os.path.expanduser("~")
    return "~" + directory.removeprefix(home) if directory == home or directory.startswith(home + os.sep) else directory
