"""`acp loop` as a person meets it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.loops.view import LoopView
from acp_agent.surfaces.cli.formats import clock
from acp_agent.surfaces.cli.loop_report import report
from acp_agent.surfaces.cli.phrases import phrase
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


def test_a_wait_for_a_provider_says_until_when() -> None:
    salvaged = {"type": "iteration_salvaged", "why": "network: cannot connect", "ref": None, "until": 1_700_000_000.0}
    assert phrase(salvaged) == f"again, not before {clock(1_700_000_000.0)}: network: cannot connect"
    assert phrase({**salvaged, "until": None}) == "again: network: cannot connect"


def test_a_report_names_a_place_of_what_attempts_left_only_where_they_left_something() -> None:
    view = LoopView("l_x", salvages=[{"ref": None}])
    assert "1 attempt cut off and begun again, with nothing left behind" in report(view, io.StringIO())
    view.salvages.append({"ref": "refs/acp/salvage/l_x/2"})
    assert "what they left: refs/acp/salvage/l_x/" in report(view, io.StringIO())
