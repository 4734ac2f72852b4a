"""Runs of the demonstration model: what they are given, and what it may not be asked."""

from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.schema_text import parse_schema
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import UsageError
from acp_agent.fleet.demonstration import WARNING, demonstrated
from acp_agent.fleet.plan import Agent, Job, Target
from acp_agent.fleet.resolve import Site
from acp_agent.llm.closed import with_no_answer
from acp_agent.llm.demonstration import MODEL, facts_in
from acp_agent.testing.repos import make_repo

SCHEMA = parse_schema("has_tests: bool")
JOB = Job(prompt="what is it?", read_only=True, answer_schema=SCHEMA)


def target(root: Path, *models: str) -> Target:
    agent = Agent(models=models, limits=Limits(), role_prompt="You are a coder.")
    return Target(agent=agent, site=Site(project=root.name, root=root, instructions="Use tabs."))


async def test_it_is_given_facts_in_place_of_tools(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "api", {"README.md": "An API.\n", "main.py": "x = 1\n"})
    job, (prepared,), warnings = await demonstrated(JOB, [target(repo, MODEL)])
    assert (job.answer_schema, warnings) == (with_no_answer(SCHEMA), (WARNING,))
    assert facts_in(prepared.agent.role_prompt) == [
        ("Project", "api"),
        ("README", "An API."),
        ("Files", "README.md, main.py"),
        ("Main language", "Python"),
        ("Has tests", "no"),
    ]
    assert prepared.site.instructions == ""


@pytest.mark.parametrize(
    ("models", "changes", "said"),
    [
        ([MODEL], {"read_only": False}, f"only the demonstration model {MODEL} is there, and it changes no files"),
        ([MODEL], {"answer_schema": None}, f"the demonstration model {MODEL} answers only closed questions"),
        ([MODEL], {"answer_schema": parse_schema("a: list[str]")}, "schema: a is of type array"),
        ([MODEL, "openai/a"], {}, f"{MODEL} and openai/a do not work together"),
        (["demo/large"], {}, "there is no model demo/large"),
    ],
)
async def test_what_it_cannot_do_is_a_usage_error_with_a_way_out(
    tmp_path: Path, models: list[str], changes: dict[str, Any], said: str
) -> None:
    job = Job(**{"prompt": "x", "read_only": True, "answer_schema": SCHEMA, **changes})
    with pytest.raises(UsageError) as refused:
        await demonstrated(job, [target(tmp_path, *models)])
    assert refused.value.what == said
    assert refused.value.hint
