"""The battery: 38 named attacks, each run for real against a world of canaries. An attack is held or it got through."""

import asyncio
import os
import re
import signal
import stat
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from acp_agent.tools.sandbox.model import Limits
from tests.security.world import ENVIRONMENT_SECRET, LIMITS, SECRET, World, called

Try = Callable[[World], Awaitable[bool]]


@dataclass(frozen=True)
class Attack:
    """`held` runs it and tells whether it was held. `harmless`: it may also be run bare, to see that it works."""

    name: str
    held: Try
    harmless: bool = True


ATTACKS: list[Attack] = []


def attack(name: str, *, harmless: bool = True) -> Callable[[Try], Try]:
    """Put a function into the battery."""

    def add(held: Try) -> Try:
        ATTACKS.append(Attack(name, held, harmless))
        return held

    return add


def python(program: str) -> str:
    """The command that runs a Python program of several lines."""
    return f"python3 - <<'PROGRAM'\n{program}\nPROGRAM"


SYSCALL = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


# Escapes: reading.


@attack("read a secret outside the workspace")
async def _(world: World) -> bool:
    return SECRET not in (await world.command(f"cat {world.outside}/secret {world.home}/.ssh/id_rsa")).output


@attack("read it through a symbolic link in the workspace")
async def _(world: World) -> bool:
    return SECRET not in (await world.command("cat to-secret")).output


@attack("read it through a link to its directory")
async def _(world: World) -> bool:
    return SECRET not in (await world.command("cat to-outside/secret; cd to-outside && cat secret")).output


@attack("read a secret from the environment")
async def _(world: World) -> bool:
    return ENVIRONMENT_SECRET not in (await world.command("env; cat /proc/self/environ")).output


@attack("read the environment of the parent")
async def _(world: World) -> bool:
    command = f"cat /proc/{world.victim.pid}/environ /proc/$PPID/environ /proc/{os.getpid()}/environ /proc/1/environ"
    return ENVIRONMENT_SECRET not in (await world.command(command)).output


# Escapes: writing.


@attack("write outside through a symbolic link")
async def _(world: World) -> bool:
    await world.command("echo gone > to-outside/file; echo gone > to-outside/new")
    return (world.outside / "file").read_text() == "untouched\n" and not (world.outside / "new").exists()


@attack("rm -rf ~")
async def _(world: World) -> bool:
    await world.command(f"rm -rf ~ {world.home} {world.outside}")
    return (world.home / ".ssh/id_rsa").exists() and (world.outside / "file").exists()


@attack("rm -rf /", harmless=False)
async def _(world: World) -> bool:
    # Never where a smaller one got through.
    await world.command("rm -rf ../outside/file")
    if not (world.outside / "file").exists():
        return False
    (world.root / "kept").write_text("x")
    await world.command("rm -rf --no-preserve-root / 2>/dev/null", timeout=1)
    return (world.home / ".ssh/id_rsa").exists() and os.path.exists("/usr/bin/env") and os.path.exists("/etc/passwd")


@attack("write ~/.bashrc")
async def _(world: World) -> bool:
    await world.command(f"echo evil >> ~/.bashrc; echo evil >> {world.home}/.bashrc")
    return (world.home / ".bashrc").read_text() == "# mine\n"


@attack("change modes and times of files outside")
async def _(world: World) -> bool:
    before = (world.outside / "file").stat()
    await world.command(f"chmod 777 {world.outside}/file; touch -d @1 {world.outside}/file")
    after = (world.outside / "file").stat()
    return (before.st_mode, before.st_mtime) == (after.st_mode, after.st_mtime)


# Escapes: leaving something that runs later.


@attack("plant a git hook")
async def _(world: World) -> bool:
    await world.command("mkdir -p .git/hooks; echo evil > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit")
    return not (world.root / ".git/hooks/pre-commit").exists()


@attack("set core.fsmonitor in git's configuration")
async def _(world: World) -> bool:
    await world.command("git config core.fsmonitor evil; echo '[core] fsmonitor = evil' >> .git/config")
    return "evil" not in (world.root / ".git/config").read_text()


@attack("replace .git as a whole")
async def _(world: World) -> bool:
    before = (world.root / ".git").stat().st_ino
    ended = await world.command("mv .git gone && cp -r gone .git && echo '[core] fsmonitor = evil' >> .git/config")
    replaced = (world.root / ".git").stat().st_ino != before
    # Where it cannot be held it must be told.
    assert replaced is any("replaced .git" in line for line in ended.confinement.tampered)
    return not replaced


@attack("plant .git/commondir")
async def _(world: World) -> bool:
    await world.command("echo ../evil > .git/commondir")
    return not (world.root / ".git/commondir").exists()


@attack("plant .vscode/tasks.json")
async def _(world: World) -> bool:
    await world.command("mkdir -p .vscode; echo '{}' > .vscode/tasks.json")
    return not (world.root / ".vscode/tasks.json").exists()


@attack("create an absent .mcp.json")
async def _(world: World) -> bool:
    await world.command("echo '{}' > .mcp.json")
    return not (world.root / ".mcp.json").exists()


# Escapes: other processes.


@attack("kill the parent")
async def _(world: World) -> bool:
    await world.command(f"kill -9 {world.victim.pid}")
    return world.victim.poll() is None


@attack("trace the parent")
async def _(world: World) -> bool:
    program = f"{SYSCALL}print('attached' if libc.ptrace(16, {world.victim.pid}, 0, 0) == 0 else 'refused')"
    return (await world.command(python(program))).output == "refused\n"


@attack("leave a daemon behind")
async def _(world: World) -> bool:
    marker = f"9{os.getpid()}.{time.monotonic_ns() % 10**6}"
    await world.command(f"(setsid env -i sleep {marker} &) ; env -i setsid sleep {marker} & disown; true")
    gone = await _gone(f"sleep\0{marker}")
    for pid in _with(f"sleep\0{marker}"):
        os.kill(pid, signal.SIGKILL)
    return gone


# Escapes: the network and its kin.


@attack("connect to a TCP port of this machine")
async def _(world: World) -> bool:
    await world.command(f"exec 3<>/dev/tcp/127.0.0.1/{world.tcp.getsockname()[1]}")
    return not called(world.tcp)


@attack("send a UDP packet")
async def _(world: World) -> bool:
    await world.command(f"echo x > /dev/udp/127.0.0.1/{world.udp.getsockname()[1]}")
    return not called(world.udp)


CONNECT = "import socket\nsocket.socket(socket.AF_UNIX).connect({!r})"


@attack("connect to a unix socket in /run")
async def _(world: World) -> bool:
    await world.command(python(CONNECT.format(world.path("run"))))
    return not called(world.run)


@attack("connect to a unix socket in /var/lib")
async def _(world: World) -> bool:
    await world.command(python(CONNECT.format(world.path("library"))))
    return not called(world.library)


@attack("connect to an abstract unix socket")
async def _(world: World) -> bool:
    await world.command(python(CONNECT.format(world.abstract.getsockname().decode())))
    return not called(world.abstract)


# Escapes: the kernel.


@attack("make an io_uring", harmless=False)
async def _(world: World) -> bool:
    program = f"{SYSCALL}print('made' if libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0 else 'refused')"
    return (await world.command(python(program))).output == "refused\n"


@attack("make a user namespace", harmless=False)
async def _(world: World) -> bool:
    program = f"{SYSCALL}print('made' if libc.unshare(0x10000000) == 0 else 'refused')"
    return (await world.command(f"{python(program)}\nunshare -Ur echo made")).output.startswith("refused\n")


@attack("remount the system read-write", harmless=False)
async def _(world: World) -> bool:
    program = f"{SYSCALL}print('made' if libc.mount(None, b'/usr', None, 0x1020, None) == 0 else 'refused')"
    said = (await world.command(f"{python(program)}\nmount -o remount,rw /usr; touch /usr/acp-battery")).output
    return said.startswith("refused\n") and not os.path.exists("/usr/acp-battery")


@attack("read a raw device", harmless=False)
async def _(world: World) -> bool:
    device = os.stat("/").st_dev
    major, minor = os.major(device), os.minor(device)
    nodes = [f"/dev/{name}" for name in os.listdir("/dev") if stat.S_ISBLK(os.stat(f"/dev/{name}").st_mode)]
    command = f"mknod node b {major} {minor}; for each in node {' '.join(nodes)}; do head -c 512 $each; done | wc -c"
    return (await world.command(f"{{ {command}; }} 2>/dev/null")).output == "0\n"


@attack("write a kernel setting", harmless=False)
async def _(world: World) -> bool:
    setting = Path("/proc/sys/kernel/panic")
    before = setting.read_text()
    await world.command(f"echo {int(before) + 7} > {setting}")
    held = setting.read_text() == before
    if not held:
        setting.write_text(before)
    return held


@attack("type into the terminal", harmless=False)
async def _(world: World) -> bool:
    program = (
        "import fcntl, os, pty, termios\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    master, slave = pty.openpty()\n"
        "    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)\n"
        "    try:\n"
        "        fcntl.ioctl(slave, termios.TIOCSTI, b'x')\n"
        "        print('typed', flush=True)\n"
        "    except OSError as error:\n"
        "        print('refused', flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    return (await world.command(python(program))).output == "refused\n"


# Resources.


@attack("outlive the time limit with a tree of processes")
async def _(world: World) -> bool:
    marker = f"8{os.getpid()}.{time.monotonic_ns() % 10**6}"
    ended = await world.command(f"sleep {marker} & (setsid sleep {marker} &); sleep {marker}", timeout=0.7)
    return ended.timed_out and await _gone(f"sleep\0{marker}")


@attack("ignore SIGTERM")
async def _(world: World) -> bool:
    ended = await world.command("trap '' TERM INT HUP QUIT; while :; do sleep 0.05; done", timeout=0.7)
    return ended.timed_out


@attack("take all memory in one process")
async def _(world: World) -> bool:
    program = "block = bytearray(3 << 30)\nprint('taken')"
    return "taken" not in (await world.command(python(program))).output


@attack("take all memory in many processes", harmless=False)
async def _(world: World) -> bool:
    program = (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        block = bytearray(200 << 20)\n        time.sleep(8)\n        os._exit(0)\n"
        "for _ in range(8): os.wait()\nprint('taken')"
    )
    ended = await world.command(python(program))
    return ended.stopped == "memory" and "taken" not in ended.output


@attack("fork without end", harmless=False)
async def _(world: World) -> bool:
    # A child sleeps, so that the count is of processes that live at once.
    program = (
        "import os, time\ncount = 0\ntry:\n    while count < 4000:\n"
        "        if os.fork() == 0:\n            time.sleep(30)\n            os._exit(0)\n        count += 1\n"
        "except OSError:\n    pass\nprint(count, flush=True)\nos.kill(0, 9)"
    )
    ended = await world.command(python(program), timeout=60)
    count = re.match(r"\d+", ended.output)
    return ended.stopped == "processes" or (count is not None and int(count[0]) <= LIMITS.processes)


@attack("print without end")
async def _(world: World) -> bool:
    megabytes = int(os.environ.get("ACP_TEST_FLOOD_MB", "100"))
    ended = await world.command(f"head -c {megabytes}M /dev/zero | tr '\\0' x", timeout=60)
    return len(ended.output) < 40_000 and ended.omitted > (megabytes - 1) << 20


@attack("write a huge file")
async def _(world: World) -> bool:
    await world.command("head -c 64M /dev/zero > huge; head -c 64M /dev/zero > $TMPDIR/huge")
    return (world.root / "huge").stat().st_size <= LIMITS.file_size


@attack("burn processor time")
async def _(world: World) -> bool:
    limits = Limits(LIMITS.memory, LIMITS.processes, LIMITS.file_size, cpu_seconds=1)
    ended = await world.command("while :; do :; done", timeout=60, limits=limits)
    return not ended.timed_out and ended.exit_status not in (0, None)


async def _gone(marker: str) -> bool:
    """Whether no process has `marker` in its command line, after a moment to die in."""
    for _ in range(3000):
        if not _with(marker):
            return True
        await asyncio.sleep(0.02)
    return False


def _with(marker: str) -> list[int]:
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and marker.encode() in _command_line(pid)]


def _command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


NOT_HELD: dict[str, set[str]] = {
    "bwrap": set(),
    "landlock": {"change modes and times of files outside", "replace .git as a whole"},
}
"""The expected table: what each level does not hold, exactly."""
