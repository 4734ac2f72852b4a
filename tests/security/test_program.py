"""Which bubblewrap is run: it makes the sandbox, so it is never one that a command could have put there."""

import os
from pathlib import Path

import pytest

from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.sandbox.probe import level_for
from acp_agent.tools.sandbox.program import find_bwrap


def test_one_that_confines_nothing_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor = tmp_path / "bwrap"
    impostor.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    impostor.chmod(0o755)
    assert find_bwrap(f"{tmp_path}:/nowhere") == (impostor if os.geteuid() == 0 else None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    # Root's impostor is found, tried and not believed; anybody else's is passed over.
    assert level_for(Sandbox()) != "bwrap" or os.geteuid() != 0


def test_one_in_the_home_directory_or_a_virtual_environment_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").touch()
    for folder in (tmp_path / "home/bin", tmp_path / "venv/bin"):
        folder.mkdir(parents=True)
        (folder / "bwrap").write_text("#!/bin/sh\n")
        (folder / "bwrap").chmod(0o755)
        assert find_bwrap(str(folder)) is None
