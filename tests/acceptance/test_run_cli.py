"""`acp run` as a person meets it: real processes, real repositories, a model server that follows a script."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing import warm
from acp_agent.testing.killer import Victim
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import Fleet, git, make_fleet, tree
from acp_agent.testing.script import Rule, Step

ROOT = Path(__file__).parents[2]
NAMES = ("api", "web", "worker")
MAIN = "def main() -> int:\n    return 0\n"
EDITED = 'def main() -> int:\n    """Begin."""\n    return 0\n'
PROMPT = "add a docstring to main"

EDIT = Rule(
    contains=PROMPT,
    turns=[
        Step(tools=[("read_file", {"path": "main.py"})]),
        Step(
            tools=[
                ("edit_file", {"path": "main.py", "edits": [{"old": "int:\n", "new": 'int:\n    """Begin."""\n'}]}),
                ("write_file", {"path": "NOTES.md", "content": "documented\n"}),
            ]
        ),
        Step(text="Both files are done."),
    ],
)
BROKEN = Rule(anywhere="The broken one", reply=Step(status=400, error={"message": "no such thing", "type": "invalid"}))
ENDLESS = Rule(contains="never stop", turns=[Step(tools=[("list_files", {"path": "."})])], repeat_last=True)
QUESTION = Rule(contains="what kind", reply=Step(text='{"kind": "library", "files": 2, "notes": ["a", "b"]}'))


def files_of(name: str) -> dict[str, str]:
    return {"main.py": MAIN} | ({"AGENTS.md": "The broken one\n"} if name == "worker-broken" else {})


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path / "code", NAMES, ["python"], files=files_of)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer([BROKEN, EDIT, QUESTION], strict=False) as running:
        yield running


def environment(server: ModelServer | None) -> dict[str, str]:
    model = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-of-the-script"} if server else {}
    return {**os.environ, **model, "PYTHONPATH": str(ROOT)}


def acp(fleet: Fleet, server: ModelServer | None, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return warm.run(*words, cwd=fleet.projects_file.parent, environment=environment(server), stdin=stdin)


def started(fleet: Fleet, server: ModelServer, *words: str) -> Victim:
    return Victim([warm.PROGRAM, *words], cwd=fleet.projects_file.parent, environment=environment(server))


def branches(repo: Path) -> list[str]:
    found = git(repo, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    return [branch for branch in found if branch != "main"]


def document(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ended.stdout, ended.stderr
    parsed: dict[str, Any] = json.loads(ended.stdout)
    return parsed


def outcomes(result: dict[str, Any], *keys: str) -> list[Sequence[Any]]:
    return [tuple(row[key] for key in keys) for row in result["projects"]]


def test_a_prompt_reaches_three_repositories(fleet: Fleet, server: ModelServer) -> None:
    ended = acp(fleet, server, "run", PROMPT, "--tags=python")
    assert ended.returncode == 0, ended.stderr
    for name, repo in fleet.repos.items():
        (branch,) = branches(repo)
        assert branch.startswith("acp/b_")
        assert branch.endswith(f"/{name}")
        assert git(repo, "rev-list", "--count", f"main..{branch}") == "1"
        assert tree(repo, branch) == {"main.py": EDITED, "NOTES.md": "documented\n"}
        assert git(repo, "status", "--porcelain") == ""
        assert git(repo, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert "3/3 done" in ended.stdout
    assert "Both files are done." in ended.stdout
    assert "acp accept b_" in ended.stdout
    assert ended.stderr.startswith("3 projects: api, web, worker\nmodel: openai/test-model")
    assert "\x1b" not in ended.stdout + ended.stderr


def test_nothing_selected_exits_5_and_says_how_to_select(fleet: Fleet, server: ModelServer) -> None:
    for words in ((), ("--tags=rust",), ("-p", "nobody")):
        ended = acp(fleet, server, "run", PROMPT, *words)
        assert (ended.returncode, ended.stdout) == (5, "")
        assert ended.stderr.startswith("acp: ")
    assert server.requests == ()


def test_one_project_whose_model_fails_exits_1_with_the_others_results(tmp_path: Path, server: ModelServer) -> None:
    fleet = make_fleet(tmp_path / "code", ("api", "web", "worker-broken"), ["python"], files=files_of)
    ended = acp(fleet, server, "run", PROMPT, "--all", "-o", "json")
    result = document(ended)
    assert ended.returncode == 1
    assert outcomes(result, "project", "outcome", "files") == [
        ("api", "ok", 2),
        ("web", "ok", 2),
        ("worker-broken", "failed", 0),
    ]
    assert result["exit"]["code"] == 1
    assert "no such thing" in result["projects"][2]["message"]


def test_a_step_limit_exits_3_with_the_partial_result_committed(fleet: Fleet, server: ModelServer) -> None:
    ended = acp(fleet, server, "run", PROMPT, "-p", "api", "--max-steps", "2", "-o", "json")
    result = document(ended)
    assert (ended.returncode, result["exit"]) == (3, {"code": 3, "reason": "max_steps"})
    assert outcomes(result, "outcome", "reason", "files") == [("limit", "max_steps", 2)]
    assert tree(fleet.repos["api"], branches(fleet.repos["api"])[0])["main.py"] == EDITED


def test_json_lines_are_the_events_and_nothing_else(fleet: Fleet, server: ModelServer) -> None:
    ended = acp(fleet, server, "run", PROMPT, "-p", "api", "-o", "jsonl")
    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0
    runs = [row for row in rows if "run" in row]
    assert [row["seq"] for row in runs] == list(range(1, len(runs) + 1))
    assert (runs[0]["type"], runs[-1]["type"]) == ("run_started", "run_ended")
    assert {row["project"] for row in runs} == {"api"}
    assert ended.stderr == ""


def test_quiet_says_nothing(fleet: Fleet, server: ModelServer) -> None:
    ended = acp(fleet, server, "run", PROMPT, "-p", "api", "-o", "quiet")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_plan_spends_and_writes_nothing(fleet: Fleet, server: ModelServer) -> None:
    ended = acp(fleet, server, "run", PROMPT, "--all", "--plan", "-o", "json")
    plan = document(ended)
    assert ended.returncode == 0
    assert [project["project"] for project in plan["projects"]] == list(NAMES)
    assert plan["models"] == ["openai/test-model"]
    assert [branches(repo) for repo in fleet.repos.values()] == [[], [], []]
    assert not [request for request in server.requests if request.is_chat]
    assert "api" in acp(fleet, server, "run", PROMPT, "--all", "--plan").stdout


def test_a_schema_makes_a_column_for_each_field(fleet: Fleet, server: ModelServer) -> None:
    schema = "kind: library|app, files: int, notes: list[str]"
    ended = acp(fleet, server, "run", "what kind is it?", "--all", "--read-only", "--schema", schema)
    head, first, *_ = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert head.split()[:5] == ["project", "result", "kind", "files", "notes"]
    assert first.split()[0] == "api"
    assert "library  2      a, b" in first
    assert branches(fleet.repos["api"]) == []


def test_results_are_shown_accepted_and_rejected(fleet: Fleet, server: ModelServer) -> None:
    batch = document(acp(fleet, server, "run", PROMPT, "--all", "-o", "json"))["batch"]
    patch = acp(fleet, server, "diff", f"{batch}/api").stdout
    assert '+    """Begin."""' in patch.splitlines()
    assert "NOTES.md" in acp(fleet, server, "diff", f"{batch}/api", "--stat").stdout

    assert acp(fleet, server, "reject", f"{batch}/web", "-m", "not now").returncode == 0
    assert branches(fleet.repos["web"]) == []
    assert git(fleet.repos["web"], "for-each-ref", "refs/acp/rejected") != ""

    accepted = acp(fleet, server, "accept", batch)
    assert accepted.returncode == 0, accepted.stderr
    assert [line.split(":")[0] for line in accepted.stdout.splitlines()] == [f"{batch}/api", f"{batch}/worker"]
    assert tree(fleet.repos["api"], "main")["main.py"] == EDITED
    assert tree(fleet.repos["web"], "main") == {"main.py": MAIN}
    assert acp(fleet, server, "accept", batch).returncode == 5


def test_a_dirty_checkout_is_not_merged_into(fleet: Fleet, server: ModelServer) -> None:
    batch = document(acp(fleet, server, "run", PROMPT, "-p", "api", "-o", "json"))["batch"]
    (fleet.repos["api"] / "main.py").write_text("mine\n")
    ended = acp(fleet, server, "accept", batch)
    assert (ended.returncode, ended.stdout) == (6, "")
    assert (fleet.repos["api"] / "main.py").read_text() == "mine\n"


def test_the_log_and_the_status_tell_the_same_story(fleet: Fleet, server: ModelServer) -> None:
    batch = document(acp(fleet, server, "run", PROMPT, "--all", "-o", "json"))["batch"]
    assert acp(fleet, server, "show", batch).stdout.splitlines()[0] == "status    3 ✓ ok"
    assert acp(fleet, server, "show", f"{batch}/api").stdout.splitlines()[0] == "status    ✓ ok: end_turn"
    log = acp(fleet, server, "logs", "-f", batch).stdout
    assert sum(line.endswith("  ended: end_turn") and batch not in line for line in log.splitlines()) == 3
    assert batch in acp(fleet, server, "ps").stdout
    assert acp(fleet, server, "resume", batch).returncode == 5


def test_a_directory_needs_no_projects_file(tmp_path: Path, fleet: Fleet, server: ModelServer) -> None:
    fleet.projects_file.unlink()
    ended = acp(fleet, server, "run", PROMPT, "api", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert len(branches(fleet.repos["api"])) == 1


def test_the_prompt_may_come_from_a_file_or_from_stdin(fleet: Fleet, server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "task.md").write_text(PROMPT)
    assert acp(fleet, server, "run", "-f", str(tmp_path / "task.md"), "-p", "api").returncode == 0
    assert acp(fleet, server, "run", "-f", "-", "-p", "web", stdin=PROMPT).returncode == 0


def test_without_a_model_it_says_how_to_get_one(fleet: Fleet) -> None:
    ended = acp(fleet, None, "run", PROMPT, "--all")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 2)
    assert ended.stderr.splitlines()[1].startswith("hint: ")


def test_the_result_goes_to_the_file_that_is_named(fleet: Fleet, server: ModelServer, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    ended = acp(fleet, server, "run", PROMPT, "-p", "api", "-o", "json", "--out", str(out))
    assert (ended.returncode, ended.stdout) == (0, "")
    assert json.loads(out.read_text())["exit"] == {"code": 0, "reason": "end_turn"}
    ended = acp(fleet, server, "run", PROMPT, "-p", "web", "--out", str(tmp_path / "none" / "x"))
    assert (ended.returncode, branches(fleet.repos["web"])) == (2, [])


STALL = Rule(contains="wait for me", turns=[Step(text="done", delay=30.0)], times_each=1)
DONE = Rule(contains="wait for me", reply=Step(text="done"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_gracefully_and_resume_goes_on(fleet: Fleet, number: int, code: int) -> None:
    with ModelServer([STALL, DONE], strict=False) as server:
        with started(fleet, server, "run", "wait for me", "-p", "api", "-o", "json") as victim:
            server.wait_for_requests(1, where=lambda request: request.is_chat)
            victim.signal(number)
            ending = victim.wait()
        assert ending.exit_code == code, ending.errors
        batch = json.loads(ending.output)["batch"]
        assert f"interrupted; continue with: acp resume {batch}" in ending.errors.splitlines()
        resumed = acp(fleet, server, "resume", batch, "-o", "json")
        assert resumed.returncode == 0, resumed.stderr
        assert outcomes(document(resumed), "outcome", "text") == [("ok", "done")]


def test_the_second_signal_kills_at_once(fleet: Fleet) -> None:
    with ModelServer([STALL, DONE], strict=False) as server:
        with started(fleet, server, "run", "wait for me", "-p", "api") as victim:
            server.wait_for_requests(1, where=lambda request: request.is_chat)
            victim.signal(signal.SIGINT)
            victim.wait_for_line("once more to kill at once", stream="stderr")
            victim.signal(signal.SIGINT)
            assert victim.wait().exit_code == 130
        assert acp(fleet, server, "resume").returncode == 0


def test_an_approval_parks_the_run_until_it_is_answered(fleet: Fleet, server: ModelServer) -> None:
    Path(os.environ["ACP_CONFIG"]).write_text('[roles.coder]\npolicy = "ask"\n')
    ended = acp(fleet, server, "run", PROMPT, "-p", "api", "-o", "json")
    batch = document(ended)["batch"]
    assert (ended.returncode, document(ended)["exit"]) == (4, {"code": 4, "reason": "approval"})
    assert "acp approve" in acp(fleet, server, "approve", "--list").stdout
    assert acp(fleet, server, "approve", batch, "--skip").returncode == 2
    assert acp(fleet, server, "approve", batch, "--no-resume").returncode == 0
    assert acp(fleet, server, "resume", batch).returncode == 4
    ended = acp(fleet, server, "approve", "-o", "json")
    assert ended.returncode == 0, ended.stderr
    assert outcomes(document(ended), "outcome", "files") == [("ok", 2)]


def test_cancel_ends_a_waiting_run(fleet: Fleet, server: ModelServer) -> None:
    Path(os.environ["ACP_CONFIG"]).write_text('[roles.coder]\npolicy = "ask"\n')
    batch = document(acp(fleet, server, "run", PROMPT, "-p", "api", "-o", "json"))["batch"]
    assert acp(fleet, server, "cancel", batch).returncode == 0
    assert acp(fleet, server, "show", batch).stdout.splitlines()[0] == "status    ○ cancelled"
    assert acp(fleet, server, "resume", batch).returncode == 5
    assert acp(fleet, server, "cancel", batch).returncode == 5


def on_a_terminal(fleet: Fleet, server: ModelServer, *words: str, typed: bytes = b"") -> tuple[int, str]:
    """Run `acp` on a pseudo-terminal of 40 by 20; returns its exit code and all it drew."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(fleet.projects_file.parent)
        command = [sys.executable, "-m", "acp_agent.main", *words]
        os.execve(sys.executable, command, {**environment(server), "TERM": "xterm", "COLUMNS": "40", "LINES": "20"})
    os.write(master, typed)
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while data := os.read(master, 65536):
            drawn += data
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), drawn.decode()


def test_a_terminal_gets_a_live_table_and_then_the_result(fleet: Fleet, server: ModelServer) -> None:
    code, drawn = on_a_terminal(fleet, server, "run", PROMPT, "--all", "--yes")
    assert code == 0
    assert "step n" in drawn
    assert "\x1b[" in drawn
    assert "3/3 done" in drawn


def test_a_person_is_asked_before_anything_starts(fleet: Fleet, server: ModelServer) -> None:
    code, drawn = on_a_terminal(fleet, server, "run", PROMPT, "--all", typed=b"n\n")
    assert (code, "Start? [Y/n]" in drawn, "acp: nothing was started" in drawn) == (6, True, True)
    assert not [request for request in server.requests if request.is_chat]
