"""The battery at each level: what is held is exactly what the guide promises, for root and for an ordinary user."""

import os

import pytest

from acp_agent.tools.sandbox.model import Level
from tests.security.attacks import ATTACKS, NOT_HELD
from tests.security.battery import ORDINARY, run_battery

pytestmark = [pytest.mark.bwrap, pytest.mark.slow, pytest.mark.timeout(300)]

SAMPLE = (
    "read it through a symbolic link in the workspace",
    "read the environment of the parent",
    "change modes and times of files outside",
    "replace .git as a whole",
    "plant .git/commondir",
    "trace the parent",
    "connect to a unix socket in /run",
    "make a user namespace",
    "fork without end",
    "burn processor time",
)


def test_the_battery_is_the_one_that_is_promised() -> None:
    assert (len(ATTACKS), len({attack.name for attack in ATTACKS})) == (38, 38)


@pytest.mark.parametrize("level", ["bwrap", "landlock"])
def test_what_is_held_is_exactly_what_is_promised(level: Level) -> None:
    found = run_battery(level)
    assert found == {attack.name: attack.name not in NOT_HELD[level] for attack in ATTACKS}


@pytest.mark.parametrize("level", ["bwrap", "landlock"])
def test_an_ordinary_user_is_held_by_the_same(level: Level) -> None:
    # Whoever runs the suite as one has had the whole battery above.
    found = run_battery(level, user=ORDINARY if os.geteuid() == 0 else None, only=SAMPLE)
    assert found == {name: name not in NOT_HELD[level] for name in SAMPLE}
