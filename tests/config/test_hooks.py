"""Hooks in the two files: what they become, what is wrong, and that a project's need trust."""

from pathlib import Path

import pytest

from acp_agent.config.hook_tables import hooks_of
from acp_agent.config.projects import load_projects
from acp_agent.config.projects import problems as projects_problems
from acp_agent.config.session_hooks import hooks_for
from acp_agent.config.settings import load_settings, settings_problems
from acp_agent.config.trust import require_trust, trust
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.hook import Hook

OWN = """\
[[hooks.before_tool]]
match = "shell|fetch"
run = "check.sh"
timeout = "30s"
[[hooks.before_tool]]
run = "log.sh"
sandbox = false
[[hooks.after_run]]
run = "notify.sh"
"""


def test_the_hooks_of_a_user_are_named_by_their_place(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(OWN, encoding="utf-8")
    table = load_settings({"ACP_CONFIG": str(file)}).table.hooks
    assert hooks_of(table, "config.toml") == (
        Hook(
            event="before_tool",
            name="config.toml: hooks.before_tool[0]",
            run="check.sh",
            match="shell|fetch",
            timeout=30.0,
        ),
        Hook(event="before_tool", name="config.toml: hooks.before_tool[1]", run="log.sh", sandbox=False),
        Hook(event="after_run", name="config.toml: hooks.after_run[0]", run="notify.sh"),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[[hooks.before_tools]]\nrun = "x"\n', "config.toml:1: hooks.before_tools: unknown key"),
        ('[[hooks.before_run]]\nmatch = "x"\nrun = "x"\n', "config.toml:2: hooks.before_run[0].match: unknown key"),
        ('[[hooks.before_tool]]\nmatch = "x"\n', "config.toml:1: hooks.before_tool[0].run: is missing"),
        ('[hooks.before_tool]\nrun = "x"\n', "config.toml:1: hooks.before_tool: should be a list"),
        (
            '[[hooks.before_tool]]\nrun = "x"\ntimeout = "1h"\n',
            "config.toml:3: hooks.before_tool[0].timeout: should be at most 10m: everything waits for a hook",
        ),
        (
            '[[hooks.before_tool]]\nrun = "x"\nsandbox = "no"\n',
            "config.toml:3: hooks.before_tool[0].sandbox: should be true or false",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(text, encoding="utf-8")
    assert [str(one) for one in settings_problems({"ACP_CONFIG": str(tmp_path / "config.toml")})] == [problem]


def test_a_projects_hooks_need_trust_and_cannot_leave_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, state = Path("projects.toml"), tmp_path / "state"
    file.write_text('version = 1\n[[hooks.before_tool]]\nmatch = "shell"\nrun = "check.sh"\n', encoding="utf-8")
    found = load_projects(file)
    assert found.hooks == (
        Hook(event="before_tool", name="projects.toml: hooks.before_tool[0]", run="check.sh", match="shell"),
    )
    with pytest.raises(Refused, match=r"hooks.before_tool\[0\] 'check.sh' \(new\)"):
        require_trust(file, found.commands(), state)
    trust(file, state)
    require_trust(file, found.commands(), state)
    file.write_text(file.read_text().replace("check.sh", "other.sh"), encoding="utf-8")
    with pytest.raises(Refused):
        require_trust(file, load_projects(file).commands(), state)
    file.write_text('version = 1\n[[hooks.before_run]]\nrun = "x"\nsandbox = false\n', encoding="utf-8")
    assert [str(one) for one in projects_problems(file)] == [
        "projects.toml:4: hooks.before_run[0].sandbox: unknown key"
    ]


def test_a_session_hears_the_hooks_of_a_trusted_project_and_never_loses_them_in_silence(tmp_path: Path) -> None:
    project, other = tmp_path / "code" / "api", tmp_path / "code" / "web"
    (project / "src").mkdir(parents=True)
    other.mkdir()
    environ = {"ACP_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    file = tmp_path / "code" / "projects.toml"
    text = 'version = 1\n[projects.api]\npath = "api"\n[[hooks.before_tool]]\nrun = "check.sh"\n'
    file.write_text(text, encoding="utf-8")
    assert hooks_for(project, environ) == ()
    trust(file, tmp_path / "state")
    heard = hooks_for(project / "src", environ)
    assert [hook.run for hook in heard] == ["check.sh"]
    assert hooks_for(other, environ) == ()
    file.write_text(text.replace("check.sh", "true"), encoding="utf-8")
    with pytest.raises(Refused, match="changed"):
        hooks_for(project, environ)
    file.write_text("broken", encoding="utf-8")
    with pytest.raises(UsageError):
        hooks_for(project, environ)
