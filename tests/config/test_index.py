"""The quick list of projects: it says what the full loader says, and leaves to it what is odd."""

from pathlib import Path

import pytest

from acp_agent.config import index
from acp_agent.config.in_force import LATER, LATER_OF_ONE
from acp_agent.config.index import ProjectEntry, read_index
from acp_agent.config.problem import FileError
from acp_agent.config.projects import load_projects
from acp_agent.config.projects_tables import (
    BudgetTable,
    DefaultsTable,
    GateTable,
    ProjectsTable,
    ProjectTable,
    TargetTable,
    TaskTable,
)
from acp_agent.config.tables import fields_of

TWO = """\
version = 1
[defaults]
gates = ["test"]
[gates]
test = { run = "pytest -q", timeout = "10m" }
[projects.api]
path = "../api"
url = "git@example.org:me/api.git"
tags = ["python", "service"]
[projects.b]
path = "~/b"
tags = ["x", "x"]
"""


def saved_at(folder: Path, text: str) -> Path:
    file = folder / "projects.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_quick_list_knows_the_same_keys_as_the_models() -> None:
    assert {
        "top": fields_of(ProjectsTable).keys(),
        "defaults": fields_of(DefaultsTable).keys(),
        "budget": fields_of(BudgetTable).keys(),
        "gates": fields_of(GateTable).keys(),
        "targets": fields_of(TargetTable).keys(),
        "projects": fields_of(ProjectTable).keys(),
        "tasks": fields_of(TaskTable).keys(),
    } == {
        "top": index.TOP_KEYS,
        "defaults": index.DEFAULTS_KEYS,
        "budget": index.BUDGET_KEYS,
        **index.NAMED_KEYS,
    }
    for name, keys in {**LATER, **LATER_OF_ONE}.items():
        known = index.NAMED_KEYS.get(name) or {"defaults": index.DEFAULTS_KEYS, "budget": index.BUDGET_KEYS}[name]
        assert known.issuperset(keys)


def test_the_quick_list_and_the_full_loader_agree(tmp_path: Path) -> None:
    file = saved_at(tmp_path, TWO)
    full = load_projects(file).projects.values()
    assert read_index(file) == tuple(ProjectEntry(item.name, item.path, item.tags, item.url) for item in full)


@pytest.mark.parametrize(
    "line", ["pth = 1", "tags = 'x'", "tags = [1]", "tags = ['a b']", "url = 3", "path = 3", "path = ''", "path = ' '"]
)
def test_the_quick_list_leaves_what_is_odd_to_the_full_loader(tmp_path: Path, line: str) -> None:
    path = "" if line.startswith("path") else "path = '.'\n"
    file = saved_at(tmp_path, f"version = 1\n[projects.a]\n{path}{line}\n")
    with pytest.raises(FileError) as full:
        load_projects(file)
    with pytest.raises(FileError) as quick:
        read_index(file)
    assert quick.value.what == full.value.what
