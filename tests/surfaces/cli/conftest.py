"""The command line as a person meets it, and a small store with something on record in it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from click.testing import CliRunner

from acp_agent.config.paths import database_path
from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import (
    ApprovalAsked,
    Committed,
    Fact,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolStarted,
    WorkspacePrepared,
)
from acp_agent.domain.events_batch import BatchStarted
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, Usage
from acp_agent.domain.ports import NewStream
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.surfaces.cli.entry import run_command_line

BATCH = "b_aaaaaaaa"
PROMPT = "add type hints\nto every function"


class Said(NamedTuple):
    """What a command answered."""

    code: int
    stdout: str
    stderr: str


Acp = Callable[..., Said]


@pytest.fixture
def acp() -> Acp:
    """Runs `acp` in this process, without a terminal."""

    def run(*words: str, stdin: bytes = b"") -> Said:
        runner = CliRunner()
        with runner.isolation(input=stdin) as (out, err, _):
            code = run_command_line(words)
            return Said(code, out.getvalue().decode(), err.getvalue().decode())

    return run


@pytest.fixture
def on_record() -> str:
    """A batch two minutes old: one run that ended well, one that waits for an approval, one that failed, one queued."""
    anyio.run(_record, dict(_RUNS), _FACTS, "/state/worktrees")
    return BATCH


Put = Callable[..., str]


@pytest.fixture
def put_on_record(tmp_path: Path) -> Put:
    """Records a batch two minutes old from the facts of each project, in worktrees below `tmp_path`; returns its id."""

    def put(**facts: list[Fact]) -> str:
        runs = {f"r_{project}": project for project in facts}
        by_run = {f"r_{project}": given for project, given in facts.items() if given}
        anyio.run(_record, runs, by_run, str(tmp_path / "worktrees"))
        return BATCH

    return put


async def _record(runs: dict[str, str], facts_of: dict[str, list[Fact]], worktrees: str) -> None:
    now = time.time() - 120.0
    async with StoredJournal(database_path(os.environ), clock=lambda: now) as journal:
        batch = BatchStarted(prompt=PROMPT, projects=tuple(runs.values()))
        streams = [NewStream(stream_id=BATCH, kind="batch", facts=(batch,))]
        streams += [_new(run_id, project, worktrees) for run_id, project in runs.items()]
        await journal.create(streams, "ann")
        for run_id, facts in facts_of.items():
            claim = await journal.claim(run_id, owner_of_this_process())
            assert claim is not None
            await journal.append(claim, facts)
            await journal.release(claim)


def _new(run_id: str, project: str, worktrees: str) -> NewStream:
    place = Workplace(
        kind="worktree",
        root=f"/code/{project}",
        worktree=f"{worktrees}/{BATCH}/{project}",
        branch=f"acp/{BATCH}/{project}",
        base="0" * 40,
        target="main",
    )
    request = RunRequest(
        prompt=PROMPT,
        workplace=place,
        models=("openai/small",),
        project=project,
        batch_id=BATCH,
        session_id=f"s_{project}",
    )
    return NewStream(stream_id=run_id, kind="run", facts=(RunStarted(request=request),))


def _reply(text: str, *calls: ToolCall, cost: float | None = 0.0012) -> ModelReplied:
    message = AssistantMessage(text=text, calls=calls)
    usage = Usage(input_tokens=1200, output_tokens=100)
    reply = Reply(message=message, stop="tool_calls" if calls else "end_turn", model="openai/small", usage=usage)
    return ModelReplied(call_id="m_1", reply=reply, cost=cost)


_EDIT = ToolCall(call_id="c_1", name="edit_file", arguments="{}")
_PUSH = ToolCall(call_id="c_2", name="shell", arguments="{}")
_ASKED = ModelCalled(call_id="m_1", model="openai/small")
_RUNS = (("r_apiaaaaa", "api"), ("r_webbbbbb", "web"), ("r_worcccc", "worker"), ("r_tooldddd", "tool"))
_FACTS: dict[str, list[Fact]] = {
    "r_apiaaaaa": [
        WorkspacePrepared(path=f"/state/worktrees/{BATCH}/api", base="0" * 40),
        _ASKED,
        _reply("", _EDIT),
        ToolStarted(call_id="c_1", tool="edit_file", risk=Risk.LOCAL, intent=Intent(title="Edit src/app.py")),
        ToolFinished(call_id="c_1", tool="edit_file", result=ToolResult(status="ok", output="2 replacements")),
        _ASKED,
        _reply("All functions have \x1b[31mhints\x1b[0m now."),
        Committed(commit="abcdef0123456789abcdef0123456789abcdef01", files=2, added=10, removed=2),
        RunEnded(reason="end_turn"),
    ],
    "r_webbbbbb": [
        WorkspacePrepared(path=f"/state/worktrees/{BATCH}/web"),
        _ASKED,
        _reply("", _PUSH, cost=None),
        ApprovalAsked(call_id="c_2", tool="shell", risk=Risk.EXTERNAL, title="git push origin main"),
        Parked(waiting="approval", detail="git push origin main", call_id="c_2"),
    ],
    "r_worcccc": [
        _ASKED,
        ModelFailed(call_id="m_1", model="openai/small", fault=ModelFault.AUTH, message="invalid key"),
        RunEnded(reason="error", message="no model answered: openai/small: auth: invalid key"),
    ],
}
