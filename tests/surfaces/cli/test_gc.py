"""`acp gc`: what is old and kept goes, what is young or on record stays."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acp_agent.config.paths import database_path, state_dir
from acp_agent.tools.kept import ROOT_FILE

Acp = Callable[..., Any]
MONTHS = 90 * 86_400.0


def kept(path: Path, age: float) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_bytes(b"x" * 1_000)
    for each in (path / "file", path):
        os.utime(each, (time.time() - age, time.time() - age))
    return path


def test_old_things_go_and_the_record_stays(acp: Acp, on_record: str) -> None:
    state = state_dir(os.environ)
    old = [
        kept(state / folder, MONTHS)
        for folder in (
            "undo/r_1",
            "shadow/a",
            "sandbox/homes/a",
            "sandbox/quarantine/1",
            "before-restore-1",
            ".acp-backup-1",
        )
    ]
    orphan = kept(state / "shadow/b", 0.0)
    (orphan / ROOT_FILE).write_bytes(b"/nowhere/at/all")
    young = [kept(state / folder, 3_600.0) for folder in ("undo/r_2", "shadow/c", "sandbox/homes/b", ".acp-restore-2")]
    worktree = kept(state / "worktrees/b_1/api", MONTHS)
    anchor = json.loads(acp("audit", "verify", "-o", "json").stdout)["anchor"]

    would = json.loads(acp("gc", "--dry-run", "-o", "json").stdout)
    assert {one["path"] for one in would["removed"]} == {str(path) for path in (*old, orphan)}
    assert all(path.exists() for path in (*old, orphan))
    said = acp("gc")
    assert said.code == 0 and "was removed in 7 places" in said.stdout and "database: " in said.stdout
    assert not any(path.exists() for path in (*old, orphan))
    assert all((path / "file").exists() for path in (*young, worktree))
    assert acp("audit", "verify", "--anchor", anchor).code == 0
    assert json.loads(acp("gc", "-o", "json").stdout)["removed"] == []


def test_what_may_be_in_use_is_not_asked_for(acp: Acp) -> None:
    said = acp("gc", "--older-than", "1h")
    assert (said.code, said.stderr) == (2, "acp: --older-than: at least 1d\nhint: what is younger may be in use\n")
    assert not database_path(os.environ).exists()
    assert acp("gc").code == 0
