"""Says everything a client can say, sense and nonsense, to a real agent at work, and reads it at 1 KB a second."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from acp_agent.testing.agent_process import AgentProcess
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.desk import COMMAND, Desk
from tests.surfaces.acp.garbage import conversation, value

MESSAGES = 100_000
BATCH = 250
"""Messages between two questions that must be answered."""
PATIENCE = 120.0
"""Seconds without an answer that count as a hang, on the slowest machine."""
MEGABYTE = 1024 * 1024
MOST_GROWTH = 64
LONG_LINE = 300
FLOOD = 2 * MEGABYTE
SAY = Rule(contains="say", reply=Step(text="Said.", chunk=2))
FLOODED = Rule(contains="flood", since="prompt", turns=[Step(text="flood " * (FLOOD // 6), chunk=600)])
WORDS = ("say", "/help", "/cost", "/mode plan", "/model", "/undo", "/nonsense say", "say \ud83d", "say \x00")
HARD = (
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"jsonrpc":"2.0","id":"\\ud800","method":"session/list","params":{"cursor":"\\udc00\\ud800"}}',
    b'{"jsonrpc":"2.0","id":NaN,"method":"session/list"}',
    b'{"jsonrpc":"2.0","id":1e999,"method":"session/list"}',
    b'{"jsonrpc":"2.0","method":"session/cancel","params":{"sessionId":' + b"9" * 50_000 + b"}}",
    b'{"jsonrpc":"2.0","id":null,"id":{},"method":"session/list","method":7}',
    b"[" + b"[]," * 250_000 + b"[]]",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"jsonrpc":"2.0","method":"\x00"}',
    b'"' + b"x" * MEGABYTE + b'"',
    b"-0",
    b"\r",
)
"""Lines that parsers of JSON stumble over; none has an id that must be answered."""


class Fuzzed:
    """An agent, and everything it said so far. `problems` are the promises it broke."""

    def __init__(self, desk: Desk, process: AgentProcess) -> None:
        self.desk = desk
        self.process = process
        self.answers: Counter[tuple[type, Any]] = Counter()
        self.sessions: list[str] = []
        self.problems: list[str] = []
        self.asked_of_us = 0
        self._heard = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, desk: Desk) -> Fuzzed:
        return cls(desk, await AgentProcess.start(COMMAND, desk.environment, desk.root))

    async def say(self, data: bytes) -> None:
        """Write all of `data`; the agent may take its time, but it goes on reading."""
        _, writer = self.process.streams
        try:
            writer.write(data)
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
        except TimeoutError:
            self.problems.append("it does not read any more")
            raise
        except ConnectionError:
            self.problems.append("it is gone")
            raise

    async def ask(self, message_id: str, method: str = "session/list", **params: Any) -> None:
        """Ask, and wait for the answer."""
        await self.say(line(method, params, message_id))
        key = (str, message_id)
        try:
            async with asyncio.timeout(PATIENCE):
                while not self.answers[key]:
                    if self._reading.done():
                        raise ConnectionError(f"it ended before it answered {message_id}")
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            self.problems.append(f"no answer to {message_id}")
            raise

    def memory(self, name: str) -> float:
        """A figure of /proc, in megabytes."""
        lines = Path(f"/proc/{self.process.process.pid}/status").read_text("utf-8").splitlines()
        return next(int(row.split()[1]) / 1024 for row in lines if row.startswith(name))

    async def end(self) -> None:
        """End its input; it must end by itself."""
        self.process.close_stdin()
        try:
            code = await self.process.exited(PATIENCE)
            if code != 0:
                self.problems.append(f"exit code {code}")
        except TimeoutError:
            self.problems.append("it does not end")
        await self._reading
        await self.process.close()
        if "Traceback" in self.process.errors:
            self.problems.append(f"stderr: {self.process.errors[-3000:]!r}")

    async def _read(self) -> None:
        reader, _ = self.process.streams
        while data := await reader.readline():
            try:
                message = json.loads(data)
            except ValueError:
                self.problems.append(f"no JSON: {data[:200]!r}")
                continue
            if "method" not in message:
                message_id = message.get("id")
                self.answers[type(message_id), message_id] += 1
                result = message.get("result")
                found = result.get("sessionId") if isinstance(result, dict) else None
                if found and len(self.sessions) < 50:
                    self.sessions.append(found)
            elif "id" in message:
                self.asked_of_us += 1
            self._heard.set()
        self._heard.set()


def line(method: Any, params: Any, message_id: Any = None) -> bytes:
    """A request, or a notification where there is no id."""
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if message_id is not None:
        message["id"] = message_id
    return json.dumps(message).encode() + b"\n"


def sensible(random: Random, project: str, sessions: list[str]) -> tuple[str, dict[str, Any]]:
    """A method and parameters that may well be right; now and then one of them is not."""
    session = random.choice(sessions or ["s_unknown"])
    place = {"cwd": project, "mcpServers": []}
    offered: list[tuple[str, dict[str, Any]]] = [
        ("session/new", place),
        ("session/load", {**place, "sessionId": session}),
        ("session/resume", {**place, "sessionId": session}),
        ("session/list", {"cursor": random.choice((None, "", "bm8=", "W10=", "WzEsMl0="))}),
        ("session/set_mode", {"sessionId": session, "modeId": random.choice(("ask", "plan", "wild"))}),
        (
            "session/set_config_option",
            {"sessionId": session, "configId": "effort", "value": random.choice(("low", "x"))},
        ),
        ("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": random.choice(WORDS)}]}),
        ("session/close", {"sessionId": session}),
        ("session/fork", {**place, "sessionId": session}),
        ("logout", {}),
        ("authenticate", {"methodId": "api-keys"}),
        ("initialize", {"protocolVersion": 1}),
    ]
    weights = (2, 3, 3, 10, 6, 6, 4, 2, 1, 1, 4, 2)
    method, params = random.choices(offered, weights)[0]
    if random.random() < 0.3 and params:
        name = random.choice(list(params))
        params = {**params, name: value(random)}
    return method, json.loads(json.dumps(params), parse_constant=lambda _: None)


def messages(random: Random, count: int, project: str, sessions: list[str], first: int) -> Iterator[tuple[bytes, Any]]:
    """Lines, each with the id that must be answered exactly once, or None."""
    nonsense = conversation(random, count)
    for number in range(first, first + count):
        kind = random.randrange(100)
        if kind < 2:
            yield random.choice(HARD) + b"\n", None
        elif kind < 40:
            data, message_id = next(nonsense)
            # Its ids are those of a whole conversation; here each batch has its own.
            yield data + b"\n", None if message_id is False else message_id
        elif kind < 45 and sessions:
            yield line("session/cancel", {"sessionId": random.choice(sessions)}), None
        elif kind < 50:
            yield line("$/cancel_request", {"requestId": f"m{random.randrange(max(1, first), number + 1)}"}), None
        else:
            method, params = sensible(random, project, sessions)
            yield line(method, params, f"m{number}"), f"m{number}"


async def fuzz(root: Path, seed: int, count: int, megabytes: int) -> tuple[list[str], dict[str, float]]:
    """Say `count` messages and a line of `megabytes`; what went wrong, and figures."""
    random = Random(seed)
    desk = Desk(root, [SAY])
    figures: dict[str, float] = {}
    with desk.server:
        agent = await Fuzzed.start(desk)
        with suppress(ConnectionError, TimeoutError):
            await agent.ask("first", "initialize", protocolVersion=1)
            await agent.ask("probe", "session/new", cwd=str(desk.project), mcpServers=[])
            await _said(agent, random, min(count, 4 * BATCH), 0)
            before = agent.memory("VmRSS")
            await _said(agent, random, count - min(count, 4 * BATCH), 4 * BATCH)
            figures["growth over the messages, MB"] = agent.memory("VmRSS") - before
            before = agent.memory("VmRSS")
            # The peak from here on.
            Path(f"/proc/{agent.process.process.pid}/clear_refs").write_text("5", "utf-8")
            await agent.say(b'{"jsonrpc":"2.0","id":7,"method":"session/list","params":{"x":"')
            for _ in range(megabytes):
                await agent.say(b"x" * MEGABYTE)
            await agent.say(b"\n")
            await agent.ask("after the long line")
            figures[f"growth over a line of {megabytes} MB, MB"] = agent.memory("VmHWM") - before
        await agent.end()
    figures["answers"] = agent.answers.total()
    for what, growth in figures.items():
        if what.endswith("MB") and growth >= MOST_GROWTH:
            agent.problems.append(f"{what}: {growth:.0f}")
    return agent.problems, figures


async def _said(agent: Fuzzed, random: Random, count: int, first: int) -> None:
    """Say so many messages in batches; after each of them every request must have been answered exactly once."""
    for start in range(first, first + count, BATCH):
        said = list(messages(random, min(BATCH, first + count - start), str(agent.desk.project), agent.sessions, start))
        expected = Counter((type(message_id), message_id) for _, message_id in said if message_id is not None)
        before = {key: agent.answers[key] for key in expected}
        for data, _ in said:
            await agent.say(data)
        await agent.ask(f"settled {start}")
        # Answers may come out of order; a turn is the last to end.
        async with asyncio.timeout(PATIENCE):
            while any(agent.answers[key] < before[key] + number for key, number in expected.items()):
                await agent.ask(f"settled {start} {time.monotonic()}")
        for key, number in expected.items():
            if agent.answers[key] != before[key] + number:
                agent.problems.append(f"{agent.answers[key] - before[key]} answers to {key[1]!r}, asked {number} times")


def slow_reader(root: Path, seconds: int) -> tuple[list[str], dict[str, float]]:
    """A run says 2 MB to a client that reads 1 KB a second for so long (0: that is gone for a walk): it must end."""
    desk = Desk(root, [FLOODED])
    problems: list[str] = []
    with desk.server, (root / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            COMMAND,
            env=desk.environment,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
        )
        assert process.stdin and process.stdout
        try:
            process.stdin.write(line("initialize", {"protocolVersion": 1}, "first"))
            process.stdin.write(line("session/new", {"cwd": str(desk.project), "mcpServers": []}, "new"))
            heard = b""
            while b'"sessionId":"' not in heard:
                heard += process.stdout.read(1024) or b""
            session = heard.partition(b'"sessionId":"')[2].partition(b'"')[0].decode()
            prompt = {"sessionId": session, "prompt": [{"type": "text", "text": "flood"}]}
            process.stdin.write(line("session/prompt", prompt, "turn"))
            began, ended, read = time.monotonic(), 0.0, 0
            while time.monotonic() - began < (seconds or PATIENCE) and not (ended and not seconds):
                if seconds:
                    read += len(process.stdout.read(1024) or b"")
                time.sleep(1 if seconds else 0.05)
                if not ended and desk.reasons():
                    ended = time.monotonic() - began
            if desk.reasons() != ["end_turn"]:
                problems.append(f"the run of a slow reader: {desk.reasons() or 'it waits'}")
            process.stdin.close()
            rest = process.stdout.read() if seconds == 0 else b""
            if seconds == 0 and b'"stopReason":"end_turn"' not in (rest or b""):
                problems.append("the answer of the turn is lost")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    return problems, {"bytes a slow reader took": read, "seconds until its run ended": ended}


def main(n: int | None, seed: int) -> int:
    """Say `n` messages (default 100,000) and a line of 300 MB, then read a run at 1 KB a second for a minute."""
    count = MESSAGES if n is None else n
    with tempfile.TemporaryDirectory(prefix="acp-protocol-fuzz-") as place:
        for name in ("fuzz", "slow"):
            (Path(place) / name).mkdir()
        began = time.monotonic()
        problems, figures = asyncio.run(fuzz(Path(place) / "fuzz", seed, count, LONG_LINE))
        figures["seconds of the fuzzing"] = time.monotonic() - began
        more, others = slow_reader(Path(place) / "slow", 60)
    for what, figure in {"messages": count, **figures, **others}.items():
        print(f"{what:42} {figure:,.1f}")
    for problem in (*problems, *more):
        print(problem)
    return 1 if problems or more else 0
