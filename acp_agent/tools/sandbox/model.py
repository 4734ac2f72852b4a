"""What a person chooses of the sandbox, and what a level is called."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Level = Literal["bwrap", "landlock", "none"]

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/etc", "/opt", "/nix")
"""What of the machine can be read inside; the rest does not exist there."""


@dataclass(frozen=True, slots=True)
class Egress:
    """A way out through a proxy of ours. It exists at level `bwrap` alone; elsewhere the network stays closed.

    `socket` is a unix socket of this machine, shown inside as `EGRESS_SOCKET`. `bridge` is put before the program
    inside (it listens there and passes on to the socket); its files must be among `Sandbox.readable`. `environment`
    tells programs of it.
    """

    socket: Path
    bridge: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
EGRESS_SOCKET = Path("/run/acp/egress.sock")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one command and all it starts. `memory` and `file_size` in bytes; `memory` None is 60 % of the machine's.

    Memory is exact for one process (RLIMIT_DATA); the sum over all, and `processes`, are looked at every 250 ms and
    end the command. `cpu_seconds` is for each process.
    """

    memory: int | None = None
    processes: int = 2048
    file_size: int = 4 << 30
    cpu_seconds: int | None = None

    @property
    def most_memory(self) -> int:
        """The limit of memory in force, in bytes."""
        return _MEMORY * 6 // 10 if self.memory is None else self.memory

    def resources(self) -> dict[str, int]:
        """Limits that the kernel keeps for each process, by their names in `resource`."""
        cpu = {} if self.cpu_seconds is None else {"RLIMIT_CPU": self.cpu_seconds}
        return {"RLIMIT_DATA": self.most_memory, "RLIMIT_FSIZE": self.file_size, "RLIMIT_CORE": 0, **cpu}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How commands are confined. `required` refuses to run them unconfined; the others may run them bare.

    `writable` and `readable` are further absolute paths; `environment` further variables, given by a person. `home` is
    a private directory that stands for the home directory and survives the command; None is one for each project below
    `state`, our own folder for this, and without `state` an empty one each time.
    `readonly` are paths in the workspace that a command can only read (level `bwrap`).
    `network` opens the network whole, `egress` a proxy's way out; `limits` hold for each command. `protected` are files
    of the workspace that a command may not change, beside those that govern the agent, and `protect` globs of such;
    `held` is what of all that exists, where somebody has looked already.
    """

    level: Literal["required", "prefer", "off"] = "required"
    network: bool = False
    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    readonly: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None
    state: Path | None = None
    egress: Egress | None = None
    protected: tuple[Path, ...] = ()
    protect: tuple[str, ...] = ()
    held: tuple[Path, ...] | None = None
    limits: Limits = field(default_factory=Limits)


def home_directory() -> Path:
    """The user's, or / for a user who has none (a bare user id in a container)."""
    home = Path(os.path.expanduser("~"))
    return home if home.is_absolute() else Path("/")


def home_inside() -> Path:
    """Where the home directory is inside bubblewrap."""
    home = home_directory()
    return home if home != Path("/") else Path("/tmp")


def exposes_home(root: Path) -> bool:
    """Whether a workspace holds the home directory or the machine: confined to it, a command could do anything."""
    home = Path(os.path.realpath(home_directory()))
    return root == Path("/") or (home != Path("/") and home.is_relative_to(root))


def state_in(root: Path, sandbox: Sandbox) -> Path | None:
    """Our own state folder where it lies in a workspace: who writes there decides what is trusted, and who gets in."""
    if sandbox.state is None:
        return None
    state = Path(os.path.realpath(sandbox.state.parent))
    return state if state != root and state.is_relative_to(root) else None
