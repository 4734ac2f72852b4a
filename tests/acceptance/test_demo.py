"""`scripts/demo` from its first line to its last: with a server of one's own, and with the demonstration model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git, tree
from acp_agent.testing.script import Rule, Step

ROOT = Path(__file__).parents[2]
DEMO_PYTHON = os.environ.get("ACP_TEST_DEMO_PYTHON", "")
FACTS = {
    "wordcount": ("python", "yes", "6"),
    "palette": ("typescript", "yes", "6"),
    "backup": ("shell", "no", "3"),
    "handbook": ("markdown", "no", "4"),
}

with_the_model = pytest.mark.skipif(
    not DEMO_PYTHON, reason="demo: ACP_TEST_DEMO_PYTHON names no Python with acp-agent and the demonstration model"
)

ABOUT = Rule(
    contains="What is this project?",
    reply=Step(text='{"language": "python", "kind": "tool", "has_tests": true}'),
)
MEND = Rule(
    contains="count_words",
    turns=[
        Step(tools=[("read_file", {"path": "wordcount/count.py"})]),
        Step(
            tools=[
                (
                    "edit_file",
                    {"path": "wordcount/count.py", "edits": [{"old": 'text.split(" ")', "new": "text.split()"}]},
                )
            ]
        ),
        Step(text="Words are now split at white space of any kind."),
    ],
)


def demo(state: Path, python: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "scripts" / "demo")],
        cwd=state.parent,
        env={
            **os.environ,
            "ACP_HOME": str(state),
            "ACP_DEMO_PYTHON": python,
            "PYTHONPATH": str(ROOT),
            # Nothing that really listens on this machine.
            "OLLAMA_HOST": "http://127.0.0.1:9",
            "LITELLM_PROXY_API_BASE": "http://127.0.0.1:9/v1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def table_of(output: str) -> dict[str, tuple[list[str], list[str]]]:
    """The rows of the table by project: answers, and facts."""
    lines = output.partition("ANSWERS by ")[2].splitlines()[2:6]
    rows = {}
    for line in lines:
        left, _, right = line.partition(" | ")
        rows[left.split()[0]] = (left.split()[1:], right.split())
    return rows


@pytest.mark.slow
def test_with_a_server_of_ones_own_it_asks_and_makes_one_real_edit_twice(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with ModelServer([MEND, ABOUT], strict=False) as server:
        for time in (1, 2):
            ended = demo(state, sys.executable, OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-of-the-script")
            assert ended.returncode == 0, ended.stdout + ended.stderr
            rows = table_of(ended.stdout)
            assert {name: tuple(facts[:3]) for name, (_, facts) in rows.items()} == FACTS
            assert {tuple(answers) for answers, _ in rows.values()} == {("python", "tool", "yes")}
            assert "ANSWERS by openai/test-model" in ended.stdout
            assert '-    return len(text.split(" "))\n+    return len(text.split())' in ended.stdout
            assert f"{state}/acp.db" in ended.stdout
            repo = state / "demo" / "wordcount"
            branches = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/acp").split()
            assert len(branches) == time
            assert "text.split()" in tree(repo, branches[0])["wordcount/count.py"]
            assert git(repo, "status", "--porcelain") == ""


def test_a_server_that_cannot_be_used_is_said_and_no_other_model_is_taken(tmp_path: Path) -> None:
    ended = demo(tmp_path / "state", sys.executable, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert ended.returncode == 2
    assert "no model was found (OPENAI_BASE_URL: nothing answers at http://127.0.0.1:9/v1/models)" in ended.stderr
    assert "ANSWERS" not in ended.stdout


def test_a_broken_configuration_is_said(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[models\n", encoding="utf-8")
    ended = demo(tmp_path / "state", sys.executable, ACP_CONFIG=str(config))
    assert ended.returncode == 2
    assert f"{config}:1" in ended.stderr


@pytest.mark.slow
@with_the_model
def test_without_any_key_the_demonstration_model_answers_beside_the_facts(tmp_path: Path) -> None:
    ended = demo(tmp_path / "state", DEMO_PYTHON)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = table_of(ended.stdout)
    assert {name: tuple(facts[:3]) for name, (_, facts) in rows.items()} == FACTS
    for language, kind, has_tests in (answers for answers, _ in rows.values()):
        assert language in ("python", "typescript", "shell", "markdown")
        assert kind in ("library", "tool", "service", "documentation")
        assert has_tests in ("yes", "no")
    assert "ANSWERS by demonstration model, demo/smollm2-135m" in ended.stdout
    assert "To let acp change files, connect a model" in ended.stdout


@with_the_model
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mend it"], "only the demonstration model demo/smollm2-135m is there, and it changes no files"),
        (["what?", "--read-only"], "the demonstration model demo/smollm2-135m answers only closed questions"),
        (["what?", "--read-only", "--schema", "a: bool, notes: str"], "schema: notes is free text"),
    ],
)
def test_what_the_demonstration_model_cannot_do_exits_2_and_says_how_to_connect_another(
    tmp_path: Path, words: list[str], said: str
) -> None:
    ended = subprocess.run(
        [DEMO_PYTHON, "-m", "acp_agent.main", "run", *words, str(ROOT / "examples")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OLLAMA_HOST": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "connect a model" in ended.stderr
