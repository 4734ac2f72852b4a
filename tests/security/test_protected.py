"""Files that act when somebody opens the directory: no command makes or changes them, at any level, unnoticed."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import CommandResult, run_command

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]


TOOLS = (
    "bash", "cat", "chmod", "dirname", "git", "grep", "ln", "ls", "mkdir", "mv", "printf", "readlink", "rm", "sh",
    "touch",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with one commit, and files of editors and agents in it."""
    folder = tmp_path / "project"
    (folder / ".vscode").mkdir(parents=True)
    (folder / ".vscode/settings.json").write_text("{}")
    (folder / ".agents/skills/x").mkdir(parents=True)
    (folder / ".agents/skills/x/SKILL.md").write_text("---\n")
    (folder / "app.py").write_text("pass\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture(params=["bwrap", "landlock", "none"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Each level in turn, forced as a machine would force it."""
    state = tmp_path / "state"
    if request.param == "none":
        return Sandbox(level="off", state=state)
    if request.param == "landlock":
        tools = tmp_path / "tools"
        tools.mkdir()
        for name in TOOLS:
            (tools / name).symlink_to(shutil.which(name) or name)
        monkeypatch.setenv("PATH", str(tools))
    return Sandbox(state=state)


async def ran(root: Path, sandbox: Sandbox, command: str) -> CommandResult:
    return await run_command(command, workspace=root, timeout=20, sandbox=sandbox)


def contents(root: Path) -> dict[str, str]:
    """Every file, and where links lead; without git's own that change as it works."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_text("utf-8", "replace")
        for path in sorted(root.rglob("*"))
        if (path.is_symlink() or path.is_file()) and path.name != "index"
    }


PLANTED = (
    ".mcp.json",
    ".vscode/tasks.json",
    ".envrc",
    ".claude/settings.json",
    "projects.toml",
    ".agents/skills/y/SKILL.md",
    ".git/commondir",
    ".git/hooks/post-checkout",
    ".git/config.worktree",
    ".git/info/attributes",
)


async def test_what_a_command_plants_is_moved_aside_and_told(root: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    before = contents(root)
    plant = " ".join(PLANTED)
    command = f'for file in {plant}; do mkdir -p "$(dirname "$file")" && echo evil > "$file"; done; echo ok > app.py'
    ended = await ran(root, sandbox, command)
    assert contents(root) == {**before, "app.py": "ok\n"}
    told = [line.split(":")[0].removeprefix("made ") for line in ended.confinement.tampered]
    kept = {path.name for path in (tmp_path / "state/quarantine").glob("*/*")}
    assert {name for name in PLANTED if any(name.startswith(one) for one in told)} >= {".mcp.json", ".git/commondir"}
    assert {".mcp.json", "commondir"} <= kept
    if ended.sandbox != "bwrap":
        # There nothing holds it while it is made.
        assert len(told) == len(PLANTED)


async def test_what_a_command_changes_is_put_back(root: Path, sandbox: Sandbox) -> None:
    before = contents(root)
    ended = await ran(
        root,
        sandbox,
        "git config core.fsmonitor evil; echo x >> .git/config; rm -rf .git/hooks; rm -rf .vscode; ln -s /tmp .vscode;"
        " chmod 777 .agents/skills/x/SKILL.md; echo x > .agents/skills/x/SKILL.md; rm -rf .agents; true",
    )
    assert contents(root) == before
    assert (ended.confinement.tampered == ()) is (ended.sandbox == "bwrap")


async def test_a_link_in_gits_directory_does_not_lead_it_out(root: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.write_text("mine\n")
    ended = await ran(root, sandbox, f"rm -f .git/logs/HEAD; ln -s {profile} .git/logs/HEAD; ln -s {profile} .git/X")
    assert [line.split(":")[0] for line in ended.confinement.tampered] == [
        "made the link .git/X",
        "made the link .git/logs/HEAD",
    ]
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "; rm -rf"], cwd=root, check=True)
    assert profile.read_text() == "mine\n"


async def test_a_repository_planted_as_a_submodule_runs_nothing(root: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    await ran(
        root,
        sandbox,
        "git init -q sub && cd sub && git commit -q --allow-empty -m x && printf '#!/bin/sh\\ntouch "
        f"{proof}\\n' > .git/run && chmod +x .git/run && echo '[core] fsmonitor = .git/run' >> .git/config && cd .. "
        "&& git add sub",
    )
    subprocess.run(["git", "status"], cwd=root, check=True, capture_output=True)
    assert not proof.exists()


async def test_a_new_repository_may_be_made_as_long_as_it_is_plain(tmp_path: Path, sandbox: Sandbox) -> None:
    root = tmp_path / "new"
    root.mkdir()
    good = await ran(root, sandbox, "git init -q && git commit -q --allow-empty -m first && git log --format=%s")
    assert (good.output, good.confinement.tampered) == ("first\n", ())
    other = tmp_path / "other"
    other.mkdir()
    bad = await ran(other, sandbox, "git init -q && git config alias.st '!touch x'")
    assert not (other / ".git").exists()
    assert [line.split(":")[0] for line in bad.confinement.tampered] == ["made .git"]


async def test_git_replaced_as_a_whole_is_told(root: Path, sandbox: Sandbox) -> None:
    ended = await ran(root, sandbox, "mv .git old && git init -q")
    if ended.sandbox == "bwrap":
        assert (ended.exit_status, ended.confinement.tampered) == (1, ())
    else:
        assert "replaced .git as a whole: not undone, look at it before you use git here" in ended.confinement.tampered


async def test_a_folder_called_loops_is_anybodys(root: Path, sandbox: Sandbox) -> None:
    command = "mkdir -p loops src/loops && echo x > loops/music.py && echo x > src/loops/app.md"
    assert (await ran(root, sandbox, command)).confinement.tampered == ()
    assert (root / "loops/music.py").exists()


@pytest.mark.parametrize(
    "command",
    [
        "echo evil > loops/night.md; echo evil > loops/other.toml; rm loops/dawn.toml; true",
        "mv loops elsewhere; mkdir loops; echo evil > loops/night.md; true",
        "mv loops elsewhere; mkdir evil; echo evil > evil/night.md; ln -s evil loops; true",
        "mv loops elsewhere; echo evil > loops; true",
    ],
)
async def test_the_files_of_loops_stay_as_they_are(root: Path, sandbox: Sandbox, command: str) -> None:
    (root / "loops").mkdir()
    (root / "loops/night.md").write_text("mine")
    (root / "loops/dawn.toml").write_text("mine")
    (root / "loops/tool.py").write_text("anybody's")
    await ran(root, sandbox, command)
    found = {path.name: path.read_text() for path in (root / "loops").iterdir() if path.suffix != ".py"}
    assert found == {"night.md": "mine", "dawn.toml": "mine"}


async def test_a_folder_with_a_gate_in_it_is_moved_back(root: Path, sandbox: Sandbox) -> None:
    (root / "ci/steps").mkdir(parents=True)
    (root / "ci/steps/test").write_text("exit 1")
    held = replace(sandbox, protected=(root / "ci/steps/test",))
    ended = await ran(root, held, "mv ci old; mv old/steps older; mkdir -p ci/steps; echo exit 0 > ci/steps/test; true")
    assert (root / "ci/steps/test").read_text() == "exit 1"
    assert ended.confinement.tampered != ()


async def test_what_the_project_protects_stays_as_it_is(root: Path, sandbox: Sandbox) -> None:
    for name in ("tests/test_x.py", "sub/uv.lock", "sub/other"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    held = replace(sandbox, protect=("tests/**", "*.lock", "docs/**"))
    before = contents(root)
    await ran(
        root,
        held,
        "rm -rf tests; mkdir -p tests docs; echo x > tests/test_y.py; echo x > docs/index.md; echo x > sub/uv.lock;"
        " mv sub sub2; echo x > new.lock; true",
    )
    after = contents(root)
    names = ("tests/test_x.py", "tests/test_y.py", "docs/index.md", "sub/uv.lock", "sub2/uv.lock", "new.lock")
    assert {name: after.get(name) for name in names} == {name: before.get(name) for name in names}
    assert (await ran(root, held, "mkdir -p src sub && echo x > sub/other")).confinement.tampered == ()
