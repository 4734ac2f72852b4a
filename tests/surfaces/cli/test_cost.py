"""`acp cost` and `acp budget` as a person uses them."""

import json
from pathlib import Path

from acp_agent.testing.script import Rule, Step
from tests.crash.world import World

FREE = Step(text="Done.", usage={"prompt_tokens": 1000, "completion_tokens": 100})
COST = 0.015


def test_what_was_spent_and_what_may_be(tmp_path: Path) -> None:
    with World(tmp_path, ("alpha", "beta"), [Rule(reply=FREE)], {"a": "a\n"}) as world:
        assert (world.acp("cost").exit_code, world.acp("budget", "show").exit_code) == (5, 5)
        assert world.acp("run", "look", "--all", "--read-only", "-o", "quiet").exit_code == 0
        told = json.loads(world.acp("cost", "--by", "project", "-o", "json").output)
        assert [(row["name"], row["calls"], round(row["cost"], 6)) for row in told["rows"]] == [
            ("alpha", 1, COST),
            ("beta", 1, COST),
        ]
        assert round(told["all"]["cost"], 6) == 2 * COST
        by_model = world.acp("cost", "--by", "model", "--since", "1h").output
        assert "openai/test-model      2" in by_model
        assert world.acp("budget", "set", "day", "0.03").output == "day: $0.0300\n"
        shown = {row["scope"]: row for row in json.loads(world.acp("budget", "show", "-o", "json").output)["budgets"]}
        day = next(row for scope, row in shown.items() if scope.startswith("day:"))
        assert (day["cap"], round(day["spent"], 6), shown["project:alpha"]["cap"]) == (0.03, 2 * COST, None)
        stopped = world.acp("run", "look", "-p", "alpha", "--read-only", "-o", "quiet")
        assert stopped.exit_code == 4
        told_again = world.acp("budget", "set", "day", "none")
        assert "1 run waiting for a budget: acp resume --all" in told_again.errors
        assert world.acp("resume", "--all", "-o", "quiet").exit_code == 0
        wrong = world.acp("budget", "set", "projct:alpha", "1")
        assert (wrong.exit_code, "project:NAME" in wrong.errors) == (2, True)
