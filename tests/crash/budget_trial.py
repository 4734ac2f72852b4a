"""Many calls at once against one budget, of a model that lies about what it used, in a process that is killed.

`python -m tests.crash.budget_trial ROOT PARALLEL CAP` is the process: it drives all runs, starting them where there
are none. `trial` kills it between reservations and settlements, has successors go on, and asks the record what was
spent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio

from acp_agent.app import open_app
from acp_agent.domain.budget import Cap, Limits
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.runs.runner import new_run
from acp_agent.store.reads import BudgetRow, Reads
from acp_agent.testing.killer import Victim
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step

PARALLEL = 64
CAP = 40.0
ENDS = {("waiting", "budget"), ("waiting", "crash_loop")}
"""Where a run may stand once the budget is used up; one that was killed three times in a row is not driven again."""
SCOPE = "project:shared"
OUTPUT = 1024
INPUT_PRICE, OUTPUT_PRICE = 10e-6, 50e-6
CONFIG = """\
[providers.openai]
max_concurrent = 64
[providers.openai.prices.test-model]
input = 10.0
output = 50.0
"""
_CLOSE = 1e-6
LIES = (
    {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": 1, "completion_tokens": 1},
    {"prompt_tokens": 10**9, "completion_tokens": 10**9},
    {"prompt_tokens": -7, "completion_tokens": "many", "total_tokens": 0},
    None,
    "computed",
)


@dataclass
class Spent:
    """What a trial did: kills, questions to the model and what they really cost, and the budget at the end."""

    kills: int
    questions: int
    really: float
    booked: BudgetRow | None
    problems: list[str]


def trial(root: Path, seed: int, kills: int, parallel: int = PARALLEL, cap: float = CAP) -> Spent:
    """Kill the process `kills` times while calls are in flight, then let it go on until the budget is used up."""
    root.mkdir(parents=True)
    (root / "project").mkdir()
    (root / "config.toml").write_text(CONFIG, "utf-8")
    random = Random(seed)

    def liar(request: Request) -> Step:
        lie = random.choice(LIES)
        return Step(text="word " * 100, tools=[("list_files", {})], usage=lie, delay=random.uniform(0.01, 0.1))

    done = 0
    with ModelServer(liar, strict=False) as server:
        for _ in range(kills):
            with _process(root, server, parallel, cap) as victim:
                wanted = len(server.requests) + random.randint(1, parallel)
                victim.wait_until(lambda wanted=wanted: len(server.requests) >= wanted or not victim.alive, 60.0)
                done += victim.alive
                victim.kill()
        with _process(root, server, parallel, cap) as last:
            ending = last.wait(120.0)
        questions = server.requests
    really = sum(_really(request) for request in questions)
    with Reads(root / "state" / "acp.db") as reads:
        budget = next((row for row in reads.budgets() if row.scope == SCOPE), None)
        states = {(run.status, run.waiting_for) for run in reads.runs(limit=1000)}
    problems = list(_wrong(budget, really, states, cap))
    if ending.exit_code != 0:
        problems.append(f"the last process ended with {ending.exit_code}: {ending.errors[-300:]}")
    return Spent(done, len(questions), really, budget, problems)


def _wrong(budget: BudgetRow | None, really: float, states: set[tuple[str, str | None]], cap: float) -> Iterator[str]:
    if budget is None:
        yield "there is no budget"
        return
    if budget.spent > cap + _CLOSE:
        yield f"booked {budget.spent} of {cap}"
    if really > cap + _CLOSE:
        yield f"the model was really paid {really} of {cap}"
    if budget.reserved > _CLOSE:
        yield f"{budget.reserved} is still set aside"
    if not states <= ENDS:
        yield f"the budget is used up, and runs are {states}"


def _really(request: Request) -> float:
    """What a provider that does not lie would ask for: four characters are a token, the longest reply was sent."""
    asked = sum(len(str(message.get("content") or "")) for message in request.messages)
    return asked / 4 * INPUT_PRICE + 140 * OUTPUT_PRICE


def _process(root: Path, server: ModelServer, parallel: int, cap: float) -> Victim:
    environment = {
        "ACP_HOME": str(root / "state"),
        "ACP_CONFIG": str(root / "config.toml"),
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "sk-not-a-real-key",
        "HOME": str(root),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "tests.crash.budget_trial", str(root), str(parallel), str(cap)]
    return Victim(command, environment=environment)


async def _work(root: Path, parallel: int, cap: float) -> None:
    async with open_app(os.environ, root) as app:
        with Reads(root / "state" / "acp.db") as reads:
            begun = bool(reads.runs(limit=1))
        if not begun:
            place = Workplace(kind="inplace", root=str(root / "project"))
            limits = Limits(max_steps=None, max_tool_calls=None, max_output=OUTPUT)
            request = RunRequest(
                prompt="go on", workplace=place, models=("openai/test-model",), project="shared", limits=limits
            )
            streams = [new_run(request) for _ in range(parallel)]
            first = NewStream(**{**streams[0]._asdict(), "caps": (*streams[0].caps, Cap(scope=SCOPE, cap=cap))})
            await app.journal.create([first, *streams[1:]], "trial")
        await app.engine.work(None, parallel)


if __name__ == "__main__":
    anyio.run(_work, Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
