"""A repository with a loop, a scripted agent, and the real parts around them."""

import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acp_agent.app import App, open_app
from acp_agent.config.trust import trust
from acp_agent.domain.loop import LoopState
from acp_agent.loops.driver import Invocation
from acp_agent.loops.loops import exit_of
from acp_agent.loops.resolve import LoopAsk
from acp_agent.loops.view import LoopView
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import Files, git, make_fleet
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step, ToolCall

CONFIG = """\
[sandbox]
level = "prefer"
[providers.openai.prices.test-model]
input = 1.0
output = 2.0
"""
FILES: Files = {
    "n.txt": "0\n",
    "README.md": "# sample\n",
    "check.sh": "#!/bin/sh\n# the number must be one\ngrep -qx '[0-9]*' n.txt\n",
    "tests/test_n.sh": "#!/bin/sh\ntest -s n.txt\n",
    ".gitignore": "cache/\n",
}
LOOP = """\
+++
project = "app"
goal = "A large n"
max_iter = 4
patience = 9
same_failure = 9
protect = ["tests/**"]
{more}
[metric.n]
run = "cat n.txt"
+++
Raise n.
"""
GATES = '[defaults]\ngates = ["check"]\n[gates]\ncheck = { run = "sh check.sh && sh tests/test_n.sh" }'


def iteration_of(request: Request) -> int:
    """The number that the prompt names."""
    found = re.findall(r"This is iteration (\d+) of", request.prompt)
    return int(found[-1]) if found else 0


def turns(*steps: Sequence[ToolCall] | str) -> Callable[[Request], Step]:
    """An agent that does the same in each iteration: tool calls, one list a turn, then words."""

    def answer(request: Request) -> Step:
        number = str(iteration_of(request))
        step = steps[min(request.turn_since_prompt, len(steps) - 1)]
        if isinstance(step, str):
            return Step(text=step.replace("{n}", number))
        return Step(tools=[(name, _filled(arguments, number)) for name, arguments in step])

    return answer


def _filled(arguments: Any, number: str) -> dict[str, Any]:
    return {key: value.replace("{n}", number) if isinstance(value, str) else value for key, value in arguments.items()}


READ: ToolCall = ("read_file", {"path": "n.txt"})
RAISE: ToolCall = ("write_file", {"path": "n.txt", "content": "{n}\n"})
honest = turns([READ], [RAISE], "Raised n to {n}.")


@dataclass
class Told:
    """How driving a loop went."""

    state: LoopState
    why: str
    code: int
    reason: str
    view: LoopView

    @property
    def outcomes(self) -> list[str]:
        """Of each iteration: `accepted`, or why it was rejected."""
        return [turn.why or turn.outcome for turn in self.view.turns.values()]


@dataclass
class World:
    """A project `app` with the loop `up`, and the agent that works on it."""

    root: Path
    server: ModelServer

    @property
    def repo(self) -> Path:
        return self.root / "app"

    @property
    def environ(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "GIT_CONFIG_GLOBAL")},
            "HOME": str(self.root),
            "ACP_HOME": str(self.root / "state"),
            "ACP_CONFIG": str(self.root / "config.toml"),
            "OPENAI_BASE_URL": self.server.url,
            "OPENAI_API_KEY": "sk-test-0123456789abcdefghij",
            "ACP_MODEL": "openai/test-model",
        }

    def write_loop(self, more: str = "", text: str = LOOP) -> None:
        """Write loops/up.md and trust it."""
        (self.root / "loops").mkdir(exist_ok=True)
        (self.root / "loops" / "up.md").write_text(text.replace("{more}", more), "utf-8")
        trust(self.root, self.root / "state")

    @asynccontextmanager
    async def app(self) -> AsyncIterator[App]:
        async with open_app(self.environ, self.root) as app:
            yield app

    async def drive(self, *, fresh: bool = False, turns: int | None = None, **asked: Any) -> Told:
        """`acp loop up` in a process of its own, as far as the record can tell."""
        async with self.app() as app:
            return await drive(app, fresh=fresh, turns=turns, **asked)

    def refs(self, kind: str) -> dict[str, str]:
        """Our refs of a kind: the part after the loop's id, and the commit."""
        listed = git(self.repo, "for-each-ref", "--format=%(refname) %(objectname)", f"refs/acp/{kind}")
        pairs = (line.split(" ") for line in listed.splitlines())
        return {name.split("/", 4)[4]: commit for name, commit in pairs}

    def log(self, branch: str) -> list[str]:
        """The subjects on a branch beyond main, oldest first."""
        return git(self.repo, "log", "--reverse", "--format=%s", f"main..{branch}").splitlines()


async def drive(app: App, *, fresh: bool = False, turns: int | None = None, name: str = "up", **asked: Any) -> Told:
    loops = app.loops()
    ready = await loops.ready(LoopAsk(name=name, **asked), fresh=fresh)
    why = await loops.drive(ready.loop_id, Invocation(turns=turns))
    return await told(app, ready.loop_id, why)


async def told(app: App, loop_id: str, why: str = "") -> Told:
    state = await app.loops().state(loop_id)
    view = LoopView(loop_id)
    for event in await app.journal.events(loop_id):
        view.apply(event.seq, event.ts, event.data.model_dump(mode="json"))
    code, reason = exit_of(state, why)
    return Told(state, why, int(code), reason, view)


MakeWorld = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path) -> MakeWorld:
    """`with world(agent) as w`: the loop is written and trusted."""

    def make(agent: Any, more: str = "", *, text: str = LOOP, files: Files = FILES, gates: str = GATES) -> Any:
        make_fleet(tmp_path, ["app"], files=files, extra=gates)
        (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
        server = ModelServer(agent, strict=False)

        class Opened:
            def __enter__(self) -> World:
                made = World(tmp_path, server.__enter__())
                made.write_loop(more, text)
                return made

            def __exit__(self, *error: Any) -> None:
                server.__exit__(*error)

        return Opened()

    return make
