"""One turn of a session on the wire: the prompt in, updates and permission requests out, the stop reason back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread

from acp_agent.app import App
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import ApprovalAsked, Event, SessionChanged
from acp_agent.domain.message import Word
from acp_agent.domain.run import RunState
from acp_agent.domain.session import SessionState
from acp_agent.runs.conversations import Turn, Verdict, label_of, title_of
from acp_agent.surfaces.acp.call import Call
from acp_agent.surfaces.acp.content import text_of
from acp_agent.surfaces.acp.faults import ClientFault, Disconnected, Unsupported
from acp_agent.surfaces.acp.params import ContentBlock
from acp_agent.surfaces.acp.replies import PermissionReply
from acp_agent.surfaces.acp.updates import KINDS, Narrator, stop_reason

ACTOR = "editor"
OPTIONS: dict[str, Verdict] = {"once": "allow", "always": "always", "reject": "deny"}


@dataclass(frozen=True, slots=True)
class TurnOnTheWire:
    """A turn and the call it answers; `window` is the context size of a model in tokens."""

    app: App
    session: SessionState
    turn: Turn
    call: Call
    window: Callable[[str], int]

    async def hold(self, blocks: Sequence[ContentBlock]) -> dict[str, Any]:
        """Hold the turn and answer it. A run that ended with an error has said so in the conversation."""
        text = text_of(blocks, self.session.cwd)
        past = await self.app.runner.past(self.session.session_id)
        updates = self.call.session(self.session.session_id)
        narrator = Narrator(self.session.cwd, self.window, past.cost if past.cost_known else None)

        def tell(item: Event | Word) -> None:
            for update in [narrator.word(item)] if isinstance(item, Word) else narrator.fact(item):
                updates.update(update)

        async def ask(asked: ApprovalAsked) -> Verdict:
            return await self._permission(asked, narrator)

        if not self.session.title:
            await anyio.to_thread.run_sync(self.app.redact.enter, self.session.cwd)
            await self._name(title_of(self.app.redact(text)))
        async with anyio.create_task_group() as group:
            group.start_soon(self._heed)
            state = await self.app.conversations.prompt(self.session, text, self.turn, tell, ask)
            group.cancel_scope.cancel()
        return {"stopReason": "cancelled" if self.turn.is_cancelled else _stop_reason(state)}

    async def _heed(self) -> None:
        await self.call.cancelled.wait()
        await self.app.conversations.cancel(self.turn)

    async def _name(self, title: str) -> None:
        """The first prompt names the session."""
        session_id = self.session.session_id
        await self.app.sessions.change(session_id, SessionChanged(title=title), ACTOR)
        now = datetime.now(UTC).isoformat()
        update = {"sessionUpdate": "session_info_update", "title": title, "updatedAt": now}
        self.call.session(session_id).update(update)

    async def _permission(self, asked: ApprovalAsked, narrator: Narrator) -> Verdict:
        """What the person says. All but a clear yes is a no: an unknown option, an error, a client that is gone."""
        always = {"optionId": "always", "name": f"Always allow {label_of(asked)}", "kind": "allow_always"}
        parameters = {
            "sessionId": self.session.session_id,
            "toolCall": {
                "toolCallId": asked.call_id,
                "title": asked.title,
                "kind": KINDS.get(asked.tool, "other"),
                "status": "pending",
                "content": narrator.preview(asked),
            },
            "options": [
                {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
                *([always] if asked.name else []),
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ],
        }
        try:
            reply = await self.call.request("session/request_permission", parameters, PermissionReply)
        except (ClientFault, Unsupported, Disconnected):
            return "deny"
        return OPTIONS.get(reply.option_id or "", "deny")


def _stop_reason(state: RunState) -> str:
    if state.reason == "error" and state.failures and state.failures[-1].fault is ModelFault.CONTEXT_LENGTH:
        return "max_tokens"
    return stop_reason(state.reason or "end_turn")
