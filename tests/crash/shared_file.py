"""Several processes drive the runs of one SQLite file at once: `python -m tests.crash.shared_file ROOT` is one."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import anyio

from acp_agent.app import open_app
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.runs.runner import new_run
from acp_agent.store.reads import Reads
from acp_agent.testing.killer import Victim
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

TURNS = (Step(tools=[("list_files", {})]), Step(tools=[("read_file", {"path": "a.txt"})]), Step(text="Done."))


async def trial(root: Path, runs: int, processes: int = 4) -> list[str]:
    """Have `processes` drive `runs` runs of three steps to their ends; returns what went wrong."""
    (root / "project").mkdir(parents=True)
    (root / "project" / "a.txt").write_text("alpha\n", "utf-8")
    (root / "config.toml").write_text("", "utf-8")
    with ModelServer([Rule(turns=TURNS)], strict=False) as server:
        environment = {
            "ACP_HOME": str(root / "state"),
            "ACP_CONFIG": str(root / "config.toml"),
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "sk-not-a-real-key",
            "HOME": str(root),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        async with open_app({**os.environ, **environment}, root) as app:
            place = Workplace(kind="inplace", root=str(root / "project"))
            request = RunRequest(prompt="look", workplace=place, models=("openai/test-model",), read_only=True)
            await app.journal.create([new_run(request) for _ in range(runs)], "trial")
        command = [sys.executable, "-m", "tests.crash.shared_file", root]
        crowd = [Victim(command, environment=environment) for _ in range(processes)]
        endings = [await anyio.to_thread.run_sync(member.wait, 600.0) for member in crowd]
        for member in crowd:
            member.close()
    problems = [f"exit {one.exit_code}: {one.errors[-300:]}" for one in endings if one.exit_code or one.errors]
    with Reads(root / "state" / "acp.db") as reads:
        rows = reads.runs(limit=runs + 1)
        kinds = Counter(event.type for row in rows for event in reads.events(row.id))
    ends = Counter((row.status, row.reason) for row in rows)
    expected = {"run_started": runs, "model_replied": 3 * runs, "tool_finished": 2 * runs, "run_ended": runs}
    if ends != {("ended", "end_turn"): runs}:
        problems.append(f"runs ended as {ends}")
    problems += [f"{kinds[kind]} {kind}, not {count}" for kind, count in expected.items() if kinds[kind] != count]
    problems += [f"{kinds[kind]} {kind}" for kind in ("resumed", "late_result", "model_failed") if kinds[kind]]
    return problems


async def _work(root: Path) -> None:
    async with open_app(os.environ, root) as app:
        await app.engine.work(None, 8)


if __name__ == "__main__":
    anyio.run(_work, Path(sys.argv[1]))
