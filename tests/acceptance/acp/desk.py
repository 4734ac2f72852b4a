"""A desk to work at: a project, a scripted model, and editors that start `acp serve` as a real process."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from acp_agent.store.reads import EventRow, Reads
from acp_agent.testing import warm
from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Answer, Consent
from acp_agent.testing.editor import Editor, started
from acp_agent.testing.editor_hands import EditorHands
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.protocol_schema import ProtocolSchema
from acp_agent.testing.repos import make_repo
from acp_agent.testing.script import Scriptable, Step

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ProtocolSchema(ROOT / "tests" / "data" / "acp-schema-v1.json")
MODEL = "test-model"
COMMAND = (sys.executable, "-m", "acp_agent.main", "serve")
WARM = (warm.PROGRAM, "serve")
"""The same, without the time that its imports take."""
FILES = {"limits.py": "LIMIT = 10\n", "README.md": "# sample\n\nThe limit is 10.\n"}
CONFIG = f"""\
[providers.openai.prices.{MODEL}]
input = 10.0
output = 50.0
"""
"""Prices, US dollars per million tokens: what a turn costs can be told."""
PERSONAL = ("ACP_", "ANTHROPIC_", "AWS_", "AZURE_", "DEEPSEEK_", "GEMINI_", "GOOGLE_", "LITELLM_", "OLLAMA_", "OPENAI_")


READ = Step(tools=[("read_file", {"path": "limits.py"})])
"""An edit needs a file that was read before."""


def edit(new: str, old: str = "LIMIT = 10", path: str = "limits.py") -> Step:
    """A reply that asks for one replacement."""
    return Step(tools=[("edit_file", {"path": path, "edits": [{"old": old, "new": new}]})])


def shell(command: str) -> Step:
    """A reply that asks for a command."""
    return Step(tools=[("shell", {"command": command})])


class Desk:
    """A project below `root`, a model server that follows `script`, and a state directory of their own."""

    def __init__(self, root: Path, script: Scriptable, config: str = CONFIG) -> None:
        self.root = root.resolve()
        self.project = make_repo(self.root / "project", FILES)
        self.server = ModelServer(script, models=[MODEL], strict=False)
        (self.root / "config.toml").write_text(config, "utf-8")
        for folder in ("home", "tmp"):
            (self.root / folder).mkdir()

    @property
    def environment(self) -> dict[str, str]:
        """What the agent is started with: nothing of whoever runs the tests but the machine's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PERSONAL)}
        return kept | {
            "ACP_HOME": str(self.root / "state"),
            "ACP_CONFIG": str(self.root / "config.toml"),
            "ACP_MODEL": f"openai/{MODEL}",
            "OPENAI_BASE_URL": self.server.url,
            "OPENAI_API_KEY": "sk-not-a-real-key",
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "PYTHONPATH": str(ROOT),
        }

    @asynccontextmanager
    async def editor(
        self,
        *answers: Answer,
        then: Answer = "reject",
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = WARM,
        capabilities: Mapping[str, Any] | None = None,
        forms: Sequence[Mapping[str, Any] | None] = (),
        hands: EditorHands | None = None,
    ) -> AsyncIterator[Editor]:
        """An editor whose agent has answered `initialize`; leaving it holds the agent to the protocol."""
        consent = Consent(*answers, then=then, forms=forms)
        # The working directory is the desk, not the project: a session works in its own cwd.
        whole = {**self.environment, **(environment or {})}
        async with started(command, whole, self.root, consent, hands) as editor:
            await editor.initialize(capabilities)
            yield editor
            await editor.close_stdin()
            await editor.exited()
        assert editor.process is not None
        broken = editor.complaints + complaints(editor.lines, SCHEMA)
        assert not broken, "\n".join(broken)
        assert "Traceback" not in editor.process.errors, editor.process.errors

    async def session(self, editor: Editor, mode: str = "ask") -> str:
        """A new session in the project; its id."""
        session_id = str((await editor.new_session(self.project))["sessionId"])
        if mode != "ask":
            await editor.set_mode(session_id, mode)
        return session_id

    def read(self, name: str = "limits.py") -> str:
        """A file of the project."""
        return (self.project / name).read_text("utf-8")

    def facts(self) -> list[EventRow]:
        """Every fact of every run on record, run by run."""
        with Reads(self.root / "state" / "acp.db") as reads:
            return [event for run in reads.runs(limit=1000) for event in reads.events(run.id)]

    def reasons(self) -> list[str]:
        """Why each run that ended did, newest run first."""
        return [str(event.data["reason"]) for event in self.facts() if event.type == "run_ended"]


async def settle(editor: Editor) -> None:
    """Wait until the agent has said everything that it had to say: it answers in order of arrival."""
    await editor.request("session/list", {})


def option(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One of the config options in an answer or an update."""
    return next(dict(entry) for entry in answer["configOptions"] if entry["id"] == name)
