"""`acp loop` as a person meets it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing.repos import make_fleet

Acp = Callable[..., Any]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_fleet(tmp_path, ["api", "web"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_loops_are_listed_checked_and_written(here: Path, acp: Acp) -> None:
    assert acp("loop", "new", "faster", "-p", "api").code == 0
    (here / "loops" / "bad.md").write_text("+++\nproject = 3\n+++\nx")
    listed = acp("loop", "ls")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == ["bad", "faster", "api", "web"]
    assert acp("loop", "check", "faster").code == 0
    bad = acp("loop", "check")
    assert bad.code == 2
    assert "loops/bad.md:2: project: should be a string" in bad.stdout
    assert acp("loop", "check", "fastr").stderr.splitlines()[1] == "hint: did you mean 'faster'?"
    assert acp("loop", "new", "faster", "-p", "api").code == 6
