"""`acp undo` and `/undo` as a person meets them: real processes, a real repository, a model server with a script."""

import json
import os
import subprocess
from pathlib import Path

from acp_agent.testing import warm
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import git, make_repo
from acp_agent.testing.script import Rule, Step

WRITE = Step(tools=[("write_file", {"path": "new.txt", "content": "new\n"})])
SCRIPT = [Rule(contains="write it", turns=[WRITE, Step(text="Done.")], since="prompt")]


def acp(server: ModelServer, cwd: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-x"}
    return warm.run(*words, cwd=cwd, environment=environment, stdin=stdin)


def test_a_turn_of_a_conversation_is_undone_and_brought_back(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    with ModelServer(SCRIPT) as server:
        said = acp(server, project, "chat", "--mode", "edit", stdin="write it\n/undo\n")
        assert (said.returncode, said.stderr) == (0, said.stderr)
        assert "undone: 1 file" in said.stdout + said.stderr
        assert not (project / "new.txt").exists()
        said = acp(server, project, "chat", "--resume", stdin="/undo back\n")
        assert "brought back: 1 file" in said.stdout + said.stderr
        assert (project / "new.txt").read_text() == "new\n"
        said = acp(server, project, "chat", "--resume", stdin="/undo\n/undo\n")
        assert said.returncode == 5
        assert "nothing in this session is left to undo" in said.stderr


def test_a_result_is_undone_where_it_stands_or_reverted_where_it_was_accepted(tmp_path: Path) -> None:
    project = make_repo(tmp_path / "project", {"a.txt": "alpha\n"})
    with ModelServer(SCRIPT) as server:
        ran = acp(server, project, "run", "write it", ".", "-o", "json")
        assert ran.returncode == 0, ran.stderr
        batch = json.loads(ran.stdout)["batch"]
        listed = acp(server, project, "undo", batch, "--list")
        assert "step 1" not in listed.stdout
        assert "   1  Write new.txt: new.txt" in listed.stdout
        wrong = acp(server, project, "undo", batch, "--to", "9")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "took 2 steps, not 9" in wrong.stderr
        worktree = next(path for path in (Path(os.environ["ACP_HOME"]) / "worktrees").rglob("new.txt"))
        worktree.write_text("a person's\n")
        refused = acp(server, project, "undo", batch)
        assert refused.returncode == 6
        assert "nothing was changed: new.txt (it was changed since)" in refused.stderr
        worktree.write_text("new\n")
        assert acp(server, project, "accept", batch).returncode == 0
        (project / "a.txt").write_text("dirty\n")
        assert acp(server, project, "undo", batch).returncode == 6
        git(project, "checkout", "a.txt")
        reverted = acp(server, project, "undo", batch)
        assert (reverted.returncode, "reverted on main, now at" in reverted.stdout) == (0, True)
        shown = acp(server, project, "show", batch)
        assert "undone" in shown.stdout
    assert not (project / "new.txt").exists()
