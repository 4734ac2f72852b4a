"""Starts one program confined by Landlock, waits for it, and lets nothing of it live on.

A program of its own, run as `python -I -S launcher.py SPEC PROGRAM...`: standard library only, no import of ours. SPEC
is a dictionary as `marshal` writes it, in hex (JSON would take a third of the start): `read`, `list`, `write` (lists of
paths), `ports` (whether TCP stays open), `filter` (a file that holds the system call filter), `limits` (by the names of
`resource`), `processes` (how many more the user may have) and `home` (None: an empty one). It stays outside the
confinement: what it starts can neither trace nor, from Landlock ABI 6, signal it, and it dies with whoever started it.
Exit status 125 says on standard error what could not be set up.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import signal
import struct
import sys

_PDEATHSIG, _NO_NEW_PRIVS, _SECCOMP, _SUBREAPER, _DROP_FROM_BOUNDING_SET = 1, 38, 22, 36, 24
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CREATE, _ADD, _RESTRICT = 444, 445, 446
# Rights of LANDLOCK_ACCESS_FS_*, by the ABI that brought the last of them.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_LIST = 1 << 3
_READ = (1 << 0) | (1 << 2) | _LIST
_OF_A_FILE = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14) | (1 << 15)
_NO_DEVICES_MADE = ~((1 << 6) | (1 << 11))

TYPE_CHECKING = False  # as `typing` has it, whose import takes a tenth of the start
if TYPE_CHECKING:
    from typing import Any

libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def abi() -> int:
    """The kernel's Landlock ABI, below 1 where it has none or may not be used."""
    return int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1))


def confine(spec: dict[str, Any], version: int) -> None:
    """Landlock, then the filter, on this thread for good."""
    rights = _RIGHTS[max(known for known in _RIGHTS if known <= version)]
    # TCP bind and connect from ABI 4; abstract unix sockets and signals from ABI 6.
    attributes = struct.pack("QQQ", rights, 3 if version >= 4 and not spec["ports"] else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _checked(libc.syscall(_CREATE, attributes, ctypes.c_size_t(size), 0), "landlock_create_ruleset")
    for kind, allowed in (("read", _READ), ("list", _LIST), ("write", rights & _NO_DEVICES_MADE)):
        for path in spec[kind]:
            _allow(ruleset, path, allowed & rights)
    _checked(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _checked(libc.syscall(_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there needs no rule.
        return
    try:
        allowed &= -1 if os.path.isdir(f"/proc/self/fd/{place}") else _OF_A_FILE
        if allowed:
            _checked(libc.syscall(_ADD, ruleset, 1, struct.pack("=Qi", allowed, place), 0), f"a rule for {path}")
    finally:
        os.close(place)


def apply_filter(program: bytes) -> None:
    """Load a system call filter (struct sock_filter[])."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(program, len(program))
    whole = Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _checked(libc.prctl(_SECCOMP, 2, ctypes.byref(whole), 0, 0), "seccomp")


def drop_capabilities() -> None:
    """Root keeps its user id and loses its powers at the next exec: one of them (CAP_PERFMON) reads other processes."""
    for capability in range(64):
        if libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
            # Past the last one, or not root: nothing to lose.
            return


def limit(spec: dict[str, Any]) -> None:
    """Resource limits, never above what holds already."""
    for name, value in spec["limits"].items():
        _limit(getattr(resource, name), value)
    if spec["processes"] is not None:
        _limit(resource.RLIMIT_NPROC, spec["processes"] + _tasks_of_user())


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _tasks_of_user() -> int:
    """The limit counts every thread of the user, on the whole machine."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == os.geteuid():
                    count += os.stat(f"/proc/{name}/task").st_nlink - 2
            except OSError:
                continue
    return count


def below() -> list[int]:
    """Every process that descends from this one."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    words = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            children.setdefault(int(words[1]), []).append(int(name))
    found, left = [], [os.getpid()]
    while left:
        for child in children.get(left.pop(), ()):
            found.append(child)
            left.append(child)
    return found


def end_all() -> None:
    """Kill what is left until a look finds none: they may be forking meanwhile."""
    for _ in range(1000):
        found = below()
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def remove(folder: str) -> None:
    """Delete a folder; nobody is left who could change it meanwhile."""
    try:
        os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(folder)
    except OSError as error:
        os.write(2, f"landlock: {folder} stays behind: {error.strerror}\n".encode())


def found(program: str) -> str:
    """The path of a program, looked for in PATH where its name has no slash."""
    if "/" not in program:
        for folder in os.environ.get("PATH", "").split(":"):
            path = os.path.join(folder, program)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return program


def child(spec: dict[str, Any], program: list[str], version: int) -> None:
    """Become the program, confined. Does not return."""
    try:
        libc.prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        path = found(program[0])
        with open(spec["filter"], "rb") as file:
            instructions = file.read()
        limit(spec)
        drop_capabilities()
        confine(spec, version)
        apply_filter(instructions)
    except OSError as error:
        os.write(2, f"landlock: {error}\n".encode())
        os._exit(125)
    try:
        # Not execvp: it imports a module, whose file cannot be read any more.
        os.execve(path, program, os.environ)
    except OSError as error:
        os.write(2, f"{program[0]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def main() -> int:
    """Confine, wait, clean up; the program's own status, 128 + signal where one ended it."""
    spec, program = marshal.loads(bytes.fromhex(sys.argv[1])), sys.argv[2:]
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    starter = os.getppid()
    stopped = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        end_all()

    for number in _STOPPING:
        signal.signal(number, stop)
    libc.prctl(_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != starter:
        return 143
    version = abi()
    if version < 1:
        os.write(2, b"landlock: this kernel does not offer it\n")
        return 125
    scratch = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"acp-command-{os.urandom(8).hex()}")
    os.mkdir(scratch, 0o700)
    try:
        home = spec["home"] or os.path.join(scratch, "home")
        os.makedirs(home, mode=0o700, exist_ok=True)
        os.environ.update(TMPDIR=scratch, HOME=home, PYTHONPYCACHEPREFIX=os.path.join(scratch, "pycache"))
        spec["write"] += [scratch, home]
        pid = os.fork()
        if pid == 0:
            # Python ignores some of them, and a program would inherit that.
            for number in (*_STOPPING, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            child(spec, program, version)
        status = _waited(pid)
        end_all()
    finally:
        remove(scratch)
    return 143 if stopped else status


def _waited(pid: int) -> int:
    while True:
        try:
            ended, status = os.waitpid(-1, 0)
        except ChildProcessError:
            # It was reaped while we stopped everything.
            return 137
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
