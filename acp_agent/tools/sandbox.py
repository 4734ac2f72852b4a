"""The boundary of commands: a minimal bubblewrap around the workspace, built from an allow-list.

Nothing of the machine exists inside but the system's programs (read-only), the toolchains of the home directory
(read-only), and the workspace. A read-only bind does not stop anybody from connecting to a socket below it, which is
why /run, /var and the home directory are not bound at all rather than read-only.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from acp_agent.tools.repository import Repository

Level = Literal["bwrap", "none"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32", "/etc", "/opt", "/nix")
_SECRET_FILES = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/krb5.keytab")
_SECRET_FOLDERS = ("/etc/ssh", "/etc/ssl/private", "/etc/sudoers.d", "/etc/wireguard")
_NEVER_WHOLE = (Path("/tmp"), Path("/run"), Path("/var"), Path("/proc"), Path("/dev"))
# bubblewrap leaves these writable for uid 0, and they are the host's (measured with 0.8).
_KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
_TOOLCHAINS = (
    ".pyenv", ".rustup", ".cargo/bin", ".cargo/env", ".nvm", ".volta", ".fnm", ".local/bin", ".local/lib",
    ".local/share/uv", ".local/share/mise", ".local/share/pipx", ".local/pipx", ".asdf", ".rbenv", ".goenv", "go/bin",
    "sdk", ".sdkman", ".gradle/wrapper", ".bun/bin", ".deno/bin", ".nix-profile",
)  # fmt: skip
# What was fetched before: of use only where nothing can be fetched now, since tools fail on a store they cannot write.
_FETCHED = ("go/pkg", ".cargo/registry", ".cargo/git", ".m2/repository", ".npm/_cacache")
_VARIABLES = frozenset({
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV", "PYENV_ROOT",
    "PYENV_VERSION", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "JAVA_HOME", "GOROOT", "GOPATH", "NVM_DIR",
    "NVM_BIN", "VOLTA_HOME", "SDKMAN_DIR", "DENO_INSTALL", "BUN_INSTALL",
})  # fmt: skip
_NETWORK_VARIABLES = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
})  # fmt: skip
_FIXED = {
    "CI": "1",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}
_FIXED_INSIDE = {
    "TMPDIR": "/tmp",
    # The user's own git configuration is hidden with the home directory, and with it what it says of foreign owners.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    # Caches of compiled files are not part of anybody's change.
    "PYTHONPYCACHEPREFIX": "/tmp/pycache",
}


_TRYING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How commands are confined. `required` refuses to run them without bubblewrap; the others may run them bare.

    `writable` and `readable` are further absolute paths; `environment` further variables, given by a person. `home` is
    a private directory that stands for the home directory and survives the command; None is an empty one each time.
    """

    level: Literal["required", "prefer", "off"] = "required"
    network: bool = False
    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    home: Path | None = None


def level_for(sandbox: Sandbox) -> Level | None:
    """The level in force on this machine; None: commands are refused."""
    # Runs that begin together ask together, and the cache alone would let each of them try.
    with _TRYING:
        confined = sandbox.level != "off" and available()
    if confined:
        return "bwrap"
    return None if sandbox.level == "required" else "none"


def home_directory() -> Path:
    """The user's, or / for a user who has none (a bare user id in a container)."""
    home = Path(os.path.expanduser("~"))
    return home if home.is_absolute() else Path("/")


def exposes_home(root: Path) -> bool:
    """Whether a workspace holds the home directory or the machine: confined to it, a command could do anything."""
    home = Path(os.path.realpath(home_directory()))
    return root == Path("/") or (home != Path("/") and home.is_relative_to(root))


def command_environment(sandbox: Sandbox, level: Level, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables a command sees: an allow-list, our own, and what a person added. No secret is on the list."""
    names = _VARIABLES | (_NETWORK_VARIABLES if sandbox.network else frozenset())
    kept = {name: value for name, value in environ.items() if name.upper() in names and not _has_password(value)}
    kept.setdefault("PATH", os.defpath)
    kept.setdefault("LC_CTYPE", "C.UTF-8")
    own = {"HOME": str(home_directory())} if level == "none" else {"HOME": str(_home_inside()), **_FIXED_INSIDE}
    return {**kept, **_FIXED, **own, **sandbox.environment}


def _has_password(value: str) -> bool:
    return "://" in value and "@" in value


def _home_inside() -> Path:
    home = home_directory()
    return home if home != Path("/") else Path("/tmp")


def bwrap_argv(sandbox: Sandbox, root: Path, cwd: Path, environ: Mapping[str, str]) -> list[str]:
    """The bubblewrap command to put before a program. `root` is the writable workspace, `cwd` lies in it."""
    argv = [
        "bwrap", "--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    ]  # fmt: skip
    argv += [] if sandbox.network else ["--unshare-net"]
    argv += _system()
    argv += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--dir", "/run"]
    if os.geteuid() == 0:
        argv += [word for path in _KERNEL for word in ("--ro-bind-try", path, path)]
    if sandbox.network:
        argv += ["--ro-bind-try", "/run/systemd/resolve", "/run/systemd/resolve"]
    if sandbox.home is not None:
        argv += ["--bind", str(sandbox.home), str(_home_inside())]
    elif _home_inside() != Path("/tmp"):
        argv += ["--tmpfs", str(_home_inside())]
    argv += _read_only(_toolchains(sandbox, environ.get("PATH", ""), root))
    argv += _read_only(sandbox.readable)
    repository = Repository.of(root)
    if repository is not None:
        argv += _read_only(_around(repository, root))
    argv += ["--bind", str(root), str(root)]
    argv += [word for path in sandbox.writable for word in ("--bind-try", str(path), str(path))]
    # After the workspace, and mount points of their own: they can be neither written nor moved away.
    if repository is not None:
        argv += _read_only((repository.common, repository.link))
    elif (root / ".git").exists() and not (root / ".git").is_symlink():
        argv += _read_only((root / ".git",))
    # What is written beside the workspace would vanish with the command; better it fails.
    return [*argv, "--remount-ro", "/", "--chdir", str(cwd), "--"]


def _system() -> Iterator[str]:
    for path in _SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    for path in _SECRET_FILES:
        if os.access(path, os.R_OK):
            yield from ("--ro-bind", "/dev/null", path)
    for path in _SECRET_FOLDERS:
        if os.path.isdir(path):
            yield from ("--tmpfs", path)


def _toolchains(sandbox: Sandbox, path: str, root: Path) -> Iterator[Path]:
    """What of the home directory and of PATH comes back: programs, never a place that holds anything else."""
    home = home_directory()
    names = _TOOLCHAINS if sandbox.network or sandbox.home is not None else _TOOLCHAINS + _FETCHED
    shown = [home / name for name in names if (home / name).exists()]
    yield from shown
    for folder in dict.fromkeys(path.split(":")):
        place = Path(folder)
        if not place.is_absolute() or not place.is_dir():
            continue
        # A virtual environment is more than its programs; shims (pyenv, asdf) are nothing without what they call.
        place = place.parent if place.name == "shims" or (place.parent / "pyvenv.cfg").is_file() else place
        hidden = not any(place.is_relative_to(other) for other in (*map(Path, _SYSTEM), *shown, root))
        holds_more = any(other.is_relative_to(place) for other in (*_NEVER_WHOLE, home, root))
        if hidden and not holds_more:
            yield place


def _around(repository: Repository, root: Path) -> Iterator[Path]:
    """Of a repository whose sub-directory is the workspace, the rest: to read, unless it is the home directory."""
    if repository.top != root and not exposes_home(repository.top):
        yield repository.top


def _read_only(paths: Iterable[Path]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind-try", str(path), str(path))]


@cache
def available() -> bool:
    """Whether bubblewrap holds on this machine: found out once per process by trying to get out of it (about 20 ms).

    Versions are not trusted: a kernel or a container may forbid what an installed bubblewrap needs.
    """
    if shutil.which("bwrap") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="acp-canary-") as folder:
        inside, outside = Path(os.path.realpath(folder)) / "inside", Path(os.path.realpath(folder)) / "outside"
        inside.mkdir()
        outside.write_text("canary", encoding="utf-8")
        attempt = f"echo held >{inside}/proof; cat {outside}; echo gone >{outside}; readlink /proc/self/ns/net"
        sandbox = Sandbox()
        argv = [*bwrap_argv(sandbox, inside, inside, os.environ), "sh", "-c", f"({attempt}) 2>/dev/null; exit 7"]
        environment = command_environment(sandbox, "bwrap", os.environ)
        try:
            ended = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False, text=True
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return (
            ended.returncode == 7
            and ended.stdout.startswith("net:")
            and ended.stdout.splitlines() != [os.readlink("/proc/self/ns/net")]
            and len(ended.stdout.splitlines()) == 1
            and (inside / "proof").exists()
            and outside.read_text(encoding="utf-8") == "canary"
        )
