"""Skills as a person meets them: real processes, a repository that brings a skill, a model that takes it up."""

import os
import subprocess
from pathlib import Path

import pytest

from acp_agent.testing import warm
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import make_repo
from acp_agent.testing.script import Rule, Step

SKILL = (
    "---\nname: stamp\ndescription: How releases are stamped. Use it before a release.\n---\nRun scripts/stamp.sh.\n"
)
SCRIPT = "#!/bin/sh\necho stamped > STAMP\necho skill >> $(dirname $0)/../SKILL.md\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    files = {
        ".agents/skills/stamp/SKILL.md": SKILL,
        ".agents/skills/stamp/scripts/stamp.sh": SCRIPT,
        "a.txt": "a\n",
    }
    return make_repo(tmp_path / "repo", files=files)


def acp(cwd: Path, *words: str, server: ModelServer | None = None) -> subprocess.CompletedProcess[str]:
    model = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-of-the-script"} if server else {}
    return warm.run(*words, cwd=cwd, environment={**os.environ, **model})


@pytest.mark.bwrap
def test_a_run_takes_up_a_trusted_skill_and_runs_its_script_in_the_sandbox(repo: Path) -> None:
    script = repo / ".agents/skills/stamp/scripts/stamp.sh"
    steps = [
        Step(tools=[("activate_skill", {"name": "stamp"})]),
        Step(tools=[("shell", {"command": f"sh {script}"})]),
        Step(text="Stamped."),
    ]
    with ModelServer([Rule(turns=steps), Rule(reply=Step(text="Nothing to do."))], strict=False) as server:
        ended = acp(repo, "run", "release it", ".", "--model", "openai/test-model", server=server)
        assert ended.returncode == 0, ended.stderr
        assert "1 skill of the project is not trusted" in ended.stderr
        assert "stamp: How releases" not in str(server.requests[-1].body)
    assert acp(repo, "trust", ".").returncode == 0
    with ModelServer([Rule(turns=steps)]) as server:
        ended = acp(repo, "run", "release it", ".", "--model", "openai/test-model", server=server)
        assert ended.returncode == 0, ended.stderr
        assert "not trusted" not in ended.stderr
        assert "- stamp: How releases are stamped. Use it before a release." in str(server.requests[0].body)
        assert "Run scripts/stamp.sh." in str(server.requests[1].body)
        assert "Read-only file system" in str(server.requests[2].body)
    assert (repo / ".agents/skills/stamp/SKILL.md").read_text() == SKILL
    diff = acp(repo, "diff").stdout
    assert "+stamped" in diff
    assert "SKILL.md" not in diff
    assert "skill stamp (project) is in force" in acp(repo, "logs").stdout


def test_listing_and_checking(repo: Path) -> None:
    listed = acp(repo, "skills", "ls")
    assert listed.returncode == 0
    lines = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert "not trusted" in lines["stamp"]
    assert "acp trust .agents/skills/stamp" in lines["stamp"]
    assert "shipped" in lines["test-first"]
    assert acp(repo, "trust", ".agents/skills/stamp").returncode == 0
    assert "project" in next(line for line in acp(repo, "skills", "ls").stdout.splitlines() if line.startswith("stamp"))
    checked = acp(repo, "skills", "check")
    assert (checked.returncode, checked.stdout) == (0, "1 skill, nothing wrong\n")
    file = repo / ".agents/skills/stamp/SKILL.md"
    file.write_text(SKILL.replace("name: stamp", "name: Stamp\nmodel: x"), encoding="utf-8")
    for words in ((), (".agents/skills",), (".agents/skills/stamp",), (".agents/skills/stamp/SKILL.md",), (".",)):
        checked = acp(repo, "skills", "check", *words)
        assert checked.returncode == 2, checked.stderr
        assert checked.stdout.splitlines()[:3] == [
            ".agents/skills/stamp/SKILL.md:2: name: should be lower case",
            ".agents/skills/stamp/SKILL.md:2: name: 'Stamp' differs from its folder, 'stamp'",
            ".agents/skills/stamp/SKILL.md:3: model: unknown key",
        ]
    checked = acp(repo, "skills", "check", "nowhere")
    assert (checked.returncode, checked.stdout.splitlines()[0]) == (2, "nowhere/SKILL.md: no such file")


def test_a_person_takes_up_a_skill_in_a_chat(repo: Path) -> None:
    words = ("chat", "-p", "/stamp version 2", "--mode", "plan", "--model", "openai/test-model")
    with ModelServer([Rule(reply=Step(text="Stamped."))]) as server:
        ended = acp(repo, *words, server=server)
        assert ended.returncode == 2
        assert "there is no command /stamp" in ended.stderr
        assert acp(repo, "trust", ".").returncode == 0
        ended = acp(repo, *words, server=server)
        assert ended.returncode == 0, ended.stderr
        system, prompt = server.requests[0].body["messages"]
    assert system["content"].endswith("</skill>")
    assert "\nRun scripts/stamp.sh.\n" in system["content"]
    assert prompt["content"] == "/stamp version 2"


HOOKS = """\
version = 1
[projects.repo]
path = "repo"
tags = ["one"]
[[hooks.before_tool]]
match = "shell"
run = "grep -q 'git push' && echo 'pushes are for people' >&2 && exit 2 || exit 0"
"""


@pytest.mark.bwrap
def test_a_projects_hook_blocks_git_push_once_it_is_trusted(repo: Path) -> None:
    (repo.parent / "projects.toml").write_text(HOOKS, encoding="utf-8")
    steps = [
        Step(tools=[("shell", {"command": "git push origin main"})]),
        Step(tools=[("shell", {"command": "echo ok > b.txt"})]),
        Step(text="Done."),
    ]
    command = ("run", "publish", "-t", "one", "--model", "openai/test-model")
    with ModelServer([Rule(turns=steps)], strict=False) as server:
        ended = acp(repo.parent, *command, server=server)
        assert ended.returncode == 6
        assert "hooks.before_tool[0]" in ended.stderr
        looking = acp(repo.parent, *command, "--read-only", server=server)
        assert "1 of its hooks not trusted and not run" in looking.stderr
    assert acp(repo.parent, "trust", "projects.toml").returncode == 0
    with ModelServer([Rule(turns=steps)]) as server:
        ended = acp(repo.parent, *command, server=server)
        assert ended.returncode == 0, ended.stderr
        assert "pushes are for people" in str(server.requests[1].body)
    log = acp(repo.parent, "logs").stdout
    assert "hook projects.toml: hooks.before_tool[0] blocked" in log
    assert "+ok" in acp(repo.parent, "diff").stdout
