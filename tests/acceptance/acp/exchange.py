"""One connection of a conformance check: raw messages at a fresh process, held to the schema at its end."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import Editor, started
from acp_agent.testing.remote import Way, serving
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.desk import COMMAND, SCHEMA, Desk


class Exchange:
    """One connection of a check: `editor` speaks raw, `said` is what `initialize` answered."""

    def __init__(self, desk: Desk, editor: Editor) -> None:
        self.desk = desk
        self.editor = editor
        self.said: dict[str, Any] = {}

    async def initialize(self, version: Any = 1, **more: Any) -> dict[str, Any]:
        self.said = await self.ask("initialize", protocolVersion=version, **more)
        return self.said

    async def ask(self, method: str, **params: Any) -> Any:
        return await self.editor.request(method, params)

    async def refused(self, method: str, **params: Any) -> RawError:
        with pytest.raises(RawError) as caught:
            await self.ask(method, **params)
        return caught.value

    async def new(self) -> dict[str, Any]:
        return dict(await self.ask("session/new", cwd=str(self.desk.project), mcpServers=[]))

    async def session(self) -> str:
        return str((await self.new())["sessionId"])

    async def prompt(self, session: str, *blocks: Mapping[str, Any] | str) -> dict[str, Any]:
        content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
        return dict(await self.ask("session/prompt", sessionId=session, prompt=content))

    async def begun(self, session: str) -> "asyncio.Task[dict[str, Any]]":
        """A prompt whose answer has begun to stream and does not end for long."""
        turning = asyncio.create_task(self.prompt(session, "endless"))
        await self.editor.wait_for(lambda: "word" in self.editor.text(session))
        return turning

    async def reopened(self, method: str) -> tuple[str, Any, int]:
        """A session with a turn, loaded or resumed; its id, the answer and the number of the answer's line."""
        session = await self.session()
        await self.prompt(session, "say")
        first = len(self.editor.lines)
        answer = await self.ask(method, sessionId=session, cwd=str(self.desk.project), mcpServers=[])
        lines = self.editor.lines[first:]
        sent = next(line.message["id"] for line in lines if line.sent)
        return session, answer, next(line.number for line in lines if not line.sent and line.message.get("id") == sent)

    def notify(self, method: str, **params: Any) -> Awaitable[None]:
        return self.editor.send_line(
            json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n"
        )

    @property
    def answers(self) -> list[dict[str, Any]]:
        """Every answer of the agent so far."""
        return [line.message for line in self.editor.received if "method" not in line.message]

    @property
    def called(self) -> set[str]:
        """The methods that the agent called on the client."""
        messages = (line.message for line in self.editor.received)
        return {message["method"] for message in messages if "method" in message and "id" in message}


@asynccontextmanager
async def exchange(desk: Desk) -> AsyncIterator[Exchange]:
    async with started(COMMAND, desk.environment, desk.root, Consent(then="once")) as editor:
        yield Exchange(desk, editor)
        await editor.close_stdin()
        assert await editor.exited() == 0
    assert complaints(editor.lines, SCHEMA) == []


@asynccontextmanager
async def remote_exchange(desk: Desk, way: Way) -> AsyncIterator[Exchange]:
    """The same at a server of its own."""
    async with serving(desk.environment, desk.root) as server:
        async with server.editor(way, Consent(then="once")) as editor:
            yield Exchange(desk, editor)
        assert complaints(editor.lines, SCHEMA) == []
        assert "Traceback" not in server.process.errors, server.process.errors
