"""Things that went wrong elsewhere and were reported, replayed here (the year and the product are in each name)."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import CommandResult, run_command

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a home directory with credentials and other work in it."""
    home = tmp_path / "home"
    files = {
        ".aws/credentials": "AKIA-canary",
        "other/.env": "RAILWAY_TOKEN=canary",
        "photos/one.jpg": "x",
        "code/project/tests/test.py": "x",
        "code/project/plan/notes": "x",
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", "postgres://app:canary@127.0.0.1/production")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    project = home / "code/project"
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    return project


async def ran(root: Path, command: str) -> CommandResult:
    return await run_command(command, workspace=root, timeout=20, sandbox=Sandbox(state=root.parents[2] / "state"))


async def test_2025_claude_code_rm_rf_that_ended_in_home(root: Path) -> None:
    await ran(root, "rm -rf tests/ patches/ plan/ ~/")
    assert not (root / "tests").exists()
    home = Path(os.environ["HOME"])
    assert sorted(entry.name for entry in home.iterdir()) == [".aws", "code", "other", "photos"]


async def test_2025_replit_production_database_is_out_of_reach(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as database:
        database.setblocking(False)
        port = database.getsockname()[1]
        ended = await ran(root, f"echo $DATABASE_URL; (echo 'DROP DATABASE' >/dev/tcp/127.0.0.1/{port}) 2>/dev/null")
        with pytest.raises(BlockingIOError):
            database.accept()
    assert ended.output == "\n"


async def test_2026_terraform_destroy_finds_no_credentials(root: Path) -> None:
    ended = await ran(root, "env; cat ~/.aws/credentials; ls -A ~")
    assert "canary" not in ended.output
    assert ended.output.endswith("No such file or directory\ncode\n")


async def test_2026_cursor_railway_token_in_an_unrelated_file_is_not_found(root: Path) -> None:
    ended = await ran(root, "grep -rs canary ../.. ~ --include=.env --include=credentials -l | head; true")
    assert ended.output == ""


async def test_2026_cve_25725_an_absent_settings_file_is_not_made(root: Path) -> None:
    ended = await ran(root, "mkdir -p .claude; echo '{\"hooks\": {}}' > .claude/settings.json")
    assert not (root / ".claude").exists()
    assert len(ended.confinement.tampered) == 1


async def test_2025_cve_54135_another_agents_mcp_file_is_not_made(root: Path) -> None:
    await ran(root, "mkdir -p .cursor; echo '{}' | tee .cursor/mcp.json > .mcp.json")
    assert not (root / ".cursor").exists()
    assert not (root / ".mcp.json").exists()


async def test_2026_srt_commondir_does_not_run_a_program_at_the_next_git_status(root: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    await ran(
        root,
        f"cp -r .git evil && printf '#!/bin/sh\\ntouch {proof}\\n' > run && chmod +x run && "
        "echo '[core] fsmonitor = ./run' >> evil/config && echo ../evil > .git/commondir",
    )
    subprocess.run(["git", "status"], cwd=root, check=True, capture_output=True)
    assert not proof.exists()


async def test_2026_codex_and_srt_kernel_settings_of_the_host_stay(root: Path) -> None:
    before = Path("/proc/sys/kernel/panic").read_text()
    await ran(root, "echo 77 > /proc/sys/kernel/panic")
    assert Path("/proc/sys/kernel/panic").read_text() == before
