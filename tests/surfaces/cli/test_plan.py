"""What `--plan` says before anything is spent: the branches as far as they are known, and who named the model."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing.repos import make_repo

Acp = Callable[..., Any]
CONFIG = """\
[models.main]
chain = ["openai/small"]
[models.deep]
chain = ["openai/large", "openai/small"]
[roles.thinker]
model = "deep"
[roles.plain]
model = "openai/tiny"
"""
PROJECTS = """\
version = 1
[projects.api]
path = "repo"
[projects.web]
path = "repo"
model = "openai/own"
[tasks.ask]
prompt = "what is it?"
model = "deep"
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Path(os.environ["ACP_CONFIG"]).write_text(CONFIG)
    (tmp_path / "projects.toml").write_text(PROJECTS)
    monkeypatch.chdir(tmp_path)
    return make_repo(tmp_path / "repo")


@pytest.mark.parametrize(
    ("words", "variable", "source", "first"),
    [
        (("do it", "-p", "api"), "", "config.toml: alias main", "openai/small"),
        (("do it", "-p", "api", "--model", "deep"), "openai/other", "--model: alias deep", "openai/large"),
        (("do it", "-p", "api", "--model", "openai/x"), "", "--model", "openai/x"),
        (("do it", "-p", "api"), "openai/other", "ACP_MODEL", "openai/other"),
        (("do it", "-p", "web"), "deep", "ACP_MODEL: alias deep", "openai/large"),
        (("do it", "-p", "web"), "", "projects.toml", "openai/own"),
        (("do it", "-p", "api", "--role", "thinker"), "", "role thinker: alias deep", "openai/large"),
        (("do it", "-p", "api", "--role", "plain"), "", "role plain", "openai/tiny"),
        (("@ask", "-p", "web"), "", "task ask: alias deep", "openai/large"),
        (("do it", "--all"), "", "config.toml: alias main, projects.toml", "openai/small"),
    ],
)
def test_a_plan_says_who_named_the_model(
    acp: Acp,
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    variable: str,
    source: str,
    first: str,
) -> None:
    monkeypatch.setenv("ACP_MODEL", variable)
    said = acp("run", *words, "--plan", "-o", "json")
    assert said.code == 0, said.stderr
    plan = json.loads(said.stdout)
    assert (plan["model_source"], plan["models"][0]) == (source, first)


def test_a_plan_names_branches_without_an_id_that_nobody_will_see_again(acp: Acp, repo: Path) -> None:
    plan = acp("run", "do it", "--all", "--plan").stdout.splitlines()
    assert [line.split()[3] for line in plan[1:3]] == ["acp/<batch>/api", "acp/<batch>/web"]
