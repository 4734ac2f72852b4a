"""Runs a loop of 1,000 iterations on a repository of 1,000 files: memory, hand-over and overhead an iteration."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from acp_agent.config.trust import trust
from acp_agent.loops.handover import MAX_BYTES
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import make_fleet
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step

ITERATIONS = 1_000
FILES = 1_000
BUDGET = 0.4
"""Seconds that an iteration may take over its agent's own time."""
LOOP = """\
+++
project = "app"
goal = "A large n"
max_iter = {most}
rotate = 25
gates = [{{ name = "check", run = "true" }}]
[metric.n]
run = "cat n.txt"
+++
Raise n.
"""


def agent(request: Request) -> Step:
    """Raises n; every seventh iteration does not."""
    number = int(request.prompt.rpartition("This is iteration ")[2].partition(" ")[0])
    value = number if number % 7 else 0
    moves = [("read_file", {"path": "n.txt"}), ("write_file", {"path": "n.txt", "content": f"{value}\n"})]
    turn = request.turn_since_prompt
    return Step(tools=[moves[turn]]) if turn < 2 else Step(text=f"Raised n to {number}. " + "What I learned. " * 40)


def memory(pid: int) -> float:
    """Megabytes of a process that are in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


class Meter:
    """Takes the time of every iteration from its events on record, and the memory of the process after some of them."""

    def __init__(self) -> None:
        self.overheads: list[float] = []
        self.memory: list[float] = []
        self.handovers: list[int] = []
        self._planned = self._asked = self._thought = 0.0

    def see(self, row: dict[str, Any], pid: int) -> None:
        """One event of the loop or of its runs, as `-o jsonl` prints it."""
        now = datetime.fromisoformat(row["ts"]).timestamp()
        match row["type"]:
            case "iteration_planned":
                self._planned, self._thought = now, 0.0
            case "model_called":
                self._asked = now
            case "model_replied":
                self._thought += now - self._asked
            case "iteration_accepted" | "iteration_rejected":
                self.overheads.append(now - self._planned - self._thought)
                if len(self.overheads) % 50 == 0:
                    self.memory.append(memory(pid))
                    print(f"{len(self.overheads)} iterations, {self.memory[-1]:.0f} MB", flush=True)
            case "rotated":
                self.handovers.append(len(row["data"]["handover"].encode()))


def measured(root: Path, most: int) -> Meter:
    """`acp loop up`, a process of its own, from its beginning to its end."""
    files = {f"src/m{number // 50}/f{number}.py": f"x = {number}\n" * 20 for number in range(FILES)}
    make_fleet(root, ["app"], files={**files, "n.txt": "0\n"})
    (root / "loops").mkdir()
    (root / "loops" / "up.md").write_text(LOOP.format(most=most), "utf-8")
    (root / "config.toml").write_text('[sandbox]\nlevel = "prefer"\n', "utf-8")
    trust(root, root / "state")
    meter = Meter()
    with ModelServer(agent, strict=False) as server:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "ACP_HOME": str(root / "state"),
            "ACP_CONFIG": str(root / "config.toml"),
            "ACP_MODEL": "openai/test-model",
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "sk-not-a-key",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        }
        command = [sys.executable, "-m", "acp_agent.main", "loop", "up", "-o", "jsonl"]
        with subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                meter.see(json.loads(line), process.pid)
    return meter


def main(n: int | None, seed: int) -> int:
    """`n` iterations (default 1,000); 1 where memory grows, a hand-over is too long, or an iteration takes too long."""
    most = ITERATIONS if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-long-loop-"))
    began = time.perf_counter()
    meter = measured(root, most)
    shutil.rmtree(root)
    decided = len(meter.overheads)
    ordered = sorted(meter.overheads)
    each = median(ordered)
    marks = meter.memory
    growth = (marks[-1] - marks[0]) if len(marks) > 1 else 0.0
    print(f"\n{decided} iterations in {time.perf_counter() - began:.0f} s")
    print(f"overhead an iteration: median {each * 1e3:.0f} ms, 95% {ordered[int(decided * 0.95)] * 1e3:.0f} ms")
    print(f"memory after each fifty: {', '.join(f'{mark:.0f}' for mark in marks)} MB")
    print(f"hand-overs: {len(meter.handovers)}, the longest {max(meter.handovers)} of {MAX_BYTES} bytes")
    wrong = [decided != most, growth > 30.0, max(meter.handovers) > MAX_BYTES, each > BUDGET]
    return 1 if any(wrong) else 0
