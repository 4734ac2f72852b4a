"""An editor in as few words as it takes: starts an agent, speaks the Agent Client Protocol with it over its pipes."""

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchlib.world import BenchFailed

TIMEOUT = 60.0
QUIET = 0.25
"""Seconds without any work of the agent's, from which on it has settled."""

_TICK = 0.05


class Answer(NamedTuple):
    """The result of a request, when it came (perf_counter), and the updates that came before it, with their times."""

    result: dict[str, Any]
    at: float
    updates: list[tuple[float, dict[str, Any]]]

    @property
    def chunks(self) -> list[str]:
        """The pieces of the agent's words, as they were told."""
        kept = (update for _, update in self.updates if update.get("sessionUpdate") == "agent_message_chunk")
        return [str(update["content"].get("text", "")) for update in kept]


class Editor:
    """A running agent and the editor's side of its pipes. Make one with `opened`; `began` is when it was started."""

    def __init__(self, process: "subprocess.Popen[bytes]", began: float) -> None:
        self.began = began
        self._process = process
        self._asked = 0
        self._data = bytearray()

    def initialize(self) -> Answer:
        """Introduce ourselves, able to do nothing: files and commands stay with the agent."""
        return self.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})

    def session(self, cwd: Path) -> str:
        """A new session; its id."""
        return str(self.request("session/new", {"cwd": str(cwd), "mcpServers": []}).result["sessionId"])

    def prompt(self, session_id: str, text: str) -> Answer:
        """A whole turn. Raises BenchFailed when it ends otherwise than by its own end."""
        parameters = {"sessionId": session_id, "prompt": [{"type": "text", "text": text}]}
        answer = self.request("session/prompt", parameters)
        if answer.result.get("stopReason") != "end_turn":
            raise BenchFailed(f"{text}: the turn ended with {answer.result}")
        return answer

    def request(self, method: str, parameters: Mapping[str, Any]) -> Answer:
        """Ask and wait for the answer. Raises BenchFailed for an error and after 60 seconds."""
        self._asked += 1
        message = {"jsonrpc": "2.0", "id": self._asked, "method": method, "params": parameters}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()
        updates = []
        for line in self._lines():
            at, told = time.perf_counter(), json.loads(line)
            if told.get("method") == "session/update":
                updates.append((at, told["params"]["update"]))
            elif "method" not in told and told.get("id") == self._asked:
                if "error" in told:
                    raise BenchFailed(f"{method}: {told['error']}")
                return Answer(told["result"], at, updates)
        raise BenchFailed(f"{method}: the agent left")

    def memory(self, which: str) -> float:
        """MB of resident memory: `VmRSS` now, `VmHWM` at its most."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(f"{which}:"))

    def settle(self) -> None:
        """Wait until the agent has been doing nothing for a while."""
        deadline, worked, since = time.monotonic() + TIMEOUT, -1, time.monotonic()
        while time.monotonic() - since < QUIET:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if (now := int(fields[11]) + int(fields[12])) != worked:
                worked, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise BenchFailed("the agent does not come to rest")
            time.sleep(_TICK)

    def _lines(self) -> Iterator[bytes]:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        deadline = time.monotonic() + TIMEOUT
        while True:
            line, newline, rest = self._data.partition(b"\n")
            if newline:
                self._data = rest
                yield bytes(line)
                continue
            if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BenchFailed(f"no answer within {TIMEOUT:g} s")
            if not (data := os.read(source, 1 << 20)):
                return
            self._data += data


@contextmanager
def opened(command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Iterator[Editor]:
    """Start an agent; at the end of the block its input ends, and it must too within 10 seconds."""
    with tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
        )
        try:
            yield Editor(process, began)
        except (BenchFailed, BrokenPipeError) as error:
            stderr.seek(0)
            said = stderr.read().decode("utf-8", "replace").strip()
            raise BenchFailed(f"{' '.join(command[-3:])}: {error}: {said[-800:]}") from error
        finally:
            assert process.stdin is not None and process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
