"""The facts about the sandbox that stand in every result of a command."""

from acp_agent.domain.confinement import Confinement
from acp_agent.tools.sandbox.model import Level, Sandbox
from acp_agent.tools.sandbox.probe import trial_of


def confinement(sandbox: Sandbox, level: Level, tampered: tuple[str, ...] = ()) -> Confinement:
    """What held for a command that ran at `level` as `sandbox` says."""
    if level == "none":
        return Confinement(
            level=level,
            fs_write="anywhere",
            fs_read="anywhere",
            network="open",
            processes="group",
            syscalls="unfiltered",
            tampered=tampered,
        )
    scoped = level == "landlock" and trial_of(sandbox, level).signals
    has_proxy = sandbox.egress is not None and level == "bwrap"
    return Confinement(
        level=level,
        fs_write="workspace",
        fs_read="allow-list",
        network="open" if sandbox.network else "proxy" if has_proxy else "closed",
        processes="namespace" if level == "bwrap" else "scoped" if scoped else "group",
        syscalls="filtered",
        tampered=tampered,
    )
