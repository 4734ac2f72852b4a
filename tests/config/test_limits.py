"""Limits of reach: the user's, a role's in their place, a project's only where they are tighter."""

from pathlib import Path

import pytest

from acp_agent.config.limits_tables import UNLIMITED, LimitsTable, run_limits, with_batch
from acp_agent.config.projects import load_projects
from acp_agent.config.settings import load_settings
from acp_agent.domain.blast import BlastLimits
from acp_agent.domain.errors import UsageError

CONFIG = """\
[limits]
protect_ignored = true
[limits.run]
files = 20
deletions = "none"
wall_time = "8h"
[limits.batch]
files = 50
wall_time = "72h"
[roles.careful.limits]
files = 5
"""
PROJECTS = """\
version = 1
[defaults.limits]
files = 10
lines = 100
[projects.api]
path = "."
protect_ignored = true
limits = { lines = 900 }
[projects.web]
path = "."
"""


def test_a_project_tightens_and_never_widens(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "projects.toml").write_text(PROJECTS)
    settings = load_settings({"ACP_CONFIG": str(tmp_path / "config.toml")})
    projects = load_projects(tmp_path / "projects.toml").projects
    user, careful = settings.table.limits, settings.role("careful").limits
    assert (projects["api"].limits, projects["web"].limits) == (
        LimitsTable(files=10, lines=900),
        LimitsTable(files=10, lines=100),
    )
    assert (projects["api"].protect_ignored, projects["web"].protect_ignored, user.protect_ignored) == (
        True,
        False,
        True,
    )
    mine = run_limits(user, None, None)
    assert mine == BlastLimits(files=20, deletions=UNLIMITED, wall_time=8 * 3600.0)
    assert run_limits(user, careful, projects["web"].limits) == mine.model_copy(update={"files": 5, "lines": 100})
    assert run_limits(user, None, LimitsTable.model_validate({"files": 1000, "wall_time": "300h"})) == mine
    both = with_batch(mine, user)
    assert (both.shared["files"], both.shared["repositories"], both.batch_time) == (50, 200, 72 * 3600.0)


def test_a_bound_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[limits.run]\nfiles = 1\npushes = "many"\n')
    with pytest.raises(UsageError, match=r':3: limits\.run\.pushes: should be a whole number, 0 or more, or "none"'):
        load_settings({"ACP_CONFIG": str(tmp_path / "config.toml")})
