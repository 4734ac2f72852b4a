"""An editor double: the client side of the ACP SDK, in this process or at the pipes of a real agent process.

    async with started(["acp", "serve"], environment, consent=Consent("once")) as editor:
        await editor.initialize()
        session = await editor.new_session("/path/of/the/project")
        turn = await editor.prompt(session["sessionId"], "Fix the bug.")
        assert turn.stop_reason == "end_turn" and "fixed" in turn.text()
        assert [card.status for card in turn.tool_cards.values()] == ["completed"]

Both forms have one face. Requests go through the SDK, so that what it cannot parse fails a test; what was sent is kept
as raw lines in the order of arrival (`lines`), because the SDK runs its callbacks as tasks of their own. `request` goes
past the SDK, for methods it has no route for, `send_line` past JSON.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from acp import PROTOCOL_VERSION, RequestError
from acp.client import ClientSideConnection
from acp.interfaces import Client
from acp.schema import (
    AcceptElicitationResponse,
    ClientCapabilities,
    DeclineElicitationResponse,
    Implementation,
    RequestPermissionResponse,
    SessionNotification,
)
from pydantic import BaseModel, ValidationError

from acp_agent.testing.agent_process import AgentProcess
from acp_agent.testing.consent import Consent, Question
from acp_agent.testing.editor_hands import METHODS, EditorHands
from acp_agent.testing.tap import LONGEST_LINE, Line, RawError, TappedTransport
from acp_agent.testing.transcript import Transcript, Update

CLIENT = Implementation(name="acp-agent-testing", version="1")
_Filled = AcceptElicitationResponse | DeclineElicitationResponse
Serve = Callable[[int, int], Awaitable[None]]
"""Serves the protocol over two descriptors, one to read and one to write, and closes both; ends when the first does."""


class AgentGone(AssertionError):
    """The agent ended while something of it was awaited; the message ends with what it wrote to stderr."""


class Turn(Transcript):
    """One prompt and what came of it: the updates between the question and its answer."""

    def __init__(self, updates: Sequence[Update], result: Mapping[str, Any], answered_by: Line) -> None:
        super().__init__(updates)
        self.result = result
        self.answered_by = answered_by

    @property
    def stop_reason(self) -> str:
        """Why the turn ended."""
        return str(self.result["stopReason"])


class Editor:
    """One connection to one agent. Use `started` or `in_process` to make one.

    `complaints` is what the SDK could not make sense of; it stays empty with an agent that keeps to the protocol.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        consent: Consent | None = None,
        process: AgentProcess | None = None,
        hands: EditorHands | None = None,
    ) -> None:
        self.consent = consent or Consent()
        self.complaints: list[str] = []
        self.process = process
        self._changed = asyncio.Event()
        self._transport = TappedTransport(reader, writer, self._saw)
        callbacks = _Callbacks(self.consent, self._changed)
        for name in METHODS if hands is not None else ():
            setattr(callbacks, name, getattr(hands, name))
        client = cast(Client, callbacks)
        self._sdk = ClientSideConnection(client, self._transport, use_unstable_protocol=True)

    # --- the protocol

    async def initialize(self, capabilities: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`initialize` with the client capabilities given; without any by default."""
        known = ClientCapabilities.model_validate(dict(capabilities or {}))
        return await self._call(self._sdk.initialize(PROTOCOL_VERSION, client_capabilities=known, client_info=CLIENT))

    async def authenticate(self, method_id: str) -> dict[str, Any]:
        """`authenticate`."""
        return await self._call(self._sdk.authenticate(method_id=method_id))

    async def new_session(self, cwd: Path | str, **more: Any) -> dict[str, Any]:
        """`session/new`."""
        return await self._call(self._sdk.new_session(cwd=str(cwd), **more))

    async def load_session(self, session_id: str, cwd: Path | str) -> dict[str, Any]:
        """`session/load`; what it replays is among the updates when this returns."""
        return await self._call(self._sdk.load_session(cwd=str(cwd), session_id=session_id))

    async def resume_session(self, session_id: str, cwd: Path | str) -> dict[str, Any]:
        """`session/resume`."""
        return await self._call(self._sdk.resume_session(session_id=session_id, cwd=str(cwd)))

    async def list_sessions(self, cwd: Path | str | None = None, cursor: str | None = None) -> dict[str, Any]:
        """`session/list`, one page."""
        return await self._call(self._sdk.list_sessions(cwd=None if cwd is None else str(cwd), cursor=cursor))

    async def close_session(self, session_id: str) -> None:
        """`session/close`."""
        await self._call(self._sdk.close_session(session_id=session_id))

    async def delete_session(self, session_id: str) -> Any:
        """`session/delete`, for which the SDK has no route."""
        return await self.request("session/delete", {"sessionId": session_id})

    async def set_mode(self, session_id: str, mode: str) -> None:
        """`session/set_mode`."""
        await self._call(self._sdk.set_session_mode(session_id=session_id, mode_id=mode))

    async def set_option(self, session_id: str, option: str, value: str | bool) -> dict[str, Any]:
        """`session/set_config_option`."""
        return await self._call(self._sdk.set_config_option(config_id=option, session_id=session_id, value=value))

    async def prompt(self, session_id: str, prompt: str | Sequence[Mapping[str, Any]]) -> Turn:
        """Put a prompt (words, or content blocks) and wait for the end of the turn."""
        blocks = [{"type": "text", "text": prompt}] if isinstance(prompt, str) else list(prompt)
        first = len(self.lines)
        result = await self._call(self._sdk.prompt(session_id=session_id, prompt=cast(Any, blocks)))
        answer = next(line for line in self.lines[first:] if _answers(line, self._question_of(session_id, first)))
        updates = [update for line, update in self._updates(session_id) if first <= line.number < answer.number]
        return Turn(updates, result, answer)

    async def cancel(self, session_id: str) -> None:
        """`session/cancel`, and what a client owes with it: open permission questions are answered as cancelled."""
        await self._sdk.cancel(session_id=session_id)
        self.consent.cancel(session_id)

    async def request(self, method: str, params: Any) -> Any:
        """Any request, past the SDK; its result as it came. Raises RawError."""
        try:
            return await self._transport.request(method, params)
        except ConnectionError as error:
            raise self._gone(method) from error

    async def send_line(self, data: bytes) -> None:
        """A line of any bytes; the newline is part of it."""
        await self._transport.send_line(data)

    # --- what was seen

    @property
    def lines(self) -> list[Line]:
        """Every line of both directions."""
        return self._transport.lines

    @property
    def received(self) -> list[Line]:
        """Every line of the agent."""
        return [line for line in self.lines if not line.sent]

    def transcript(self, session_id: str | None = None, after: int = -1) -> Transcript:
        """The updates of a session (or all), those after the line `after`."""
        return Transcript(update for line, update in self._updates(session_id) if line.number > after)

    def text(self, session_id: str | None = None) -> str:
        """The words of the agent so far."""
        return self.transcript(session_id).text()

    @property
    def questions(self) -> list[Question]:
        """The requests for permission so far."""
        return self.consent.questions

    async def wait_for(self, happened: Callable[[], bool], within: float = 60.0) -> None:
        """Wait until the predicate is true; it is asked again after every line. Raises TimeoutError, AgentGone."""
        try:
            async with asyncio.timeout(within):
                while not happened():
                    if self._transport.ended:
                        raise self._gone("what was waited for")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            last = b"".join(line.data[:500] for line in self.received[-5:]).decode("utf-8", "replace")
            raise TimeoutError(f"it did not happen within {within} s; the agent said last\n{last}") from None

    # --- the end

    async def close_stdin(self) -> None:
        """End what the agent reads."""
        await self._transport.close()

    def kill(self) -> None:
        """SIGKILL to the agent. Only a process of its own can be killed."""
        self._own_process.signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM to the agent."""
        self._own_process.signal(signal.SIGTERM)

    async def exited(self, within: float = 60.0) -> int:
        """The agent's exit code. Raises TimeoutError while it still runs."""
        return await self._own_process.exited(within)

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._sdk.close()

    # --- inside

    @property
    def _own_process(self) -> AgentProcess:
        if self.process is None:
            raise RuntimeError("the agent runs in this process")
        return self.process

    async def _call(self, answer: Awaitable[BaseModel | None]) -> dict[str, Any]:
        try:
            model = await answer
        except RequestError as error:
            raise RawError(error.code, str(error), error.data) from None
        except ConnectionError as error:
            raise self._gone("an answer") from error
        return {} if model is None else model.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def _gone(self, awaited: str) -> AgentGone:
        errors = self.process.errors if self.process else ""
        return AgentGone(f"the agent ended before {awaited}; stderr {errors[-3000:]!r}")

    def _updates(self, session_id: str | None) -> list[tuple[Line, Update]]:
        found = []
        for line in self.received:
            message = line.message
            if isinstance(message, dict) and message.get("method") == "session/update":
                params = message["params"]
                if session_id in (None, params["sessionId"]):
                    found.append((line, params["update"]))
        return found

    def _question_of(self, session_id: str, first: int) -> Any:
        for line in self.lines[first:]:
            message = line.message
            if line.sent and message.get("method") == "session/prompt" and message["params"]["sessionId"] == session_id:
                return message["id"]
        raise LookupError("the prompt was not sent")

    def _saw(self, line: Line | None) -> None:
        if line is not None and not line.sent:
            if not isinstance(line.message, dict):
                self.complaints.append(f"no message: {line.data[:200]!r}")
            elif line.message.get("method") == "session/update":
                self._parse_as_sdk(line.message.get("params"))
            elif line.message.get("method") == "$/cancel_request":
                self._withdraw(line.message["params"]["requestId"])
        self._changed.set()

    def _withdraw(self, request_id: Any) -> None:
        """The agent needs no answer any more: a person would see the question disappear."""
        for line in self.received:
            message = line.message
            if message.get("id") == request_id and message.get("method") == "session/request_permission":
                self.consent.cancel(message["params"]["sessionId"], message["params"]["toolCall"]["toolCallId"])

    def _parse_as_sdk(self, params: Any) -> None:
        # The SDK itself only logs what it cannot parse.
        try:
            SessionNotification.model_validate(params)
        except ValidationError as error:
            self.complaints.append(f"the SDK cannot parse {str(params)[:200]}: {error}")


class _Callbacks:
    """What the SDK calls. File and terminal methods only of `hands`: an agent that calls others gets -32601."""

    def __init__(self, consent: Consent, changed: asyncio.Event) -> None:
        self._consent = consent
        self._changed = changed

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Everything of interest was done when the line came."""

    async def request_permission(
        self, session_id: str, tool_call: BaseModel, options: list[BaseModel], **_: Any
    ) -> RequestPermissionResponse:
        """Ask the script."""
        question = Question(session_id, _plain(tool_call), [_plain(option) for option in options])
        self._consent.questions.append(question)
        self._changed.set()
        return RequestPermissionResponse.model_validate({"outcome": await self._consent.outcome(question)})

    async def create_elicitation(self, message: str, mode: BaseModel, **_: Any) -> _Filled:
        """Fill in a form as the script says."""
        form = {"message": message, **_plain(mode)}
        self._consent.forms.append(form)
        self._changed.set()
        filled = await self._consent.filled()
        if filled["action"] == "decline":
            return DeclineElicitationResponse(action="decline")
        return AcceptElicitationResponse.model_validate(filled)

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """No extension is known here."""
        raise RequestError.method_not_found(method)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        """Ignored, as the protocol wants it."""


@asynccontextmanager
async def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    cwd: Path | str | None = None,
    consent: Consent | None = None,
    hands: EditorHands | None = None,
) -> AsyncIterator[Editor]:
    """An editor at a real process, which gets exactly `environment`. Nothing of it outlives the block."""
    process = await AgentProcess.start(command, environment, cwd)
    editor = Editor(*process.streams, consent, process, hands)
    try:
        yield editor
    finally:
        await process.close()
        await editor.aclose()


@asynccontextmanager
async def in_process(serve: Serve, consent: Consent | None = None) -> AsyncIterator[Editor]:
    """An editor at an agent that runs in this process, over real pipes."""
    agent_reads, editor_writes = os.pipe()
    editor_reads, agent_writes = os.pipe()
    async with asyncio.TaskGroup() as tasks:
        agent = tasks.create_task(_served(serve, agent_reads, agent_writes))
        reader, writer = await _streams(editor_reads, editor_writes)
        editor = Editor(reader, writer, consent)
        try:
            yield editor
        finally:
            await editor.close_stdin()
            done, _ = await asyncio.wait([agent], timeout=5.0)
            if not done:
                agent.cancel()
            await editor.aclose()


async def _served(serve: Serve, reads: int, writes: int) -> None:
    await serve(reads, writes)


async def _streams(reads: int, writes: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reads, "rb"))
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(writes, "wb"))
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)


def _answers(line: Line, message_id: Any) -> bool:
    message = line.message
    if line.sent or not isinstance(message, dict):
        return False
    return "method" not in message and message.get("id") == message_id


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)
