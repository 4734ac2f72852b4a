"""Puts schedules where this machine's own scheduler finds them, lists them and takes them away again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from acp_agent.config.projects import Project
from acp_agent.domain.errors import AcpAgentError, UsageError
from acp_agent.fleet.repository import common_directory
from acp_agent.loops import units
from acp_agent.loops.units import MARK, Scheduled

Kind = Literal["systemd", "launchd", "cron"]
PASSED_ON = ("PATH", "ACP_HOME", "ACP_CONFIG", "ACP_MODEL", "OPENAI_BASE_URL", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
"""Variables that a unit is given as they are now; a key never is: it would stand in a file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule as it is installed: when it comes, in the scheduler's own words."""

    name: str
    kind: Kind
    when: str
    path: str


def kind_of(platform: str = sys.platform) -> Kind:
    """The scheduler of this machine."""
    if platform == "darwin":
        return "launchd"
    return "systemd" if shutil.which("systemctl") else "cron"


def own_command() -> tuple[str, ...]:
    """How this very installation is called."""
    found = shutil.which("acp", path=str(Path(sys.executable).parent)) or shutil.which("acp")
    return (found,) if found else (sys.executable, "-m", "acp_agent.main")


def environment_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What a slot needs of the environment of whoever schedules it."""
    return {name: value for name in PASSED_ON if (value := environ.get(name))}


def writable_for(projects: Sequence[Project], state: Path) -> tuple[Path, ...]:
    """What a loop writes: our state, and the git directories of its projects; never a checkout."""
    found = [state]
    for project in projects:
        top = next((folder for folder in (project.path, *project.path.parents) if (folder / ".git").exists()), None)
        if top is not None:
            found.append(common_directory(top))
    return tuple(dict.fromkeys(found))


def folder_of(kind: Kind, environ: Mapping[str, str]) -> Path:
    """Where the user's units or agents lie."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    if kind == "launchd":
        return home / "Library" / "LaunchAgents"
    chosen = environ.get("XDG_CONFIG_HOME", "")
    return (Path(chosen) if os.path.isabs(chosen) else home / ".config") / "systemd" / "user"


def rendered(kind: Kind, scheduled: Scheduled, environ: Mapping[str, str]) -> dict[str, str]:
    """What would be written, by path; of a crontab the one line."""
    if kind == "cron":
        return {"crontab": units.crontab_line(scheduled) + "\n"}
    folder = folder_of(kind, environ)
    if kind == "launchd":
        return {str(folder / f"{scheduled.label}.plist"): units.plist(scheduled)}
    return {str(folder / name): text for name, text in units.units(scheduled).items()}


def add(kind: Kind, scheduled: Scheduled, environ: Mapping[str, str]) -> list[str]:
    """Install a schedule, replacing the one of that name; returns what was written. Raises AcpAgentError."""
    files = rendered(kind, scheduled, environ)
    if kind == "cron":
        kept = [line for line in _crontab() if not line.endswith(f"{MARK}{scheduled.name}")]
        _write_crontab([*kept, files["crontab"].rstrip("\n")])
        return ["crontab"]
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    if kind == "systemd":
        _call("systemctl", "--user", "daemon-reload")
        _call("systemctl", "--user", "enable", "--now", f"{units.unit_name(scheduled.name)}.timer")
    else:
        _call("launchctl", "load", "-w", next(iter(files)))
    return list(files)


def remove(name: str, environ: Mapping[str, str]) -> list[str]:
    """Take every schedule of that name away; returns what was removed."""
    gone = []
    unit = units.unit_name(name)
    folder = folder_of("systemd", environ)
    if (timer := folder / f"{unit}.timer").exists():
        _try("systemctl", "--user", "disable", "--now", f"{unit}.timer")
        timer.unlink()
        shutil.rmtree(folder / f"{unit}.service.d", ignore_errors=True)
        _try("systemctl", "--user", "daemon-reload")
        gone.append(str(timer))
    if (agent := folder_of("launchd", environ) / f"{units.LABEL}{name}.plist").exists():
        _try("launchctl", "unload", str(agent))
        agent.unlink()
        gone.append(str(agent))
    lines = _crontab()
    kept = [line for line in lines if not line.endswith(f"{MARK}{name}")]
    if kept != lines:
        _write_crontab(kept)
        gone.append("crontab")
    return gone


def installed(environ: Mapping[str, str]) -> list[Entry]:
    """Every schedule of ours on this machine."""
    found = []
    for timer in sorted(folder_of("systemd", environ).glob("acp-loop@*.timer")):
        text = timer.read_text("utf-8")
        when = ", ".join(line.partition("=")[2] for line in text.splitlines() if line.startswith("OnCalendar="))
        name = timer.name.removeprefix("acp-loop@").removesuffix(".timer").replace("\\x2d", "-")
        found.append(Entry(name, "systemd", when, str(timer)))
    for agent in sorted(folder_of("launchd", environ).glob(f"{units.LABEL}*.plist")):
        found.append(Entry(agent.name.removeprefix(units.LABEL).removesuffix(".plist"), "launchd", "", str(agent)))
    for line in _crontab():
        if MARK in line:
            found.append(Entry(line.rpartition(MARK)[2], "cron", " ".join(line.split()[:5]), "crontab"))
    return found


def _crontab() -> list[str]:
    if shutil.which("crontab") is None:
        return []
    ended = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False)
    return ended.stdout.splitlines() if ended.returncode == 0 else []


def _write_crontab(lines: Sequence[str]) -> None:
    if shutil.which("crontab") is None:
        raise UsageError("there is no crontab on this machine", hint="acp schedule add NAME --print shows the line")
    text = "".join(f"{line}\n" for line in lines)
    ended = subprocess.run(["crontab", "-"], input=text, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise AcpAgentError(f"crontab: {ended.stderr.strip()}", hint="acp schedule add NAME --print shows the line")


def _call(*command: str) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError(f"there is no {command[0]} on this machine", hint="--kind chooses another scheduler") from None
    if ended.returncode:
        said = ended.stderr.strip().partition("\n")[0]
        raise AcpAgentError(f"{' '.join(command)}: {said}", hint="the files are written; try the command again later")


def _try(*command: str) -> None:
    """A scheduler that is not running has nothing to forget."""
    if shutil.which(command[0]) is not None:
        subprocess.run(command, capture_output=True, check=False)
