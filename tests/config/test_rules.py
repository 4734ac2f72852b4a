# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""Rules in files: checked with their examples when they are read, and a project's file can only tighten."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from acp_agent.config.projects import load_projects, problems
from acp_agent.config.rules import idle_rules
from acp_agent.config.settings import load_settings, settings_problems
from acp_agent.domain.errors import UsageError
from acp_agent.domain.rules import Rule

RULES = """\
[policy]
unattended = "deny"
private = ["*.vault"]
[[policy.rules]]
verdict = "allow"
command = "pytest *"
match = ["pytest", "pytest -q tests"]
not_match = ["python -m pytest"]
[[policy.rules]]
verdict = "deny"
command = "git push *"
why = "releases are made by the pipeline"
match = ["/usr/bin/git -C x push"]
[[policy.rules]]
verdict = "ask"
path = "infra/**"
match = ["infra/main.tf"]
[[policy.rules]]
verdict = "deny"
tool = "fetch*"
role = "reviewer"
match = ["fetch"]
"""

BAD = """\
[[policy.rules]]
verdict = "allow"
command = "git push *"
match = ["git pull"]
[[policy.rules]]
verdict = "deny"
command = "rm *"
not_match = ["rm -rf x"]
[[policy.rules]]
verdict = "maybe"
[[policy.rules]]
verdict = "deny"
command = "a"
path = "b"
[[policy.rules]]
verdict = "deny"
tool = "edit_file"
command = "git *"
[[policy.rules]]
verdict = "deny"
command = "echo 'x"
[[policy.rules]]
verdict = "deny"
command = "a *"
match = ["a && b"]
[[policy.rules]]
verdict = "ask"
path = "src/**"
mtch = ["x"]
match = ["lib/a"]
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {"ACP_CONFIG": str(tmp_path / "config.toml")}


def test_rules_are_read_with_the_place_where_they_stand(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "config.toml").write_text(RULES)
    settings = load_settings(environ)
    assert (settings.policy.unattended, settings.private) == ("deny", ("*.vault",))
    assert settings.policy.rules == (
        Rule(verdict="allow", tool="shell", command="pytest *", where="config.toml:4"),
        Rule(
            verdict="deny",
            tool="shell",
            command="git push *",
            where="config.toml:9",
            why="releases are made by the pipeline",
        ),
        Rule(verdict="ask", path="infra/**", where="config.toml:14"),
        Rule(verdict="deny", tool="fetch*", role="reviewer", where="config.toml:18"),
    )


def test_every_wrong_rule_is_reported_with_file_and_line(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "config.toml").write_text(BAD)
    assert [f"{problem} | {problem.hint}" for problem in settings_problems(environ)] == snapshot(
        [
            "config.toml:4: policy.rules[0].match[0]: the rule does not match 'git pull' | None",
            "config.toml:8: policy.rules[1].not_match[0]: the rule matches 'rm -rf x' | None",
            "config.toml:10: policy.rules[2].verdict: should be one of deny, ask, allow | known: allow, ask, deny",
            "config.toml:11: policy.rules[3]: should name a command or a path, not both | write two rules",
            'config.toml:17: policy.rules[4].tool: has no commands: only shell has | leave tool out, or name "shell"',
            'config.toml:21: policy.rules[5].command: cannot be read as words: no closing quotation | write words, such as "git push *"',
            "config.toml:25: policy.rules[6].match[0]: should be one simple command: a line is judged command by command | None",
            "config.toml:29: policy.rules[7].mtch: unknown key | did you mean 'match'?",
            "config.toml:30: policy.rules[7].match[0]: the rule does not match 'lib/a' | None",
        ]
    )
    with pytest.raises(UsageError, match=r"^config\.toml:4: policy\.rules\[0\]\.match\[0\]: the rule does not match"):
        load_settings(environ)


def test_an_administrator_may_forbid_and_nobody_takes_that_back(tmp_path: Path, environ: dict[str, str]) -> None:
    managed = tmp_path / "managed.toml"
    managed.write_text('[[policy.rules]]\nverdict = "deny"\ntool = "fetch"\n')
    (tmp_path / "config.toml").write_text('[[policy.rules]]\nverdict = "allow"\ntool = "fetch"\n')
    policy = load_settings({**environ, "ACP_MANAGED_CONFIG": str(managed)}).policy
    assert [(rule.scope, rule.verdict, rule.where) for rule in policy.rules] == [
        ("managed", "deny", "managed.toml:1"),
        ("user", "allow", "config.toml:1"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "managed.toml: no such file"),
        ("[policy\n", "managed.toml:1: broken TOML"),
        ("[models.main]\nchain = ['a/b']\n", "managed.toml:1: models: unknown key"),
        ('[[policy.rules]]\nverdict = "deny"\ntool = "a"\nmatch = ["b"]\n', "managed.toml:4: policy.rules"),
    ],
)
def test_an_administrators_file_that_cannot_be_read_stops_everything(
    tmp_path: Path, environ: dict[str, str], text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "managed.toml").write_text(text)
    environ = {**environ, "ACP_MANAGED_CONFIG": str(tmp_path / "managed.toml")}
    (tmp_path / "config.toml").touch()
    with pytest.raises(UsageError) as error:
        load_settings(environ)
    assert error.value.what.startswith(said)
    assert str(settings_problems(environ)[0]).startswith(said)


def test_a_rule_of_a_project_that_allows_is_refused_when_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "projects.toml"
    file.write_text('version = 1\n[projects.a]\npath = "."\n[[policy.rules]]\nverdict = "allow"\ntool = "shell"\n')
    assert [f"{problem} | {problem.hint}" for problem in problems(file)] == snapshot(
        [
            "projects.toml:5: policy.rules[0].verdict: a project's file can only tighten: deny or ask | what is allowed stands in your own config.toml"
        ]
    )
    file.write_text(file.read_text().replace("allow", "ask"))
    assert load_projects(file).rules == (Rule(verdict="ask", scope="project", tool="shell", where="projects.toml:4"),)


def test_rules_that_can_never_decide_anything_are_found() -> None:
    rules = (
        Rule(verdict="allow", tool="shell", command="git *", where="c:1"),
        Rule(verdict="deny", tool="shel", where="c:2"),
        Rule(verdict="deny", tool="shell", command="git *", where="c:3"),
        Rule(verdict="ask", tool="fetch", where="c:4"),
        Rule(verdict="ask", tool="fetch", role="coder", where="c:5"),
        Rule(verdict="deny", tool="*_file", path="a", where="c:6"),
    )
    found = [(rule.where, why) for rule, why in idle_rules(rules, frozenset(("shell", "fetch", "edit_file")))]
    assert found == [
        ("c:1", 'deny shell "git *" (c:3) decides before it'),
        ("c:2", "no tool is called shel"),
        ("c:5", "ask fetch (c:4) decides before it"),
    ]
