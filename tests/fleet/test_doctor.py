"""The doctor lists everything that is wrong, each problem in a row of its own."""

from pathlib import Path

import pytest

from acp_agent.fleet.doctor import Check, diagnose

pytestmark = pytest.mark.anyio
CONFIG = """\
[models.main]
chian = ["openai/small"]
[budgte]
per_day = 1.0
"""
PROJECTS = """\
version = 1
[targets.odd]
expr = "python &&"
[projects.api]
path = "nowhere"
[projects.web]
path = "."
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "ACP_HOME": str(tmp_path / "state"),
        "ACP_CONFIG": str(tmp_path / "config.toml"),
        "ACP_MODEL": "openai/small",
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }


def rows(checks: list[Check], name: str) -> list[tuple[bool | None, str, str | None]]:
    return [(check.ok, check.detail.rpartition("/")[2], check.hint) for check in checks if check.name == name]


async def test_every_problem_of_config_toml_has_a_row(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    checks = await diagnose(environ, tmp_path)
    assert rows(checks, "config") == [
        (False, "config.toml:1: models.main.chain: is missing", None),
        (False, "config.toml:2: models.main.chian: unknown key", "did you mean 'chain'?"),
        (False, "config.toml:3: budgte: unknown key", "did you mean 'budget'?"),
    ]
    assert rows(checks, "model") == [(None, "not looked for: the config says which", "mend the config first")]


async def test_every_problem_of_projects_toml_has_a_row(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "projects.toml").write_text(PROJECTS)
    checks = await diagnose(environ, tmp_path)
    found = [check for check in checks if check.name == "projects"]
    assert [check.ok for check in found] == [False, False, False]
    assert ["targets.odd.expr" in found[0].detail, "projects.api.path" in found[1].detail] == [True, True]
    assert "is not in a git repository" in found[2].detail


async def test_the_model_in_use_is_named_with_where_it_was_named(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[models.main]\nchain = ["openai/large"]\n')
    assert rows(await diagnose(environ, tmp_path), "model") == [(True, "small (ACP_MODEL: named by you)", None)]
    del environ["ACP_MODEL"]
    assert rows(await diagnose(environ, tmp_path), "model") == [(True, "large (config.toml: named by you)", None)]


async def test_a_rule_that_never_decides_anything_is_a_note(environ: dict[str, str], tmp_path: Path) -> None:
    shel = '[[policy.rules]]\nverdict = "deny"\ntool = "shel"\n'
    fetch = '[[policy.rules]]\nverdict = "ask"\ntool = "fetch"\n'
    (tmp_path / "config.toml").write_text(shel + fetch)
    (found,) = [check for check in await diagnose(environ, tmp_path) if check.name == "rules"]
    assert found.ok is None
    assert found.detail.endswith("config.toml:1: deny shel never decides anything: no tool is called shel")
    (tmp_path / "config.toml").write_text(fetch)
    assert rows(await diagnose(environ, tmp_path), "rules") == [(True, "1, each checked with its examples", None)]
