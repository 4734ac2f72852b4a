"""The methods of the protocol over our sessions: each translates, asks the application, and translates back."""

import base64
import binascii
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import anyio
import anyio.to_thread

from acp_agent.app import App
from acp_agent.config.login import forget_login
from acp_agent.domain.errors import UsageError
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.session import SessionState
from acp_agent.runs.ids import new_id
from acp_agent.surfaces.acp import params
from acp_agent.surfaces.acp.call import Call, Client, Method, SessionUpdates
from acp_agent.surfaces.acp.faults import AuthRequired, InvalidParams, NotFound
from acp_agent.surfaces.acp.fields import Params
from acp_agent.surfaces.acp.first import KEYS, SIGN_IN, vision_flag
from acp_agent.surfaces.acp.hands import files_of, terminal_of
from acp_agent.surfaces.acp.options import (
    Choices,
    mode_change,
    modes_of,
    option_change,
    options_of,
)
from acp_agent.surfaces.acp.servers import servers_of
from acp_agent.surfaces.acp.slash import Offer, Slash, command_in
from acp_agent.surfaces.acp.turn import TurnOnTheWire
from acp_agent.surfaces.acp.turns import LiveTurn, Told, Turns
from acp_agent.surfaces.acp.updates import Narrator
from acp_agent.tools.workbench import Workbench

_log = logging.getLogger(__name__)

ACTOR = "editor"
PAGE = 50
DEFAULT_WINDOW = 128_000
RETURN = 1.0
"""Seconds that a client which loads a session waits for the end of the connection that holds its turn."""


@dataclass
class Agent:
    """The agent as one client sees it. Connections of one process share `turns`.

    Once it `is_signed_out`, nothing but `authenticate` leads to a model again.
    """

    app: App
    turns: Turns = field(default_factory=Turns)
    is_signed_out: bool = False
    _choices: Choices | None = None

    def methods(self) -> Mapping[str, Method[Any]]:
        """Every method, by name."""
        answers = {name: getattr(self, name.removeprefix("session/")) for name in parameters_of()}
        return {name: Method(model, answers[name]) for name, model in parameters_of().items()}

    async def authenticate(self, asked: params.Authenticate, call: Call) -> None:
        """Answer at once where a model can be asked; otherwise say how to connect one."""
        known = [str(method["id"]) for method in (KEYS, SIGN_IN)]
        if asked.method_id not in known:
            raise InvalidParams(f"methodId: there is no method {asked.method_id!r}", hint=", ".join(known))
        if self.is_signed_out and self.app.uses_login:
            # What this process knows of the key is not used again; a new one reads what is there then.
            raise AuthRequired("you have signed out", hint="acp serve --login, then start the agent again")
        try:
            self._choices = await self._look_around()
        except UsageError as error:
            raise AuthRequired(error.what, hint=error.hint) from None
        self.is_signed_out = False

    async def logout(self, asked: params.Logout, call: Call) -> None:
        """Remove what was entered at `acp serve --login`; keys of the environment and of config.toml stay yours."""
        await anyio.to_thread.run_sync(forget_login, self.app.environ)
        self.is_signed_out = True

    async def new(self, asked: params.NewSession, call: Call) -> dict[str, Any]:
        """A new session in `cwd`."""
        await self._admit(asked.cwd, asked.additional_directories)
        session_id = await self.app.sessions.start(SessionStarted(cwd=asked.cwd), ACTOR)
        state = await self.app.sessions.state(session_id)
        await self._open(call, state, asked)
        return {"sessionId": session_id, **await self._setup(state)}

    async def fork(self, asked: params.ForkSession, call: Call) -> dict[str, Any]:
        """A new session in `cwd` with the conversation that another one has now; both go on by themselves."""
        state = await self._state(asked.session_id)
        await self._admit(asked.cwd, asked.additional_directories)
        forked = await self.app.sessions.state(await self.app.conversations.fork(state, asked.cwd))
        await self._open(call, forked, asked)
        return {"sessionId": forked.session_id, **await self._setup(forked)}

    async def _admit(self, cwd: str, also: Sequence[str]) -> None:
        self._require_sign_in()
        if not await anyio.Path(cwd).is_dir():
            raise InvalidParams(f"cwd: {cwd} is not a directory")
        for number, place in enumerate(also):
            if not await anyio.Path(place).is_dir():
                raise InvalidParams(f"additionalDirectories[{number}]: {place} is not a directory")

    async def load(self, asked: params.LoadSession, call: Call) -> dict[str, Any]:
        """Everything that was once told of the session, told again; then its options."""
        state = await self._state(asked.session_id, asked.cwd)
        await self._admit(asked.cwd, asked.additional_directories)
        live = await self._orphan(state.session_id, call.client)
        if live is not None:
            live.pause()
        told = await self._replay(state, call.session(state.session_id), live)
        if live is not None:
            live.take_over(call.client, told)
        await self._open(call, state, asked)
        return await self._setup(state)

    async def _replay(self, state: SessionState, updates: SessionUpdates, live: LiveTurn | None) -> Told | None:
        """Tell the record again; how far that came in its last run."""
        cost: float | None = 0.0
        told: Told | None = None
        for run_id in await self.app.sessions.runs(state.session_id):
            narrator, seq = Narrator(state.cwd, self._window, cost, replay=True), 0
            for event in await self.app.journal.events(run_id):
                seq = event.seq
                for update in narrator.fact(event):
                    updates.update(update)
                await updates.room()
            if live is None or run_id != live.turn.run_id:
                for update in narrator.close():
                    updates.update(update)
            cost = narrator.cost
            told = Told(run_id, seq, narrator)
        return told

    async def _orphan(self, session_id: str, client: Client) -> LiveTurn | None:
        """The turn under way whose client is gone. Of one that comes back, the end may be heard after the return."""
        live = self.turns.of(session_id)
        if live is not None and live.client is not client:
            with anyio.move_on_after(RETURN):
                await live.orphaned_or_over()
        return live if live is not None and live.is_orphaned and not live.over.is_set() else None

    async def resume(self, asked: params.ResumeSession, call: Call) -> dict[str, Any]:
        """The session's options; nothing is told again."""
        state = await self._state(asked.session_id, asked.cwd)
        await self._admit(asked.cwd, asked.additional_directories)
        if (live := await self._orphan(state.session_id, call.client)) is not None:
            live.take_over(call.client)
        await self._open(call, state, asked)
        return await self._setup(state)

    async def list(self, asked: params.ListSessions, call: Call) -> dict[str, Any]:
        """A page of sessions, the last used first."""
        found = await self.app.sessions.listed(asked.cwd, decoded(asked.cursor), PAGE + 1)
        shown = found[:PAGE]
        page: dict[str, Any] = {
            "sessions": [
                {
                    "sessionId": one.session_id,
                    "cwd": one.cwd,
                    "updatedAt": datetime.fromtimestamp(one.updated_at, UTC).isoformat(),
                    **({"title": one.title} if one.title else {}),
                }
                for one in shown
            ]
        }
        if len(found) > PAGE:
            page["nextCursor"] = encoded((shown[-1].updated_at, shown[-1].session_id))
        return page

    async def close(self, asked: params.CloseSession, call: Call) -> None:
        """Nothing is kept open for a session but its turn, which is cancelled."""
        await self._state(asked.session_id)
        await self._cancel_turn(asked.session_id, call)
        self.app.workbenches.take_back(asked.session_id)

    async def delete(self, asked: params.DeleteSession, call: Call) -> None:
        """Take the session out of lists; an unknown one is gone already."""
        await self._cancel_turn(asked.session_id, call)
        self.app.workbenches.take_back(asked.session_id)
        await self.app.sessions.delete(asked.session_id, ACTOR)

    async def prompt(self, asked: params.Prompt, call: Call) -> dict[str, Any]:
        """One turn."""
        state = await self._state(asked.session_id)
        state = state.model_copy(update={"also": self.app.workbenches.of(state.session_id).directories})
        command = command_in(asked.prompt)

        async def work(live: LiveTurn) -> dict[str, Any]:
            if command is not None:
                return await self._obey(state, live, *command)
            result = await TurnOnTheWire(self.app, state, live, call, self._window).hold(asked.prompt)
            if live.narrator is not None and live.narrator.plan_call:
                await self._tell_mode(live, state)
            return result

        return await self.turns.hold(state.session_id, call, work)

    async def _tell_mode(self, live: LiveTurn, before: SessionState) -> None:
        """A plan may have been approved, for a mode in which it can be carried out."""
        now = await self.app.sessions.state(before.session_id)
        if now.mode is not before.mode:
            options = options_of(now, await self._known_choices())
            live.say({"sessionUpdate": "config_option_update", "configOptions": options})

    async def _obey(self, state: SessionState, live: LiveTurn, name: str, argument: str) -> dict[str, Any]:
        """A turn without a model: a command of ours, and what came of it in words."""
        choices = await self._known_choices()
        said = await Slash(self.app, state, choices, ACTOR).obey(name, argument)
        content = {"type": "text", "text": said.text}
        live.say({"sessionUpdate": "agent_message_chunk", "messageId": new_id("m"), "content": content})
        if said.state is not None:
            live.say({"sessionUpdate": "config_option_update", "configOptions": options_of(said.state, choices)})
            if said.state.mode is not state.mode:
                live.say({"sessionUpdate": "current_mode_update", "currentModeId": said.state.mode.value})
        return {"stopReason": "end_turn"}

    async def cancel(self, session_id: str, client: Client) -> None:
        """End a turn that `client` took over; its own are cancelled by the connection."""
        live = self.turns.of(session_id)
        if live is not None and live.is_held_by(client):
            await self.app.conversations.cancel(live.turn)

    async def _cancel_turn(self, session_id: str, call: Call) -> None:
        live = self.turns.check(session_id, call.client)
        if live is not None:
            await self.app.conversations.cancel(live.turn)
            await live.over.wait()

    async def set_mode(self, asked: params.SetMode, call: Call) -> None:
        """Change the mode; newer clients see it as an option too."""
        await self._state(asked.session_id)
        state = await self.app.sessions.change(asked.session_id, mode_change(asked.mode_id), ACTOR)
        updates = call.client.session(state.session_id)
        await self._tell_options(updates, state)
        updates.update({"sessionUpdate": "current_mode_update", "currentModeId": state.mode.value})

    async def set_config_option(self, asked: params.SetConfigOption, call: Call) -> dict[str, Any]:
        """Change an option; the answer is the complete list. Older clients see a mode as a mode too."""
        before = await self._state(asked.session_id)
        choices = await self._known_choices()
        change = option_change(before, choices, asked.config_id, asked.value)
        state = await self.app.sessions.change(asked.session_id, change, ACTOR)
        if state.mode is not before.mode:
            update = {"sessionUpdate": "current_mode_update", "currentModeId": state.mode.value}
            call.client.session(state.session_id).update(update)
        return {"configOptions": options_of(state, choices)}

    async def _open(self, call: Call, state: SessionState, asked: params.Opening) -> None:
        """What every way into a session does: take what the client lends, and say what a prompt may begin with."""
        session_id, client = state.session_id, call.client
        terminal = terminal_of(client, session_id, partial(self._show_terminal, session_id))
        bench = Workbench(
            servers_of(asked.mcp_servers), files_of(client, session_id), terminal, tuple(asked.additional_directories)
        )
        self.app.redact.learn(secret for server in bench.servers for secret in server.secrets)
        self.app.workbenches.lend(session_id, Path(state.cwd), bench)
        await self._tell_commands(call, state)

    def _show_terminal(self, session_id: str, key: str, terminal_id: str) -> None:
        live = self.turns.of(session_id)
        if live is not None:
            live.show_terminal(key, terminal_id)

    async def _tell_commands(self, call: Call, state: SessionState) -> None:
        """What a prompt may begin with. It goes out once the answer has announced the session."""
        offer = await Offer.at(self.app, state.cwd)
        call.client.session(state.session_id).update(offer.update())

    async def _tell_options(self, updates: SessionUpdates, state: SessionState) -> None:
        options = options_of(state, await self._known_choices())
        updates.update({"sessionUpdate": "config_option_update", "configOptions": options})

    async def _state(self, session_id: str, cwd: str | None = None) -> SessionState:
        self._require_sign_in()
        try:
            state = await self.app.sessions.state(session_id)
        except UsageError as error:
            raise NotFound(error.what) from None
        if cwd is not None and PurePath(cwd) != PurePath(state.cwd):
            raise InvalidParams(f"cwd: the session works in {state.cwd}, not in {cwd}")
        return state

    def _require_sign_in(self) -> None:
        if self.is_signed_out:
            raise AuthRequired("you have signed out", hint="authenticate")

    async def _setup(self, state: SessionState) -> dict[str, Any]:
        choices = await self._known_choices()
        return {"modes": modes_of(state), "configOptions": options_of(state, choices)}

    async def _known_choices(self) -> Choices:
        """What can be chosen, looked up once; a machine without a model has a session all the same."""
        if self._choices is None:
            try:
                self._choices = await self._look_around()
            except UsageError:
                return Choices((), self._roles())
        return self._choices

    async def _look_around(self) -> Choices:
        models = self.app.models
        table = self.app.settings.table
        chain = models.named(flag=None, role="coder")
        if chain is None:
            found = await models.found()
            chain, listed = found.models, tuple(model for row in found.rows for model in row.models)
        else:
            listed = chain
        await anyio.to_thread.run_sync(self._remember_vision, models.see(chain))
        return Choices(tuple(dict.fromkeys((*table.models, *listed))), self._roles(), chain[0])

    def _remember_vision(self, sees: bool) -> None:
        """The next `initialize` is answered before anybody can look: it looks at this file."""
        flag = Path(vision_flag(self.app.environ))
        try:
            if sees:
                flag.touch()
            else:
                flag.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s cannot be changed: %s", flag, error.strerror)

    def _roles(self) -> tuple[str, ...]:
        return tuple(name for name in self.app.settings.table.roles if name != "coder")

    def _window(self, model: str) -> int:
        price = self.app.models.price(model)
        return price.context_window if price and price.context_window else DEFAULT_WINDOW


def encoded(place: tuple[float, str]) -> str:
    """A place in the list as an opaque cursor."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def decoded(cursor: str | None) -> tuple[float, str] | None:
    """The place behind a cursor of ours. Raises InvalidParams for any other."""
    if cursor is None:
        return None
    try:
        last, session_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return float(last), str(session_id)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise InvalidParams("cursor: is not one of ours", hint="begin without a cursor") from None


def parameters_of() -> dict[str, type[Params]]:
    """The methods of the protocol that are answered here, and the model of their parameters."""
    return {
        "authenticate": params.Authenticate,
        "logout": params.Logout,
        "session/new": params.NewSession,
        "session/load": params.LoadSession,
        "session/resume": params.ResumeSession,
        "session/fork": params.ForkSession,
        "session/list": params.ListSessions,
        "session/close": params.CloseSession,
        "session/delete": params.DeleteSession,
        "session/prompt": params.Prompt,
        "session/set_mode": params.SetMode,
        "session/set_config_option": params.SetConfigOption,
    }
