"""A driver that is killed while a hook runs: the hook runs again, what it watches over happens once."""

import os
from collections import Counter
from pathlib import Path

import pytest

from acp_agent.config.paths import database_path
from acp_agent.store.reads import Reads
from acp_agent.testing import warm
from acp_agent.testing.killer import Victim
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import make_repo
from acp_agent.testing.script import Rule, Step

EVENTS = ("before_run", "before_tool", "after_tool", "after_run")
SLOW_ONCE = """\
[[hooks.{event}]]
run = "echo {event} >> hooks.log; test -e {event}.seen || {{ touch {event}.seen; exec sleep 60; }}"
timeout = "2m"
"""


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.slow
def test_a_hook_that_a_kill_cut_off_runs_again_and_its_step_happens_once(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo", files={"a.txt": "a\n"})
    Path(os.environ["ACP_CONFIG"]).write_text("".join(SLOW_ONCE.format(event=event) for event in EVENTS))
    steps = [Step(tools=[("write_file", {"path": "new.txt", "content": "new\n"})]), Step(text="Done.")]
    with ModelServer([Rule(turns=steps)]) as server:
        environment = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test"}
        command = [warm.PROGRAM, "run", "write it", str(repo), "--model", "openai/test-model"]
        for event in EVENTS:
            with Victim(command, cwd=tmp_path, environment=environment) as victim:
                victim.wait_until(lambda event=event: bool(_found(f"{event}.seen")), 30, what=event)
                victim.kill()
                victim.wait()
            command = [warm.PROGRAM, "resume", "--all"]
        with Victim(command, cwd=tmp_path, environment=environment) as victim:
            ending = victim.wait()
    assert ending.exit_code == 0, ending.errors
    (log,) = _found("hooks.log")
    assert Counter(log.read_text().split()) == dict.fromkeys(EVENTS, 2)
    with Reads(database_path(os.environ)) as reads:
        (run,) = reads.runs(limit=10)
        kinds = Counter(row.data["type"] for row in reads.events(run.id))
    assert (kinds["tool_started"], kinds["tool_finished"], kinds["hook_ran"], kinds["run_ended"]) == (1, 1, 4, 1)


def _found(name: str) -> list[Path]:
    return list((Path(os.environ["ACP_HOME"]) / "worktrees").glob(f"*/*/{name}"))
