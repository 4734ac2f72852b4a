"""What an iteration of `acp loop` takes on 1,000 files, held against its model calls, files and checks alone.

`python -m benchlib.looping DIRECTORY` is the baseline: the bare agent and the bare commands, in a warm process; it
prints seconds an iteration.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import mean

from acp_agent.config.trust import trust
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import make_fleet
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from benchlib.case import Case, Side
from benchlib.figures import Limit
from benchlib.world import BenchFailed, Place, World, acp

ITERATIONS = 25
WARM_UP = 3
FILES = 1_000
GATE, METRIC = "true", "cat n.txt"
SETTINGS = '[sandbox]\nlevel = "prefer"\n'
LOOP = f"""\
+++
project = "app"
goal = "A large n"
max_iter = 1000
rotate = 10
done_when = {{ metric = "n >= {ITERATIONS}" }}
gates = [{{ name = "check", run = "{GATE}" }}]
[metric.n]
run = "{METRIC}"
+++
Raise n.
"""
PROMPT = "This is iteration {}"


def agent(request: Request) -> Step:
    """Reads n, writes the number of the iteration there, and says so."""
    number = int(request.prompt.rpartition("This is iteration ")[2].partition(" ")[0])
    moves = [("read_file", {"path": "n.txt"}), ("write_file", {"path": "n.txt", "content": f"{number}\n"})]
    turn = request.turn_since_prompt
    return Step(tools=[moves[turn]]) if turn < 2 else Step(text=f"Raised n to {number}.")


@contextmanager
def _place(world: World) -> Iterator[Place]:
    """A loop over a repository of 1,000 files, trusted, and the model that works on it."""
    with world.fresh() as place, ModelServer(agent, strict=False) as server:
        files = {f"src/m{number // 50}/f{number}.py": f"x = {number}\n" * 20 for number in range(FILES)}
        make_fleet(place.folder, ["app"], files={**files, "n.txt": "0\n"})
        (place.folder / "loops").mkdir()
        (place.folder / "loops" / "up.md").write_text(LOOP, encoding="utf-8")
        config = place.folder / "config.toml"
        config.write_text(SETTINGS, encoding="utf-8")
        trust(place.folder, place.folder / "state")
        found = {"OPENAI_BASE_URL": server.url, "ACP_CONFIG": str(config)}
        yield Place(place.folder, {**place.environment, **found})


def _ours(world: World) -> float:
    """Milliseconds from one decision to the next, on record; the first ones also make and fill the trees."""
    with _place(world) as place:
        place.run(acp("loop", "up", "-o", "quiet", "--projects", str(place.folder / "projects.toml")))
        if (kept := place.recorded("iteration_accepted")) != ITERATIONS:
            raise BenchFailed(f"{ITERATIONS} iterations, of which {kept} were accepted")
        with closing(sqlite3.connect(place.folder / "state" / "acp.db")) as connection:
            rows = connection.execute("SELECT ts FROM acp_event WHERE type = 'iteration_accepted' ORDER BY ts")
            decided = [float(row[0]) for row in rows]
        return (decided[-1] - decided[WARM_UP]) / (len(decided) - 1 - WARM_UP) * 1000


def _bare(world: World) -> float:
    with _place(world) as place:
        command = [sys.executable, "-m", "benchlib.looping", str(place.folder / "app")]
        return float(place.run(command).stdout) * 1000


def loop_cases() -> Iterator[Case]:
    """The one case."""
    yield Case(
        "iteration",
        "an iteration of a loop on 1,000 files: three model calls, an edit, a gate, a metric, a commit",
        "ms",
        Side("bare: the same calls, edit and commands, unconfined", _bare),
        (Side("acp loop", _ours, Limit(400, of="over")),),
    )


async def _iterations(root: Path) -> float:
    from bare_agent import converse_in

    taken = []
    for number in range(WARM_UP + ITERATIONS):
        began = time.perf_counter()
        await converse_in([root], PROMPT.format(number), 1)
        for command in (GATE, METRIC):
            process = await asyncio.create_subprocess_exec("bash", "-c", command, cwd=root, stdout=subprocess.DEVNULL)
            if await process.wait():
                raise BenchFailed(f"{command}: exit {process.returncode}")
        taken.append(time.perf_counter() - began)
    return mean(taken[WARM_UP:])


if __name__ == "__main__":
    print(asyncio.run(_iterations(Path(os.path.abspath(sys.argv[1])))))
