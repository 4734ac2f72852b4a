"""The 38 attacks of the battery at every level, as root and as an ordinary user, with a 2 GB flood; and without any."""

import os
import time

from acp_agent.tools.sandbox.model import Level
from tests.security.attacks import ATTACKS, NOT_HELD
from tests.security.battery import ORDINARY, run_battery

LEVELS: tuple[Level, ...] = ("bwrap", "landlock")
# Held without a sandbox too: by the short environment, by putting back what changed, and by limits.
HELD_BARE = {
    "read a secret from the environment",
    "plant a git hook",
    "set core.fsmonitor in git's configuration",
    "plant .git/commondir",
    "plant .vscode/tasks.json",
    "create an absent .mcp.json",
    "outlive the time limit with a tree of processes",
    "ignore SIGTERM",
    "take all memory in one process",
    "print without end",
    "write a huge file",
    "burn processor time",
}


def main(n: int | None, seed: int) -> int:
    """Run the battery `n` times (default 1) for each user and level; 1 where the table is not exactly the promised."""
    os.environ["ACP_TEST_FLOOD_MB"] = "2000"
    users = (None, ORDINARY) if os.geteuid() == 0 else (None,)
    wrong = 0
    for _ in range(n or 1):
        for user in users:
            who = f"user {user}" if user is not None else f"user {os.geteuid()}"
            for level in LEVELS:
                expected = {attack.name: attack.name not in NOT_HELD[level] for attack in ATTACKS}
                wrong += _compared(f"{level} as {who}", run_battery(level, user=user), expected)
    # The control: what is harmless to run bare gets through there, so that the attacks are known to work.
    bare = {attack.name: attack.name in HELD_BARE for attack in ATTACKS if attack.harmless}
    wrong += _compared("no sandbox", run_battery("none"), bare)
    return 1 if wrong else 0


def _compared(title: str, found: dict[str, bool], expected: dict[str, bool]) -> int:
    held = sum(found.values())
    print(f"{time.strftime('%H:%M:%S')} {title}: held {held} of {len(found)}", flush=True)
    different = [name for name in expected if found.get(name) != expected[name]]
    for name in different:
        print(f"  {name}: {'held' if found.get(name) else 'got through'}, promised was the opposite", flush=True)
    return len(different)
