"""Runs a loop of 1,000 iterations on a repository of 1,000 files: memory, hand-over and overhead an iteration."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import anyio

from acp_agent.app import App, open_app
from acp_agent.config.trust import trust
from acp_agent.domain.events import Event
from acp_agent.loops.driver import Invocation
from acp_agent.loops.handover import MAX_BYTES
from acp_agent.loops.resolve import LoopAsk
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


def memory() -> float:
    """Megabytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


class Meter:
    """Takes the time of every iteration from its own events, and the memory after some of them."""

    def __init__(self) -> None:
        self.planned = 0.0
        self.thought = 0.0
        self.overheads: list[float] = []
        self.memory: dict[int, float] = {}
        self.handovers: list[int] = []
        self._asked = 0.0

    def see(self, event: Event) -> None:
        """One event of the loop or of its runs."""
        now = time.perf_counter()
        match event.data.type:
            case "iteration_planned":
                self.planned, self.thought = now, 0.0
            case "model_called":
                self._asked = now
            case "model_replied":
                self.thought += now - self._asked
            case "iteration_accepted" | "iteration_rejected":
                self.overheads.append(now - self.planned - self.thought)
                if len(self.overheads) % 100 == 0:
                    self.memory[len(self.overheads)] = memory()
                    print(f"{len(self.overheads)} iterations, {memory():.0f} MB", flush=True)
            case "rotated":
                self.handovers.append(len(event.data.model_dump()["handover"].encode()))


async def measured(root: Path, most: int) -> Meter:
    """Drive the whole loop in this process."""
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
        }
        async with open_app(environ, root) as app:
            await drive(app, meter)
    return meter


async def drive(app: App, meter: Meter) -> None:
    """One loop from its beginning to its end."""
    loops = app.loops()
    ready = await loops.ready(LoopAsk(name="up"))
    await loops.drive(ready.loop_id, Invocation(), on_event=meter.see)


def main(n: int | None, seed: int) -> int:
    """`n` iterations (default 1,000); 1 where memory grows, a hand-over is too long, or an iteration takes too long."""
    most = ITERATIONS if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-long-loop-"))
    began, cpu = time.perf_counter(), time.process_time()
    meter = anyio.run(measured, root, most)
    shutil.rmtree(root)
    decided = len(meter.overheads)
    ordered = sorted(meter.overheads)
    each = median(ordered)
    marks = list(meter.memory.values())
    growth = (marks[-1] - marks[0]) if len(marks) > 1 else 0.0
    print(f"\n{decided} iterations in {time.perf_counter() - began:.0f} s")
    print(f"overhead an iteration: median {each * 1e3:.0f} ms, 95% {ordered[int(decided * 0.95)] * 1e3:.0f} ms")
    print(f"own CPU an iteration: {(time.process_time() - cpu) / decided * 1e3:.0f} ms")
    print(f"memory after each hundred: {', '.join(f'{mark:.0f}' for mark in marks)} MB")
    print(f"hand-overs: {len(meter.handovers)}, the longest {max(meter.handovers)} of {MAX_BYTES} bytes")
    wrong = [decided != most, growth > 30.0, max(meter.handovers) > MAX_BYTES, each > BUDGET]
    return 1 if any(wrong) else 0
