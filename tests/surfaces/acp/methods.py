"""Methods and messages that several tests of a connection share."""

from __future__ import annotations

from typing import Any

from acp_agent.surfaces.acp.call import Call, Method
from acp_agent.surfaces.acp.params import ListSessions, NewSession, Prompt
from tests.surfaces.acp.wire import WireClient

NEW = {"cwd": "/w", "mcpServers": []}
PROMPT = {"sessionId": "s1", "prompt": [{"type": "text", "text": "Hello"}]}
PERMISSION = {
    "sessionId": "s1",
    "toolCall": {"toolCallId": "t1", "title": "Edit"},
    "options": [
        {"optionId": "once", "name": "Allow", "kind": "allow_once"},
        {"optionId": "no", "name": "Reject", "kind": "reject_once"},
    ],
}


async def new(parameters: NewSession, call: Call) -> dict[str, str]:
    return {"sessionId": "s1"}


async def listed(parameters: ListSessions, call: Call) -> dict[str, Any]:
    return {"sessions": []}


def serving(prompt: Any = None, **others: Method[Any]) -> dict[str, Method[Any]]:
    """Methods with `prompt` for a turn, and `others` by their names."""
    methods = {"session/new": Method(NewSession, new), "session/list": Method(ListSessions, listed), **others}
    return methods | ({"session/prompt": Method(Prompt, prompt)} if prompt else {})


async def opened(client: WireClient) -> None:
    """Open the session `s1`."""
    assert (await client.call("session/new", NEW))["result"] == {"sessionId": "s1"}
