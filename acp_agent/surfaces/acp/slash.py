"""The commands an editor's prompt may begin with that no model is asked for: /model, /mode, /cost, /undo and /help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from acp_agent.app import App
from acp_agent.config.offered_commands import CommandFiles
from acp_agent.config.skills import Skills
from acp_agent.domain.errors import AcpAgentError, UsageError
from acp_agent.domain.events_session import SessionChanged
from acp_agent.domain.session import SessionState
from acp_agent.surfaces.acp.options import MODES, Choices, mode_change, model_value, option_change, options_of
from acp_agent.surfaces.acp.params import ContentBlock, TextBlock

if TYPE_CHECKING:
    from acp_agent.fleet.undo import Outcome

OURS: Mapping[str, tuple[str, str]] = {
    "model": ("name of a model; nothing lists them", "Use another model from the next prompt on"),
    "mode": ("plan, ask, edit or auto; nothing lists them", "Work in another mode from the next prompt on"),
    "cost": ("", "Tokens and money of this session"),
    "undo": ("back, to bring the last undo back", "Take back what the last turn changed"),
    "help": ("", "What a prompt may begin with"),
}
"""What each takes, and what it does."""
MOST_PATHS = 20
OUTSIDE = {"taken_back": "taken back", "failed": "NOT taken back, it failed", "stays": "NOT taken back"}


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to a command, and the state of the session where it changed that."""

    text: str
    state: SessionState | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Everything a prompt may begin with in one folder."""

    skills: Skills
    files: CommandFiles

    @classmethod
    async def at(cls, app: App, cwd: str) -> "Offer":
        """What is on offer there now."""
        skills = await anyio.to_thread.run_sync(app.conversations.skills, cwd)
        return cls(skills, await anyio.to_thread.run_sync(app.conversations.commands, cwd))

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, description and hint of each; the first of a name is the one that is meant."""
        rows = [(name, about, hint) for name, (hint, about) in OURS.items()]
        rows += [(skill.name, skill.description, "what to do with it") for skill in self.skills.entries]
        rows += [(file.name, file.description, file.hint) for file in self.files.entries]
        return list({row[0]: row for row in reversed(rows)}.values())[::-1]

    def update(self) -> dict[str, Any]:
        """The update that tells an editor."""
        commands = [
            {"name": name, "description": about, **({"input": {"hint": hint}} if hint else {})}
            for name, about, hint in self.rows()
        ]
        return {"sessionUpdate": "available_commands_update", "availableCommands": commands}


def command_in(blocks: Sequence[ContentBlock]) -> tuple[str, str] | None:
    """The name and the argument, where a prompt is one of our commands and nothing else."""
    if len(blocks) != 1 or not isinstance(blocks[0], TextBlock):
        return None
    word, _, argument = blocks[0].text.strip().partition(" ")
    return (word[1:], argument.strip()) if word.startswith("/") and word[1:] in OURS else None


@dataclass(frozen=True, slots=True)
class Slash:
    """Obeys the commands in one session."""

    app: App
    session: SessionState
    choices: Choices
    actor: str

    async def obey(self, name: str, argument: str) -> Said:
        """What came of it. A command that cannot be obeyed says why."""
        try:
            return await self._obey(name, argument)
        except AcpAgentError as error:
            return Said(f"{error.what}\n\n{error.hint}" if error.hint else error.what)

    async def _obey(self, name: str, argument: str) -> Said:
        match name:
            case "model":
                return await self._model(argument)
            case "mode":
                return await self._mode(argument)
            case "undo":
                if argument not in ("", "back"):
                    raise UsageError("/undo takes nothing, or: back")
                return Said(_undone(await self._undo(bool(argument)), bool(argument)))
            case "cost":
                return Said(await self._cost())
            case _:
                offer = await Offer.at(self.app, self.session.cwd)
                return Said("\n".join(f"- `/{name}` {about}" for name, about, _ in offer.rows()))

    async def _model(self, argument: str) -> Said:
        if not argument:
            (values,) = (entry["options"] for entry in options_of(self.session, self.choices) if entry["id"] == "model")
            return Said(_listed([(entry["value"], entry["name"]) for entry in values], model_value(self.session)))
        return await self._changed(option_change(self.session, self.choices, "model", argument), f"model {argument}")

    async def _mode(self, argument: str) -> Said:
        if not argument:
            return Said(_listed([(mode.value, about) for mode, _, about in MODES], self.session.mode.value))
        return await self._changed(mode_change(argument), f"mode {argument}")

    async def _changed(self, change: SessionChanged, what: str) -> Said:
        state = await self.app.sessions.change(self.session.session_id, change, self.actor)
        return Said(f"From the next prompt on: {what}.", state)

    async def _cost(self) -> str:
        turns, past, tokens = await self.app.conversations.spent(self.session.session_id)
        money = f"US$ {past.cost:.4f}" if past.cost_known else f"at least US$ {past.cost:.4f} (a price is unknown)"
        used = f"{tokens.input_tokens:,} tokens in, {tokens.output_tokens:,} out"
        return f"This session: {turns} {'turn' if turns == 1 else 'turns'}, {used}, {money}."

    async def _undo(self, back: bool) -> "Outcome":
        return await self.app.undo.of_session(self.session.session_id, back=back)


def _listed(rows: Sequence[tuple[str, str]], current: str) -> str:
    return "\n".join(
        f"- `{value}`{f' {about}' if about != value else ''}{' (in use)' if value == current else ''}"
        for value, about in rows
    )


def _undone(outcome: "Outcome", back: bool) -> str:
    count = f"{len(outcome.paths)} {'file' if len(outcome.paths) == 1 else 'files'}"
    lines = [f"{'Brought back' if back else 'Undone'}: {count}."]
    lines += [f"- `{path}`" for path in outcome.paths[:MOST_PATHS]]
    lines += [f"- left as it is: `{path}`: {why}" for path, why in outcome.left[:MOST_PATHS]]
    for one in outcome.outside:
        lines.append(f"- step {one.step}, {one.title}: {OUTSIDE[one.state]}")
    lines += [
        f"- step {step} ran `{title}` without a snapshot ({why}): what it changed is not known"
        for step, title, why in outcome.unrecorded
    ]
    return "\n".join(lines)
