"""Batters a real agent process with garbage at its pipes, and with lines of hundreds of megabytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from tests.surfaces.acp.garbage import conversation, cut

ROOT = Path(__file__).resolve().parents[2]
AGENT = (sys.executable, str(ROOT / "tests" / "surfaces" / "acp" / "fixture_agent.py"))
INITIALIZE = b'{"jsonrpc":"2.0","id":"first","method":"initialize","params":{"protocolVersion":1}}\n'
LAST = b'{"jsonrpc":"2.0","id":"last","method":"session/list"}\n'
MEGABYTE = 1024 * 1024
MOST_GROWTH = 64
"""Megabytes that passing over a line may cost."""


class Battered:
    """The fixture agent, with a thread that collects what it says."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            AGENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.messages: list[Any] = []
        self.problems: list[str] = []
        self.errors = b""
        self._threads = [threading.Thread(target=self._collect), threading.Thread(target=self._drain)]
        for thread in self._threads:
            thread.start()

    def say(self, data: bytes) -> None:
        """Write all of `data`."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.problems.append("it does not read any more")

    def wait_for(self, message_id: str) -> None:
        """Wait until the request with that id is answered."""
        end = time.monotonic() + 30
        while not any(message.get("id") == message_id for message in self.messages):
            if time.monotonic() > end or self.process.poll() is not None:
                self.problems.append(f"no answer to {message_id}")
                return
            time.sleep(0.01)

    def memory(self, name: str) -> float:
        """A figure of /proc, in megabytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

    def end(self) -> list[str]:
        """End its input; what went wrong."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.problems.append("it does not end")
            self.process.kill()
            code = self.process.wait()
        for thread in self._threads:
            thread.join()
        if code != 0:
            self.problems.append(f"exit code {code}")
        if self.errors:
            self.problems.append(f"stderr: {self.errors[-2000:]!r}")
        return self.problems

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                try:
                    self.messages.append(json.loads(line))
                except ValueError:
                    self.problems.append(f"no JSON: {line[:200]!r}")

    def _drain(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            self.errors = stderr.read()


def batter(seed: int, length: int) -> list[str]:
    """Say `length` lines of garbage and sense; what went wrong."""
    random = Random(seed)
    said = list(conversation(random, length))
    agent = Battered()
    agent.say(INITIALIZE)
    for piece in cut(random, b"".join(line + b"\n" for line, _ in said)):
        agent.say(piece)
    agent.say(LAST)
    agent.wait_for("last")
    problems = agent.end()
    expected = [message_id for _, message_id in said if message_id is not False]
    answers = Counter((type(message["id"]), message["id"]) for message in agent.messages if "method" not in message)
    for message_id in expected:
        if answers[type(message_id), message_id] != 1:
            problems.append(f"{answers[type(message_id), message_id]} answers to {message_id!r}")
    return [f"seed {seed}: {problem}" for problem in problems]


def very_long_line(megabytes: int) -> list[str]:
    """Say a line of that size, then something sensible; what went wrong."""
    agent = Battered()
    agent.say(INITIALIZE + LAST)
    agent.wait_for("last")
    before = agent.memory("VmRSS")
    piece = b'{"jsonrpc":"2.0","id":7,"method":"session/list","params":{"x":"' + b"x" * MEGABYTE
    for _ in range(megabytes):
        agent.say(piece)
    agent.say(b"\n" + LAST.replace(b"last", b"after"))
    agent.wait_for("after")
    growth = agent.memory("VmHWM") - before
    problems = agent.end()
    if growth > MOST_GROWTH:
        problems.append(f"a line of {megabytes} MB cost {growth:.0f} MB of memory")
    print(f"a line of {megabytes} MB: {growth:.0f} MB of memory", flush=True)
    codes = [message["error"]["code"] for message in agent.messages if message.get("id") is None]
    if codes != [-32600]:
        problems.append(f"a line of {megabytes} MB was answered by {codes}")
    return problems


def main(n: int | None, seed: int) -> int:
    """Batter `n` processes (default 200) and say a line of 300 MB and one of 1,000 MB."""
    began = time.monotonic()
    problems = very_long_line(300) + very_long_line(1000)
    tries = n or 200
    for number in range(tries):
        problems += batter(seed + number, 1000)
    for problem in problems:
        print(problem)
    print(f"{tries} processes battered in {time.monotonic() - began:.0f} s, {len(problems)} problems")
    return 1 if problems else 0
