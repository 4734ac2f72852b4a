"""A real process at its pipes, files and terminals: the protocol, and nothing but the protocol, until the end."""

import json
import os
import pty
import signal
import subprocess
import sys
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.surfaces.acp.wire import SCHEMA

ROOT = Path(__file__).parents[3]
AGENT = (sys.executable, str(Path(__file__).parent / "fixture_agent.py"))
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": 1}}
NEW = {"jsonrpc": "2.0", "id": 1, "method": "session/new", "params": {"cwd": "/", "mcpServers": []}}
PATIENCE = 60.0
"""Seconds after which a process that has not ended is a failure."""
FORCED = b"the process ends without it"
"""What a process says that did not end by itself in the seconds it has for that."""


def prompt(text: str, message_id: int = 2) -> dict[str, Any]:
    params = {"sessionId": "s1", "prompt": [{"type": "text", "text": text}]}
    return {"jsonrpc": "2.0", "id": message_id, "method": "session/prompt", "params": params}


def script(*messages: Any) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


class Agent:
    """The fixture agent at pipes."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        assert process.stdin is not None and process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout

    def send(self, *messages: Any) -> None:
        self.stdin.write(script(*messages))
        self.stdin.flush()

    def read(self) -> Any:
        """The next message."""
        line = self.stdout.readline()
        assert line.endswith(b"\n"), self.process.stderr.read() if self.process.stderr else line
        return json.loads(line)

    def answer(self, message_id: int) -> Any:
        """The answer to a request, past whatever comes before it."""
        while True:
            message = self.read()
            if "method" not in message and message["id"] == message_id:
                return message

    def stuck(self) -> None:
        """Wait until it does what does not end."""
        assert self.process.stderr is not None
        assert self.process.stderr.readline() == b"stuck\n"

    def ended(self, within: float = PATIENCE) -> tuple[int, bytes]:
        """The exit code and stderr."""
        code = self.process.wait(within)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()


@contextmanager
def agent() -> Iterator[Agent]:
    with subprocess.Popen(
        AGENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        running = Agent(process)
        try:
            running.send(INITIALIZE, NEW)
            assert running.answer(0)["result"]["protocolVersion"] == 1
            running.answer(1)
            yield running
        finally:
            process.kill()


def test_stdout_is_the_protocol_whatever_prints() -> None:
    with agent() as running:
        running.send(prompt("noise"))
        assert [running.read() for _ in range(2)] == [
            {
                "jsonrpc": "2.0",
                "method": "session/update",
                "params": {
                    "sessionId": "s1",
                    "update": {
                        "sessionUpdate": "agent_message_chunk",
                        "content": {"type": "text", "text": "quiet"},
                    },
                },
            },
            {"jsonrpc": "2.0", "id": 2, "result": {"stopReason": "end_turn"}},
        ]
        running.stdin.close()
        code, errors = running.ended()
        rest = running.stdout.read()
    assert (code, rest) == (0, b"")
    assert errors.splitlines() == [b"printed by Python", b"written to descriptor 1", b"from a subprocess"]


def test_a_whole_conversation_fits_a_file_in_and_a_file_out(tmp_path: Path) -> None:
    # The last line has no newline, as a shell leaves it.
    (tmp_path / "in").write_bytes(script(INITIALIZE, NEW, prompt("chunks 50"), prompt("echo Grüße 👋", 3))[:-1])
    with open(tmp_path / "in", "rb") as asked, open(tmp_path / "out", "wb") as told:
        ended = subprocess.run(
            AGENT, stdin=asked, stdout=told, stderr=subprocess.PIPE, env=environment(), check=False, timeout=PATIENCE
        )
    assert (ended.returncode, ended.stderr) == (0, b"")
    messages = [json.loads(line) for line in (tmp_path / "out").read_bytes().decode("utf-8").splitlines()]
    assert sorted(message["id"] for message in messages if "id" in message) == [0, 1, 2, 3]
    updates = [message["params"]["update"] for message in messages if "method" in message]
    assert [update["content"]["text"] for update in updates if "👋" not in update["content"]["text"]] == [
        f"{number} " for number in range(50)
    ]
    assert {"type": "text", "text": "Grüße 👋"} in [update["content"] for update in updates]
    assert [SCHEMA.problem("initialize", "Response", messages[0]["result"])] == [None]


@pytest.mark.parametrize("ahead", [b"", b"\n", b"nonsense\n", b"[]\n"])
def test_what_is_no_initialize_goes_to_the_full_connection(ahead: bytes) -> None:
    ended = subprocess.run(
        AGENT,
        input=ahead + script(INITIALIZE, NEW),
        capture_output=True,
        env=environment(),
        check=False,
        timeout=PATIENCE,
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == ([None] if ahead.strip() else []) + [0, 1]


def test_a_terminal_carries_the_protocol_too() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with subprocess.Popen(
        AGENT, stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment(), start_new_session=True
    ) as process:
        os.close(slave)
        os.write(master, script(INITIALIZE, NEW, prompt("large 300000")))
        data = b""
        while b'"stopReason"' not in data:
            data += os.read(master, 65536)
        messages = [json.loads(line) for line in data.splitlines()]
        process.terminate()
        assert process.wait(PATIENCE) == 143
    os.close(master)
    assert len(messages) == 4
    assert len(messages[2]["params"]["update"]["content"]["text"]) == 300_000


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_process_once_the_record_is_finished(number: signal.Signals, code: int) -> None:
    with agent() as running:
        running.send(prompt("hang"))
        running.read()
        running.process.send_signal(number)
        assert running.answer(2)["error"] == {"code": -32800, "message": "the agent is stopping"}
        assert running.ended() == (code, b"recorded\n")


def test_the_end_of_input_ends_the_process_once_the_record_is_finished() -> None:
    with agent() as running:
        running.send(prompt("hang"))
        running.read()
        running.stdin.close()
        assert running.ended() == (0, b"recorded\n")


@pytest.mark.parametrize("how", ["block", "shield"])
def test_what_does_not_end_is_ended(how: str) -> None:
    with agent() as running:
        running.send(prompt(how))
        running.stuck()
        running.process.terminate()
        code, errors = running.ended()
    assert code == 143
    assert FORCED in errors


def test_a_second_signal_ends_the_process_at_once() -> None:
    with agent() as running:
        running.send(prompt("shield"))
        running.stuck()
        running.process.terminate()
        # Another one, because two of one kind that come before the first is heard are one.
        running.process.send_signal(signal.SIGINT)
        code, errors = running.ended()
    assert code in (130, 143)
    assert FORCED not in errors


def test_a_reader_that_is_gone_ends_the_process() -> None:
    with agent() as running:
        running.stdout.close()
        running.send(prompt("chunks 100"), prompt("chunks 100", 3))
        code, _ = running.ended()
        assert code == 0


def test_a_process_without_stdin_or_stderr_still_speaks() -> None:
    command = f"exec 0<&- 2>&-; exec {AGENT[0]} {AGENT[1]}"
    ended = subprocess.run(
        ["sh", "-c", command], stdout=subprocess.PIPE, env=environment(), check=False, timeout=PATIENCE
    )
    assert (ended.returncode, ended.stdout) == (0, b"")


def test_a_bug_in_a_turn_costs_that_turn_alone() -> None:
    with agent() as running:
        running.send(prompt("crash"))
        assert running.answer(2)["error"]["message"] == "internal error (RuntimeError)"
        running.send(prompt("echo still here", 3))
        assert running.answer(3)["result"] == {"stopReason": "end_turn"}
        running.stdin.close()
        code, errors = running.ended()
    assert code == 0
    assert b"RuntimeError: a bug" in errors


def test_a_reader_that_comes_late_has_held_nothing_up_and_misses_nothing() -> None:
    with agent() as running:
        running.send(prompt("flood 100000"), prompt("echo done", 3))
        assert running.process.stderr is not None
        assert running.process.stderr.readline() == b"all said\n"
        data = b""
        while data.count(b'"stopReason"') < 2:
            data += running.stdout.read1(65536)
        running.stdin.close()
        running.ended()
    messages = [json.loads(line) for line in data.splitlines()]
    texts = [message["params"]["update"]["content"]["text"] for message in messages if "method" in message]
    assert "".join(texts).replace("done", "") == "".join(f"{number} " for number in range(100_000))
    assert len(texts) < 2000


def test_a_very_long_line_is_passed_over_in_little_memory() -> None:
    with agent() as running:
        before = resident(running.process.pid)
        piece = b"x" * (1024 * 1024)
        for _ in range(80):
            running.stdin.write(piece)
        running.stdin.write(b"\n")
        running.send(prompt("echo still here", 3))
        assert running.read()["error"] == {"code": -32600, "message": "line longer than 33554432 bytes"}
        assert running.answer(3)["result"] == {"stopReason": "end_turn"}
        assert peak(running.process.pid) - before < 64 * 1024


def resident(pid: int) -> int:
    """Kilobytes in memory now."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """Kilobytes in memory at most."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
