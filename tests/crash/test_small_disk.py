"""A disk that fills: the run waits where it is on record, and once there is room it ends whole."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from acp_agent.testing.killer import Victim
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.small_disk import SmallDisk
from tests.crash.world import World

STEPS = 40
CONFIG = "[roles.coder]\nmax_steps = 99\n"


@dataclass
class SmallWorld(World):
    """A world whose state lies on a small disk."""

    disk: SmallDisk | None = None

    @property
    def state(self) -> Path:
        assert self.disk is not None
        return self.disk.path / "state"

    @property
    def database(self) -> Path:
        assert self.disk is not None
        copy = self.root / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        self.disk.copy_to(copy)
        return copy / "state" / "acp.db"

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> Victim:
        assert self.disk is not None
        command = self.disk.inside(sys.executable, "-m", "acp_agent.main", *words, cwd=self.root)
        return Victim(command, environment={**self.environment, **(environment or {})}, marker=self.marker)


def forty_steps() -> Sequence[Step]:
    writes = (("write_file", {"path": f"n{number}.txt", "content": f"{number}\n"}) for number in range(STEPS))
    return [*(Step(text="words " * 60, tools=[write]) for write in writes), Step(text="Done.")]


@pytest.mark.bwrap
def test_a_disk_that_fills_and_is_grown_loses_nothing(tmp_path: Path) -> None:
    rules = [Rule(turns=forty_steps())]
    with (
        SmallDisk(tmp_path / "disk", kilobytes=192) as disk,
        SmallWorld(tmp_path / "w", ("alpha",), rules, {"a": "a\n"}, config=CONFIG, disk=disk) as world,
    ):
        for room, begun in ((192, False), (704, True)):
            # On the first there is no room for the batch itself, on the second the run fills what there is.
            disk.resize(kilobytes=room)
            stopped = world.acp("run", "count", "--all", "-o", "quiet")
            assert stopped.exit_code == 4, stopped.errors
            assert "disk is full\nhint: free some space" in stopped.errors
            assert bool(world.record().runs) == begun
        disk.resize(kilobytes=65536)
        resumed = world.acp("resume")
        assert resumed.exit_code == 0, resumed.errors
        record = world.checked_record()
        (run,) = record.runs
        assert (run.reason, run.files, record.integrity) == ("end_turn", STEPS, ("ok",))
        finished = [event.data["call_id"] for event in record.events[run.id] if event.type == "tool_finished"]
        assert len(finished) == len(set(finished)) == STEPS
        assert world.acp("audit", "verify").exit_code == 0
