"""One turn of a session on the wire: the prompt in, updates and permission requests out, the stop reason back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from acp_agent.app import App
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import ApprovalAsked
from acp_agent.domain.events_session import SessionChanged
from acp_agent.domain.run import RunState
from acp_agent.domain.session import SessionState
from acp_agent.runs.conversations import title_of
from acp_agent.runs.people import Person, Verdict, label_of
from acp_agent.surfaces.acp.call import Call
from acp_agent.surfaces.acp.content import images_of, text_of
from acp_agent.surfaces.acp.faults import ClientFault, Unsupported
from acp_agent.surfaces.acp.inquiry import answer_of
from acp_agent.surfaces.acp.params import ContentBlock, ImageBlock
from acp_agent.surfaces.acp.planning import verdict_on
from acp_agent.surfaces.acp.replies import PermissionReply
from acp_agent.surfaces.acp.turns import LiveTurn
from acp_agent.surfaces.acp.updates import KINDS, Narrator, stop_reason

ACTOR = "editor"
OPTIONS: dict[str, Verdict] = {"once": "allow", "always": "always", "reject": "deny"}


@dataclass(frozen=True, slots=True)
class TurnOnTheWire:
    """A turn, who hears of it, and the call it answers; `window` is the context size of a model in tokens."""

    app: App
    session: SessionState
    live: LiveTurn
    call: Call
    window: Callable[[str], int]

    async def hold(self, blocks: Sequence[ContentBlock]) -> dict[str, Any]:
        """Hold the turn and answer it. A run that ended with an error has said so in the conversation."""
        text = text_of(blocks, self.session.cwd)
        if any(isinstance(block, ImageBlock) for block in blocks):
            self.live.turn.images = await anyio.to_thread.run_sync(images_of, blocks)
        past = await self.app.runner.past(self.session.session_id)
        self.live.narrator = Narrator(self.session.cwd, self.window, past.cost if past.cost_known else None)
        self.live.narrator.ended = await self.app.conversations.left_open(self.session.session_id)
        if not self.session.title:
            await anyio.to_thread.run_sync(self.app.redact.enter, self.session.cwd)
            await self._name(title_of(self.app.redact(text)))
        async with anyio.create_task_group() as group:
            group.start_soon(self._heed)
            group.start_soon(self.app.workbenches.report, self.session.session_id, self._tell_failed)
            turn, live = self.live.turn, self.live
            person = Person(self._permission, partial(answer_of, live), partial(verdict_on, live))
            state = await self.app.conversations.prompt(self.session, text, turn, self.live.tell, person)
            group.cancel_scope.cancel()
        if not state.ended:
            self.live.close()
        return {"stopReason": "cancelled" if turn.is_cancelled else _stop_reason(state)}

    async def _heed(self) -> None:
        await self.call.cancelled.wait()
        await self.app.conversations.cancel(self.live.turn)

    def _tell_failed(self, server: str, problem: str) -> None:
        """An MCP server of the editor cannot be used: the person who named it can mend that."""
        words = self.app.redact(f"*The MCP server {server} is not available: {problem}*\n\n")
        content = {"type": "text", "text": words}
        self.live.say({"sessionUpdate": "agent_message_chunk", "messageId": f"mcp-{server}", "content": content})

    async def _name(self, title: str) -> None:
        """The first prompt names the session."""
        session_id = self.session.session_id
        await self.app.sessions.change(session_id, SessionChanged(title=title), ACTOR)
        now = datetime.now(UTC).isoformat()
        update = {"sessionUpdate": "session_info_update", "title": title, "updatedAt": now}
        self.live.say(update)

    async def _permission(self, asked: ApprovalAsked) -> Verdict:
        """What the person says. All but a clear yes is a no: an unknown option, or an error.

        A client that is gone has not said no: the next one who takes the turn over is asked.
        """
        assert self.live.narrator is not None
        always = {"optionId": "always", "name": f"Always allow {label_of(asked)}", "kind": "allow_always"}
        parameters = {
            "sessionId": self.session.session_id,
            "toolCall": {
                "toolCallId": asked.call_id,
                "title": asked.title,
                "kind": KINDS.get(asked.tool, "other"),
                "status": "pending",
                "content": self.live.narrator.preview(asked),
            },
            "options": [
                {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
                *([always] if asked.name else []),
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ],
        }
        try:
            reply = await self.live.request("session/request_permission", parameters, PermissionReply)
        except (ClientFault, Unsupported):
            return "deny"
        return OPTIONS.get(reply.option_id or "", "deny")


def _stop_reason(state: RunState) -> str:
    if state.reason == "error" and state.failures and state.failures[-1].fault is ModelFault.CONTEXT_LENGTH:
        return "max_tokens"
    return stop_reason(state.reason or "end_turn")
