"""Which level holds on this machine: found out by trying to get out of it, once for each boot."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from acp_agent.tools.sandbox.model import Level, Sandbox
from acp_agent.tools.sandbox.program import find_bwrap, forget_bwrap
from acp_agent.tools.sandbox.seccomp import filter_program, supported
from acp_agent.tools.sandbox.start import confined_argv

_TRYING = threading.Lock()
_CACHE = "levels.json"
_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying a level. `problem` says why it does not hold; `signals`: also other processes are safe."""

    level: Level
    problem: str | None = None
    signals: bool = True


def level_for(sandbox: Sandbox) -> Level | None:
    """The level in force on this machine; None: commands are refused."""
    if sandbox.level != "off":
        held = next((trial for trial in _trials(sandbox, stop=True) if trial.problem is None), None)
        if held is not None:
            return held.level
    return None if sandbox.level == "required" else "none"


def trials(sandbox: Sandbox) -> list[Trial]:
    """Every level, strongest first, and whether it holds; tried anew."""
    forget(sandbox)
    return _trials(sandbox, stop=False)


def trial_of(sandbox: Sandbox, level: Level) -> Trial:
    """What was found out of a level that is in force."""
    found = (trial for trial in _trials(sandbox, stop=True) if trial.level == level)
    return next(found, Trial(level))


def forget(sandbox: Sandbox) -> None:
    """Try again at the next question: a level that held has failed."""
    with _TRYING:
        forget_bwrap()
        _tried.cache_clear()
        _remembered.cache_clear()
        if sandbox.state is not None:
            (sandbox.state / _CACHE).unlink(missing_ok=True)


def _trials(sandbox: Sandbox, *, stop: bool) -> list[Trial]:
    """Up to the first that holds, or all. Runs that begin together ask together: only one of them tries."""
    with _TRYING:
        bwrap = find_bwrap(os.environ.get("PATH", os.defpath))
        found = []
        for level in ("bwrap", "landlock"):
            trial = _remembered(sandbox.state, level, bwrap) if stop else _tried(level, bwrap)
            found.append(trial)
            if stop and trial.problem is None:
                break
        return found


@cache
def _remembered(state: Path | None, level: Level, bwrap: Path | None) -> Trial:
    """What an earlier process found out on this boot, in these namespaces, with this program and user.

    Only that a level holds is believed; should that have changed, the sandbox fails to start and is tried again.
    """
    if state is None:
        return _tried(level, bwrap)
    circumstances = _circumstances(level, bwrap)
    known = _read(state)
    entry = known.get(level)
    if isinstance(entry, dict) and entry.get("circumstances") == circumstances:
        return Trial(level, None, entry.get("signals") is True)
    trial = _tried(level, bwrap)
    if trial.problem is None:
        known[level] = {"circumstances": circumstances, "signals": trial.signals}
        with suppress(OSError):
            # Without it the next process tries again; that is all it saves.
            _write(state, known)
    return trial


def _read(state: Path) -> dict[str, Any]:
    try:
        known = json.loads((state / _CACHE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(state: Path, known: dict[str, Any]) -> None:
    state.mkdir(parents=True, exist_ok=True)
    temporary = state / f"{_CACHE}.{os.getpid()}"
    temporary.write_text(json.dumps(known), encoding="utf-8")
    temporary.replace(state / _CACHE)


@cache
def _circumstances(level: Level, bwrap: Path | None) -> list[Any]:
    """What a result depends on, as far as it can be told without trying."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        wanted = ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters")
        mine = [line.strip() for line in file if line.split(":")[0] in wanted]
    program = os.stat(bwrap) if level == "bwrap" and bwrap is not None else None
    return [
        Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        os.readlink("/proc/self/ns/user"),
        os.readlink("/proc/self/ns/mnt"),
        *mine,
        *([] if program is None else [str(bwrap), program.st_mtime_ns, program.st_size]),
        len(filter_program("none")),
    ]


@cache
def _tried(level: Level, bwrap: Path | None) -> Trial:
    if not supported():
        return Trial(level, "there is no system call filter for this processor")
    if level == "bwrap" and bwrap is None:
        return Trial(level, "bubblewrap is not installed")
    try:
        with tempfile.TemporaryDirectory(prefix="acp-canary-") as folder:
            return _canaries(level, Path(os.path.realpath(folder)))
    except (OSError, subprocess.TimeoutExpired) as error:
        return Trial(level, f"it cannot be started: {error}")


# What each line tries is named first, so that the answer says which one got through.
_ATTEMPT = """
echo held >proof
cat ../outside 2>/dev/null && echo "read a file outside"
cat link 2>/dev/null && echo "read a file outside through a link"
(echo gone >../outside) 2>/dev/null
(exec 3<>/dev/tcp/127.0.0.1/$PORT) 2>/dev/null && echo "connected to a port"
[ $LEVEL = bwrap ] || {
  cat /proc/$OWNER/environ 2>/dev/null | grep -q . && echo "read the environment of another process"
  kill -0 $OWNER 2>/dev/null && echo signalled
}
readlink /proc/self/ns/pid /proc/self/ns/net
grep -E "^Seccomp(_filters)?:" /proc/self/status
exit 7
"""


def _canaries(level: Level, folder: Path) -> Trial:
    """Run the attempts for real, in every way that is cheap to try."""
    inside, outside = folder / "inside", folder / "outside"
    inside.mkdir()
    outside.write_text("canary", encoding="utf-8")
    (inside / "link").symlink_to(outside)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        given = {"PORT": str(server.getsockname()[1]), "OWNER": str(os.getpid()), "LEVEL": level}
        prefix, environment = confined_argv(Sandbox(environment=given), level, inside, inside, os.environ)
        ended = _run([*prefix, "bash", "-c", _ATTEMPT], environment, inside)
    told = ended.stdout.splitlines()
    if ended.returncode != 7 or not (inside / "proof").exists():
        said = (ended.stderr.strip() or ended.stdout.strip() or "nothing was said").splitlines()[-1]
        return Trial(level, f"it does not work here: {said}")
    if outside.read_text(encoding="utf-8") != "canary":
        return Trial(level, "a command wrote a file outside")
    through = [line for line in told if line != "signalled" and ":" not in line]
    if through:
        return Trial(level, f"a command {through[0]}")
    if level == "bwrap" and any(os.readlink(f"/proc/self/ns/{name}") in told for name in ("pid", "net")):
        return Trial(level, "a namespace of the machine is shared")
    if not _filtered(told):
        return Trial(level, "the system call filter is not in force")
    return Trial(level, signals="signalled" not in told)


def _filtered(told: list[str]) -> bool:
    """Whether one filter more is in force there than here, where a container may have put one."""
    inside = {line.split()[0]: int(line.split()[1]) for line in told if line.startswith("Seccomp")}
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        here = {line.split()[0]: int(line.split()[1]) for line in file if line.startswith("Seccomp")}
    more = "Seccomp_filters:" not in here or inside.get("Seccomp_filters:", 0) > here["Seccomp_filters:"]
    return inside.get("Seccomp:") == 2 and more


def _run(argv: list[str], environment: dict[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    # A group of its own, so that all of it can be ended whatever it does.
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)
