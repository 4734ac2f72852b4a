"""`acpx` in a home of its own, at the agent of this checkout and a scripted model."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from acp_agent.testing.killer import MARKER_VARIABLE, Ending, Victim, kill_leftovers
from acp_agent.testing.script import Rule
from tests.acceptance.acp.desk import SCHEMA, Desk

AGENT = f"{sys.executable} -m acp_agent.main serve"
PATIENCE = 60.0


class Acpx:
    """Runs `acpx` commands in one project. Leaving the context kills its owner processes too."""

    def __init__(self, program: Sequence[str], root: Path, rules: Sequence[Rule]) -> None:
        self.desk = Desk(root, list(rules))
        self._program = program
        self._marker = uuid.uuid4().hex

    def __enter__(self) -> Acpx:
        self.desk.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_leftovers(self._marker)
        self.desk.server.stop()

    def start(self, *words: str, flags: Sequence[str] = ()) -> Victim:
        """Start a command; `flags` come before it."""
        always = (
            "--agent",
            AGENT,
            "--cwd",
            str(self.desk.project),
            "--ttl",
            "60",
            "--non-interactive-permissions",
            "deny",
        )
        return Victim(
            [*self._program, *always, *flags, *words],
            cwd=self.desk.root,
            environment={**_unset(), **self.desk.environment, MARKER_VARIABLE: self._marker},
            marker=self._marker,
        )

    def run(self, *words: str, flags: Sequence[str] = ()) -> Ending:
        """Run a command to its end; it must succeed."""
        with self.start(*words, flags=flags) as process:
            process.close_input()
            ending = process.wait(PATIENCE)
        assert ending.exit_code == 0, f"exit {ending.exit_code}\n{ending.output}\n{ending.errors}"
        return ending

    def owner(self) -> int:
        """The process that keeps the session's agent."""
        (lock,) = (self.desk.root / "home" / ".acpx" / "queues").glob("*.lock")
        return int(json.loads(lock.read_text("utf-8"))["pid"])

    def conversations(self) -> list[list[tuple[str, str]]]:
        """What the model was asked, each time: the words of the user and the assistant."""
        return [
            [
                (str(one["role"]), str(one.get("content")))
                for one in request.messages
                if one["role"] in ("user", "assistant")
            ]
            for request in self.desk.server.requests
        ]


def messages_of(output: str) -> list[Mapping[str, Any]]:
    """The protocol's messages among the lines of `--format json`, each update held against the schema."""
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    for message in messages:
        if message.get("method") == "session/update":
            assert SCHEMA.problem("session/update", "Notification", message["params"]) is None
    return messages


def gone(pid: int) -> Callable[[], bool]:
    """A predicate: the process has ended."""
    return lambda: not Path(f"/proc/{pid}").exists() or _state(pid) == "Z"


def wait_until(happened: Callable[[], bool], what: str, within: float = PATIENCE) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + within
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {within} s")
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        found = re.search(r"^State:\s+(\w)", Path(f"/proc/{pid}/status").read_text("ascii"), re.MULTILINE)
    except OSError:
        return "Z"
    return found[1] if found else ""


def _unset() -> dict[str, str]:
    # acpx reads these for its own purposes.
    return {name: "" for name in os.environ if name.startswith("ACPX_")}
