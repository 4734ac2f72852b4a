"""Hooks around the iterations of a loop: they note, they block, and none is left out in silence."""

import json
from pathlib import Path

import pytest

from acp_agent.config.trust import trust
from acp_agent.domain.events_hooks import HookRan
from acp_agent.loops.driver import Invocation
from acp_agent.testing.repos import tree
from tests.loops.conftest import CONFIG, GATES, MakeWorld, drive, honest

pytestmark = pytest.mark.bwrap
BEFORE = """
[[hooks.before_iteration]]
run = '''grep -q '"iteration": 2' && echo "freeze from two on" >&2 && exit 2; echo '{"note": "mind the gap"}' '''
"""
AFTER = """
[[hooks.after_iteration]]
run = "cat >&2; exit 2"
"""


async def test_hooks_note_and_block_iterations(world: MakeWorld) -> None:
    with world(honest, gates=GATES + BEFORE) as w:
        (w.root / "config.toml").write_text(CONFIG + AFTER, "utf-8")
        found = await w.drive()
        assert (found.code, found.why, found.outcomes[:1]) == (4, "parked", ["accepted"])
        assert (
            found.state.parked.detail
            == "The hook projects.toml: hooks.before_iteration[0] blocks this: freeze from two on"
        )
        asked = [request for request in w.server.requests if "messages" in request.body]
        assert "Note of the hook projects.toml: hooks.before_iteration[0]: mind the gap" in str(asked[0].body)
        async with w.app() as app:
            facts = [event.data for event in await app.journal.events(found.state.loop_id)]
            ran = [fact for fact in facts if isinstance(fact, HookRan)]
            assert [(one.event, one.outcome) for one in ran] == [
                ("before_iteration", "passed"),
                ("after_iteration", "passed"),
                ("before_iteration", "blocked"),
            ]
            said = json.loads(ran[1].note)
            assert (said["loop"], said["iteration"], said["outcome"], said["metrics"]) == (
                "up",
                1,
                "accepted",
                {"n": 1.0},
            )
            # Once the file lets it pass, a word of a person takes the loop on.
            file = w.root / "projects.toml"
            file.write_text(file.read_text().replace("exit 2", "true"), "utf-8")
            trust(file, w.root / "state")
            await app.loops().steer(found.state.loop_id, "go on")
            found = await drive(app)
        assert (found.why, found.outcomes) == ("ended", ["accepted"] * 4)
        assert tree(w.repo, found.state.work.branch)["n.txt"] == "4\n"


async def test_changed_hooks_park_the_loop_and_runs_hear_those_of_the_project(world: MakeWorld) -> None:
    hook = "[[hooks.before_tool]]\nmatch = 'write_file'\nrun = 'echo no writes >&2; exit 2'\n"
    with world(honest, gates=f"{GATES}\n{hook}") as w:
        (w.root / ".config/acp-agent/skills/slow").mkdir(parents=True)
        text = "---\nname: slow\ndescription: Takes its time.\n---\n"
        (w.root / ".config/acp-agent/skills/slow/SKILL.md").write_text(text, "utf-8")
        found = await w.drive(turns=1)
        assert found.outcomes == ["nothing_changed"]
        assert "blocks this: no writes" in str([request.body for request in w.server.requests])
        assert "- slow: Takes its time." in str(w.server.requests[-1].body)
        async with w.app() as app:
            file: Path = w.root / "projects.toml"
            file.write_text(file.read_text().replace("no writes", "changed"), "utf-8")
            again = await app.loops().drive(found.state.loop_id, Invocation(turns=1))
            state = await app.loops().state(found.state.loop_id)
        assert (again, state.iterations) == ("parked", 1)
        assert "hooks.before_tool[0]" in state.parked.detail
