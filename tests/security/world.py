"""A small world of canaries to attack: a workspace, a home with secrets, sockets, a victim process."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from acp_agent.tools.sandbox.model import Level, Limits, Sandbox
from acp_agent.tools.shell import CommandResult, run_command

SECRET = "canary-5ecret-of-the-battery"
ENVIRONMENT_SECRET = "canary-5ecret-of-the-environment"
ABSTRACT = "\0acp-battery"
# Less than what attacks ask for, so that it is the limit that ends them.
LIMITS = Limits(memory=700 << 20, processes=200, file_size=16 << 20)


@dataclass(frozen=True)
class World:
    """`base` holds everything else; commands run in `root`. Sockets listen and never answer."""

    base: Path
    level: Level
    victim: "subprocess.Popen[bytes]"
    tcp: socket.socket
    udp: socket.socket
    run: socket.socket
    library: socket.socket
    abstract: socket.socket

    @property
    def root(self) -> Path:
        """The workspace."""
        return self.base / "workspace"

    @property
    def home(self) -> Path:
        """The home directory of the person who started the agent."""
        return self.base / "home"

    @property
    def outside(self) -> Path:
        """A directory beside the workspace."""
        return self.base / "outside"

    def path(self, name: str) -> str:
        """Where the unix socket `name` (run, library) lies."""
        return str(getattr(self, name).getsockname())

    async def command(self, command: str, timeout: float = 60, limits: Limits = LIMITS) -> CommandResult:
        """Run a command as the agent would, at this world's level."""
        sandbox = Sandbox(level="off" if self.level == "none" else "required", state=self.base / "state", limits=limits)
        ended = await run_command(command, workspace=self.root, timeout=timeout, sandbox=sandbox)
        assert ended.sandbox == self.level, f"ran at {ended.sandbox}"
        return ended


@contextlib.contextmanager
def world(level: Level, sockets: "tuple[socket.socket, socket.socket] | None" = None) -> Iterator[World]:
    """A world whose commands run at `level`, gone afterwards. `sockets` are unix sockets in /run and /var/lib.

    The environment of this process is that of the person: its home, its keys, its PATH (without bubblewrap below
    `bwrap`).
    """
    base = Path(os.path.realpath(tempfile.mkdtemp(prefix="acp-battery-")))
    try:
        _fill(base)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_environment(base, level))
            given = sockets or (stack.enter_context(_unix(base, "/run")), stack.enter_context(_unix(base, "/var/lib")))
            victim = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
            stack.callback(victim.wait)
            stack.callback(victim.kill)
            yield World(
                base=base,
                level=level,
                victim=victim,
                tcp=stack.enter_context(_bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))),
                udp=stack.enter_context(_bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))),
                run=given[0],
                library=given[1],
                abstract=stack.enter_context(_bound(socket.AF_UNIX, socket.SOCK_STREAM, f"{ABSTRACT}-{os.getpid()}")),
            )
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _fill(base: Path) -> None:
    for folder in ("workspace", "home/.ssh", "outside"):
        (base / folder).mkdir(parents=True)
    (base / "home/.ssh/id_rsa").write_text(SECRET)
    (base / "home/.bashrc").write_text("# mine\n")
    (base / "outside/secret").write_text(SECRET)
    (base / "outside/file").write_text("untouched\n")
    (base / "outside/file").chmod(0o600)
    root = base / "workspace"
    (root / "file").write_text("content\n")
    (root / "to-secret").symlink_to("../outside/secret")
    (root / "to-outside").symlink_to("../outside")
    shutil.copytree(_repository(), root / ".git")


@cache
def _repository() -> Path:
    """git's directory of a checkout with one commit of `file`, made once."""
    root = Path(tempfile.mkdtemp(prefix="acp-repository-"))
    root.chmod(0o755)
    (root / "file").write_text("content\n")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root)}
    person = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for words in (("init", "-q"), ("add", "file"), ("commit", "-q", "-m", "first")):
        subprocess.run(["git", *person, *words], cwd=root, check=True, env=environment)
    return root / ".git"


@contextlib.contextmanager
def _environment(base: Path, level: Level) -> Iterator[None]:
    kept = dict(os.environ)
    os.environ |= {"HOME": str(base / "home"), "ANTHROPIC_API_KEY": ENVIRONMENT_SECRET}
    if level == "landlock":
        os.environ["PATH"] = str(_without_bwrap())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@cache
def _without_bwrap() -> Path:
    """Every program but bubblewrap, as on a machine that lacks it; made once."""
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="acp-programs-")))
    folder.chmod(0o755)
    for place in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for name in os.listdir(place) if os.path.isdir(place) else ():
            if name != "bwrap" and not (folder / name).is_symlink():
                (folder / name).symlink_to(f"{place}/{name}")
    return folder


def _bound(family: int, kind: int, address: "str | tuple[str, int]") -> socket.socket:
    made = socket.socket(family, kind)
    made.bind(address)
    if kind == socket.SOCK_STREAM:
        made.listen()
    made.setblocking(False)
    return made


def _unix(base: Path, folder: str) -> socket.socket:
    """Where such sockets lie (docker's is in /run); beside the workspace for a user who may not make one there."""
    place = Path(folder) if os.access(folder, os.W_OK) else base
    path = place / f"acp-battery-{os.getpid()}-{folder.rpartition('/')[2]}.sock"
    path.unlink(missing_ok=True)
    made = _bound(socket.AF_UNIX, socket.SOCK_STREAM, str(path))
    path.chmod(0o666)
    return made


def called(listening: socket.socket) -> bool:
    """Whether somebody connected to a socket of the world, or sent it something."""
    try:
        if listening.type == socket.SOCK_DGRAM:
            listening.recv(100)
        else:
            listening.accept()[0].close()
    except BlockingIOError:
        return False
    return True
