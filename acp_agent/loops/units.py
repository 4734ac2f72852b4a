"""What starts a loop by itself, as text: a systemd timer and service, a launchd agent, a line of a crontab. Pure."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from acp_agent.loops.calendar import Calendar

TEMPLATE = "acp-loop@.service"
MARK = "# acp-loop "
LABEL = "org.acp-agent.loop."


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One loop with its slots. `command` runs `acp`; `writes` are the directories that it must write."""

    name: str
    calendar: Calendar
    command: tuple[str, ...]
    projects_file: Path
    writes: tuple[Path, ...]
    environment: Mapping[str, str]

    @property
    def label(self) -> str:
        """launchd's name."""
        return f"{LABEL}{self.name}"

    def call(self) -> list[str]:
        """The command line of one slot."""
        at = ["--at", self.calendar.text]
        return [*self.command, "schedule", "run", self.name, *at, "--projects", str(self.projects_file)]


def service() -> str:
    """`acp-loop@.service`: the same for every loop. What differs stands in drop-ins.

    It is confined for commands that run under Landlock, which needs no namespaces; `bubblewrap_dropin` loosens that.
    """
    return """\
[Unit]
Description=acp loop %i
Documentation=man:systemd.service(5)
After=network-online.target

[Service]
Type=notify
NotifyAccess=main
WatchdogSec=5min
ExecStart=/usr/bin/env acp schedule run %I
TimeoutStopSec=2min
KillMode=mixed
# A limit that was reached, and nothing to do, are good ends of a night.
SuccessExitStatus=3 5

UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @resources @obsolete
SystemCallErrorNumber=EPERM
PrivateUsers=yes
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateIPC=yes
RemoveIPC=yes
KeyringMode=private
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProcSubset=pid
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
"""


def dropin(scheduled: Scheduled) -> str:
    """`acp-loop@NAME.service.d/loop.conf`: where this loop's projects lie, and what may be written for it."""
    lines = ["[Service]", "ExecStart=", f"ExecStart={' '.join(map(_word, scheduled.call()))}"]
    lines += [f"Environment={_word(f'{name}={value}')}" for name, value in scheduled.environment.items()]
    lines += [f"ReadWritePaths={_word('-' + str(path))}" for path in scheduled.writes]
    return "\n".join(lines) + "\n"


def bubblewrap_dropin() -> str:
    """`acp-loop@NAME.service.d/bubblewrap.conf`: for commands in bubblewrap, which makes namespaces."""
    return """\
[Service]
# bubblewrap makes user, mount, pid, network, ipc, uts and cgroup namespaces and mounts a fresh /proc.
RestrictNamespaces=user mnt pid net ipc uts cgroup
SystemCallFilter=@mount
ProtectKernelTunables=no
ProtectKernelLogs=no
ProtectProc=default
ProcSubset=all
"""


def timer(scheduled: Scheduled) -> str:
    """`acp-loop@NAME.timer`: missed slots are caught up once."""
    lines = ["[Unit]", f"Description=When acp loop {scheduled.name} runs: {scheduled.calendar.text}", "", "[Timer]"]
    lines += [f"OnCalendar={line}" for line in scheduled.calendar.on_calendar()]
    lines += ["Persistent=true", "RandomizedDelaySec=30", f"Unit={unit_name(scheduled.name)}.service"]
    return "\n".join([*lines, "", "[Install]", "WantedBy=timers.target", ""])


def units(scheduled: Scheduled) -> dict[str, str]:
    """Every file below systemd's user directory, by its path there."""
    unit = unit_name(scheduled.name)
    return {
        TEMPLATE: service(),
        f"{unit}.service.d/loop.conf": dropin(scheduled),
        f"{unit}.timer": timer(scheduled),
    }


def crontab_line(scheduled: Scheduled) -> str:
    """One line, with a mark that it is found by."""
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in scheduled.environment.items())
    # cron reads a percent sign as the end of the line.
    command = f"{settings} {shlex.join(scheduled.call())}".strip().replace("%", "\\%")
    return f"{scheduled.calendar.cron} {command} {MARK}{scheduled.name}"


def plist(scheduled: Scheduled) -> str:
    """A launchd agent; launchd runs one missed slot after a sleep by itself."""
    arguments = "".join(f"    <string>{escape(word)}</string>\n" for word in scheduled.call())
    variables = "".join(
        f"    <key>{escape(name)}</key><string>{escape(value)}</string>\n"
        for name, value in scheduled.environment.items()
    )
    slots = "".join(
        "    <dict>"
        + "".join(f"<key>{key}</key><integer>{value}</integer>" for key, value in entry.items())
        + "</dict>\n"
        for entry in scheduled.calendar.intervals()
    )
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>{escape(scheduled.label)}</string>
  <key>ProgramArguments</key>
  <array>
{arguments}  </array>
  <key>EnvironmentVariables</key>
  <dict>
{variables}  </dict>
  <key>StartCalendarInterval</key>
  <array>
{slots}  </array>
</dict>
</plist>
"""


def unit_name(name: str) -> str:
    """A loop's unit without its suffix: in a unit's name systemd reads a dash as a slash."""
    return f"acp-loop@{name.replace('-', chr(92) + 'x2d')}"


def _word(text: str) -> str:
    """One word of a unit file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(char.isspace() or char in "\"'" for char in text) else escaped
