"""What held for a command: the level of its sandbox, and what that means in plain words."""

from typing import Literal

from acp_agent.domain.base import Frozen

SandboxLevel = Literal["bwrap", "landlock", "none"]


class Confinement(Frozen):
    """The sandbox in force for one command, as it was and not as it was asked for.

    `fs_write` and `fs_read`: where it could write and read. `processes`: `namespace` (it sees and signals only its
    own), `scoped` (it signals only its own), `group` (it can signal those of its user). `limits` are kept by the kernel
    for each process and by a watch for all together. `syscalls`: whether the filter was in force. `tampered` has a line
    for each protected file that it changed or made, and what was done about it.
    """

    level: SandboxLevel
    fs_write: Literal["workspace", "anywhere"]
    fs_read: Literal["allow-list", "anywhere"]
    network: Literal["closed", "proxy", "open"]
    processes: Literal["namespace", "scoped", "group"]
    syscalls: Literal["filtered", "unfiltered"]
    limits: Literal["process and tree"] = "process and tree"
    tampered: tuple[str, ...] = ()
