"""How far the runs of a loop reach: hosts, amounts and rules as those of a batch, looked up anew for each iteration."""

from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.loops import load_loop
from acp_agent.config.trust import trust
from acp_agent.domain.egress import PRESETS
from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import RunStarted, ToolRefused
from acp_agent.domain.request import RunRequest
from acp_agent.loops.resolve import LoopAsk
from tests.loops.conftest import CONFIG, GATES, MakeWorld, World, drive, honest, turns

OPEN = '[egress.company]\ndomains = ["git.corp.example"]\n'
HOSTS = CONFIG.replace("[sandbox]\n", '[sandbox]\nallow_domains = ["index.example.org"]\n')


async def requests_of(w: World, loop_id: str) -> list[RunRequest]:
    """What each run of the loop was asked, in order."""
    async with w.app() as app:
        started = [event.data for event in await app.journal.events(loop_id) if event.data.type == "iteration_started"]
        first = [(await app.journal.events(each.run_id))[0].data for each in started]
        return [fact.request for fact in first if isinstance(fact, RunStarted)]


async def test_a_run_reaches_what_the_configuration_allows_of_what_the_loop_asks_for(world: MakeWorld) -> None:
    with world(honest, 'egress = ["registries", "company"]') as w:
        (w.root / "config.toml").write_text(HOSTS + OPEN, "utf-8")
        async with w.app() as app:
            ready = await app.loops().ready(LoopAsk(name="up"))
            assert ready.warnings == (
                "loop up: egress: config.toml does not let projects files use 'company'"
                " (projects = true under [egress.company])",
            )
            await drive(app, turns=1)
        # What a person opens or takes back holds from the next iteration on.
        (w.root / "config.toml").write_text(CONFIG + OPEN + "projects = true\n", "utf-8")
        found = await w.drive(turns=1)
        first, second = await requests_of(w, found.state.loop_id)
        assert first.egress == ("index.example.org", *PRESETS["registries"])
        assert second.egress == (*PRESETS["registries"], "git.corp.example")


async def test_without_a_word_of_anybody_the_network_is_closed(world: MakeWorld) -> None:
    with world(honest) as w:
        found = await w.drive(turns=1)
        assert [request.egress for request in await requests_of(w, found.state.loop_id)] == [()]


async def test_a_preset_that_nobody_defines_is_an_error_before_anything_is_spent(world: MakeWorld) -> None:
    with world(honest, 'egress = ["registry"]') as w:
        with pytest.raises(UsageError, match="no egress preset named 'registry'"):
            await w.drive()
        assert w.server.requests == ()


async def test_an_edit_to_a_preset_that_nobody_defines_is_not_used(world: MakeWorld) -> None:
    worlds: list[World] = []

    def agent(request: Any) -> Any:
        worlds[0].write_loop('egress = ["registry"]')
        return honest(request)

    with world(agent) as w:
        worlds.append(w)
        found = await w.drive()
        assert found.view.change_refused == "no egress preset named 'registry'"


def test_a_way_out_needs_trust_like_a_command(tmp_path: Path) -> None:
    path = tmp_path / "up.md"
    path.write_text('+++\nproject = "app"\negress = ["registries"]\n+++\nGo.\n', "utf-8")
    assert [(command.key, command.run) for command in load_loop(path).commands()] == [("egress", "registries")]


async def test_rules_tags_and_limits_of_the_projects_file_hold_in_a_loop(world: MakeWorld) -> None:
    shell: Any = turns([("shell", {"command": "true"})], "Looked.")
    rules = '[[policy.rules]]\nverdict = "deny"\ntool = "shell"\n'
    with world(shell, gates=GATES + "\n" + rules) as w:
        file = w.root / "projects.toml"
        told = file.read_text("utf-8").replace("tags = []", 'tags = ["prod"]\nlimits = { files = 3 }')
        file.write_text(told, "utf-8")
        trust(w.root, w.root / "state")
        found = await w.drive(turns=1)
        async with w.app() as app:
            facts = [event.data for event in await app.journal.events(found.view.turns[1].run_id)]
        refused = [fact for fact in facts if isinstance(fact, ToolRefused)]
        assert [fact.result.kind for fact in refused] == ["denied"], refused
        (request,) = await requests_of(w, found.state.loop_id)
        assert (request.tags, request.blast.files) == (("prod",), 3)
