"""A scripted model behind real HTTP on loopback: OpenAI's chat-completions wire, spoken by rules instead of a model.

Why real HTTP: retries, time-outs, cut streams and process kills only happen on a socket. The main form of a script is
a `Rule` with `turns`: the reply is chosen from the conversation itself, so the server remembers nothing and a run that
was killed and resumed, or a hundred runs at once, get the replies they should.

    >>> import json, urllib.request
    >>> from acp_agent.testing.model_server import ModelServer
    >>> from acp_agent.testing.script import Rule, Step
    >>> fix = Rule(contains="fix the bug", turns=[Step(tools=[("read_file", {"path": "a.py"})]), Step(text="done")])
    >>> def ask(server, *messages):
    ...     body = json.dumps({"model": "test-model", "messages": messages}).encode()
    ...     request = urllib.request.Request(server.url + "/chat/completions", body)
    ...     with urllib.request.urlopen(request) as reply:
    ...         return json.load(reply)["choices"][0]["message"]
    >>> with ModelServer([fix]) as server:
    ...     prompt = {"role": "user", "content": "Please fix the bug."}
    ...     first = ask(server, prompt)
    ...     result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "x = 1"}
    ...     second = ask(server, prompt, first, result)
    >>> first["tool_calls"][0]["id"], first["tool_calls"][0]["function"]["arguments"]
    ('call_0_0', '{"path":"a.py"}')
    >>> second["content"], len(server.requests)
    ('done', 2)

What a `Step` can say and how it can fail, and what a `Rule` can look at, stands in `acp_agent.testing.script`. A list
may mix rules and plain steps (used in order when no rule applies); a callable `Request -> Step | None` works too.

As a process, for when the server must live on its own: `python -m acp_agent.testing.model_server --script FILE.json`
prints `READY http://127.0.0.1:PORT/v1` and serves until SIGTERM. The file mirrors the dataclasses:

    {"rules": [{"contains": "fix the bug", "turns": [{"tools": [["read_file", {"path": "a.py"}]]}, {"text": "done"}]}]}

With `--log FILE` each request is appended as a JSON line before it is answered (`read_log` reads it back), so that a
crash test can count the calls that were made twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from acp_agent.testing.connection import Connection, Message
from acp_agent.testing.delivery import deliver, write_json
from acp_agent.testing.request import MODELS_PATH, Request, conversation_key
from acp_agent.testing.script import Player, Scriptable, Step, as_script
from acp_agent.testing.script_file import ScriptError, load_script
from acp_agent.testing.wire import CREATED, encode

HOST = "127.0.0.1"
Where = Callable[[Request], bool]


class ScriptNotFollowed(AssertionError):
    """The conversation was not the one the script was written for."""


class ModelServer:
    """The scripted server; as a context manager it runs on a thread and an event loop of its own.

    Everything here may be called from any thread. Leaving the context drops open connections and raises what a callable
    script raised (the client saw a 500). When `strict` it also raises ScriptNotFollowed for a call that nothing in the
    script answered, and for ordered steps that nobody asked for.
    """

    def __init__(
        self,
        script: Scriptable = (),
        *,
        port: int = 0,
        models: Sequence[str] = ("test-model",),
        api_key: str | None = None,
        log: Path | str | None = None,
        strict: bool = True,
    ) -> None:
        self.port = port
        self._player = Player(as_script(script))
        self._models = tuple(models)
        self._api_key = api_key
        self._log = Path(log) if log is not None else None
        self._strict = strict
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._hang_ups: list[Request] = []
        self._failure: BaseException | None = None
        self._open: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL of the API, as a client wants it."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests so far, in order of arrival; those that were refused too."""
        with self._changed:
            return tuple(self._requests)

    @property
    def hang_ups(self) -> tuple[Request, ...]:
        """The requests whose client left during a delay, a gap or a stall, before the reply was complete."""
        with self._changed:
            return tuple(self._hang_ups)

    def wait_for_requests(
        self, count: int, timeout: float = 60.0, *, where: Where | None = None
    ) -> tuple[Request, ...]:
        """Block until `count` requests (that satisfy `where`) have arrived; TimeoutError names how many did."""
        return self._wait(self._requests, count, timeout, where)

    def wait_for_hang_ups(self, count: int, timeout: float = 60.0) -> tuple[Request, ...]:
        """Block until `count` clients have left before the end of their reply."""
        return self._wait(self._hang_ups, count, timeout, None)

    async def requests_arrived(
        self, count: int, within: float = 60.0, *, where: Where | None = None
    ) -> tuple[Request, ...]:
        """`wait_for_requests` for async code: the caller's loop goes on."""
        return await asyncio.to_thread(self.wait_for_requests, count, within, where=where)

    def _wait(self, source: list[Request], count: int, timeout: float, where: Where | None) -> tuple[Request, ...]:
        def found() -> tuple[Request, ...]:
            return tuple(request for request in source if where is None or where(request))

        with self._changed:
            if not self._changed.wait_for(lambda: len(found()) >= count, timeout):
                raise TimeoutError(f"{len(found())} of {count} requests after {timeout} s")
            return found()

    def start(self) -> None:
        """Serve on an own thread; returns when the port is open."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="model-server", daemon=True)
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Drop all connections, close the port and wait for the thread. Twice is harmless."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self.ask_to_stop()
            thread.join()

    def ask_to_stop(self) -> None:
        """Make `serve` return soon."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def __enter__(self) -> ModelServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            return
        if self._failure is not None:
            raise self._failure
        if self._strict and (complaints := self._player.complaints()):
            raise ScriptNotFollowed("; ".join(complaints))

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self.serve(ready.set))
        except Exception as failure:  # a bug of ours or a port in use: it belongs to the thread that started us
            self._failure = self._failure or failure
        finally:
            ready.set()

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve in the running loop until asked to stop; `ready` is called once `port` is known."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                connection = Connection(reader, writer)
                self._open.add(connection)
                tasks.create_task(self._serve_connection(connection))

            server = await asyncio.start_server(accept, HOST, self.port, backlog=1024)
            self.port = server.sockets[0].getsockname()[1]
            ready()
            try:
                await self._stop.wait()
            finally:
                server.close()
                for connection in self._open:
                    connection.abort()

    async def _serve_connection(self, connection: Connection) -> None:
        try:
            while message := await connection.receive():
                if not await self._answer(connection, message) or not message.keeps_alive:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the client left, or spoke no HTTP
        finally:
            self._open.discard(connection)
            connection.close()

    async def _answer(self, connection: Connection, message: Message) -> bool:
        """Record and answer one request; false when the connection is gone."""
        try:
            body = json.loads(message.body or b"{}")
        except ValueError:
            body = None
        known = body if isinstance(body, dict) else {}
        request = Request(
            message.method, message.path, message.headers, known, time.monotonic(), conversation_key(known)
        )
        self._record(request)
        try:
            if refusal := self._refusal(request, well_formed=known is body):
                return await deliver(connection, request, refusal)
            if request.is_chat:
                return await deliver(connection, request, self._choose(request))
            write_json(connection, 200, self._list_of_models())
            await connection.flush()
            return True
        except ConnectionError:
            if self._stop is not None and not self._stop.is_set():  # at a stop it is we who leave
                self._note(self._hang_ups, request)
            raise

    def _record(self, request: Request) -> None:
        if self._log is not None:
            with self._log.open("ab", buffering=0) as log:
                log.write(request.to_json().encode() + b"\n")
        self._note(self._requests, request)

    def _note(self, where: list[Request], request: Request) -> None:
        with self._changed:
            where.append(request)
            self._changed.notify_all()

    def _refusal(self, request: Request, *, well_formed: bool) -> Step | None:
        """Why a request gets no scripted reply."""
        if self._api_key is not None and request.api_key != self._api_key:
            return _refuse(401, "Incorrect API key provided.", "invalid_api_key")
        if not request.is_chat and (request.method, request.path) != ("GET", MODELS_PATH):
            return _refuse(404, f"Invalid URL ({request.method} {request.path})", "not_found")
        if not well_formed:
            return _refuse(400, "The body is not a JSON object.", "invalid_json")
        return None

    def _choose(self, request: Request) -> Step:
        try:
            return self._player.choose(request)
        except Exception as failure:  # the test's own callable: the client gets a 500, the test gets the exception
            self._failure = self._failure or failure
            return Step(status=500, error={"message": f"the script raised {failure!r}", "type": "script_raised"})

    def _list_of_models(self) -> bytes:
        models = [{"id": name, "object": "model", "created": CREATED, "owned_by": "acp-agent"} for name in self._models]
        return encode({"object": "list", "data": models}).encode()


def _refuse(status: int, message: str, code: str) -> Step:
    return Step(status=status, error={"message": message, "type": "invalid_request_error", "code": code})


async def _serve_process(server: ModelServer) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.ask_to_stop)

    def ready() -> None:
        sys.stdout.write(f"READY {server.url}\n")
        sys.stdout.flush()

    await server.serve(ready)


def main(arguments: Sequence[str] | None = None) -> int:
    """The process form; returns the exit code."""
    parser = argparse.ArgumentParser(prog="acp_agent.testing.model_server", description="A scripted model server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", required=True, help="JSON file with rules and steps")
    parser.add_argument("--log", help="append each request to this file as a JSON line")
    parser.add_argument("--models", default="test-model", help="comma-separated ids for GET /v1/models")
    parser.add_argument("--api-key", help="refuse any other bearer token with 401")
    options = parser.parse_args(arguments)
    try:
        script = load_script(options.script)
    except ScriptError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    models = options.models.split(",")
    asyncio.run(
        _serve_process(ModelServer(script, port=options.port, models=models, api_key=options.api_key, log=options.log))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
