"""Schedules: read in both forms, rendered for each scheduler, and one slot runs once."""

import os
import plistlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_agent.domain.errors import NothingSelected, UsageError
from acp_agent.loops.calendar import calendar
from acp_agent.loops.notify import Notify
from acp_agent.loops.slots import take_slot
from acp_agent.loops.units import Scheduled, bubblewrap_dropin, crontab_line, dropin, plist, timer, units
from tests.loops.conftest import MakeWorld, honest

Acp = Callable[..., Any]
WHEN = "Mon..Fri 02:00"


def scheduled(name: str = "next-graphwiz-ai", when: str = WHEN) -> Scheduled:
    return Scheduled(
        name=name,
        calendar=calendar(when),
        command=("/opt/acp/bin/acp",),
        projects_file=Path("/home/me/my code/projects.toml"),
        writes=(Path("/home/me/.local/state/acp-agent"), Path("/home/me/code/site/.git")),
        environment={"PATH": "/usr/bin:/bin", "ACP_CONFIG": "/home/me/50% done"},
    )


@pytest.mark.parametrize(
    ("text", "cron", "on_calendar"),
    [
        (WHEN, "0 2 * * 1,2,3,4,5", ("Mon,Tue,Wed,Thu,Fri *-*-* 02:00:00",)),
        ("daily 06:30,18:30", "30 6,18 * * *", ("*-*-* 06,18:30:00",)),
        ("23:05", "5 23 * * *", ("*-*-* 23:05:00",)),
        ("Sat..Mon 9:00", "0 9 * * 6,0,1", ("Mon,Sat,Sun *-*-* 09:00:00",)),
        ("*/20 9-10 * jan-feb *", "*/20 9-10 * jan-feb *", ("*-01,02-* 09,10:00,20,40:00",)),
        ("0 2 1 * sun", "0 2 1 * sun", ("*-*-01 02:00:00", "Sun *-*-* 02:00:00")),
    ],
)
def test_both_forms_mean_the_same_to_every_scheduler(text: str, cron: str, on_calendar: tuple[str, ...]) -> None:
    found = calendar(text)
    assert (found.cron, found.on_calendar()) == (cron, on_calendar)


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "Mon..Fri", "Mo..We 02:00x", "61 * * * *", "0 0 31 2 *", "1 2 3"]
)
def test_what_never_comes_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as error:
        calendar(text)
    assert "Mon..Fri 02:00" in (error.value.hint or "")


@settings(max_examples=50, deadline=None)
@given(minutes=st.integers(0, 60 * 24 * 14), when=st.sampled_from([WHEN, "*/15 * * * *", "daily 06:30", "0 0 1 * *"]))
def test_the_last_slot_is_the_one_before_the_next(minutes: int, when: str) -> None:
    moment = datetime(2026, 11, 1) + timedelta(minutes=minutes)
    found = calendar(when)
    last = found.before(moment)
    assert last is not None
    assert last <= moment
    following = found.after(last)
    assert following is not None
    assert following > moment


def test_a_drop_in_names_what_one_loop_needs_and_nothing_that_is_secret() -> None:
    text = dropin(scheduled())
    assert 'ExecStart=/opt/acp/bin/acp schedule run next-graphwiz-ai --at "Mon..Fri 02:00"' in text
    assert '--projects "/home/me/my code/projects.toml"' in text
    assert 'Environment="ACP_CONFIG=/home/me/50%% done"' in text
    assert "ReadWritePaths=-/home/me/code/site/.git" in text
    assert "Persistent=true" in timer(scheduled())


def test_cron_and_launchd_get_the_same_slots() -> None:
    line = crontab_line(scheduled())
    assert line.startswith("0 2 * * 1,2,3,4,5 PATH=/usr/bin:/bin ")
    assert line.endswith("# acp-loop next-graphwiz-ai")
    assert "50\\% done" in line
    found = plistlib.loads(plist(scheduled()).encode())
    assert found["StartCalendarInterval"] == [{"Weekday": day, "Hour": 2, "Minute": 0} for day in (1, 2, 3, 4, 5)]
    assert found["ProgramArguments"][:4] == ["/opt/acp/bin/acp", "schedule", "run", "next-graphwiz-ai"]


@pytest.mark.systemd
def test_systemd_finds_nothing_wrong_and_little_exposed(tmp_path: Path) -> None:
    command = tmp_path / "acp"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    given = scheduled()
    ours = Scheduled(given.name, given.calendar, (str(command),), given.projects_file, given.writes, given.environment)
    for name, text in units(ours).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    service = tmp_path / "acp-loop@next\\x2dgraphwiz\\x2dai.service"
    timer_unit = service.with_suffix(".timer")
    verified = analyze(tmp_path, "verify", "--user", str(timer_unit), str(service))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert exposure(tmp_path, service) <= 2.0
    (tmp_path / f"{service.name}.d" / "bubblewrap.conf").write_text(bubblewrap_dropin())
    assert analyze(tmp_path, "verify", "--user", str(service)).returncode == 0
    assert exposure(tmp_path, service) <= 3.2
    assert "SuccessExitStatus=3 5" in (tmp_path / "acp-loop@.service").read_text()


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    return subprocess.run(["systemd-analyze", *words], env=environment, capture_output=True, text=True, check=False)


def exposure(folder: Path, service: Path) -> float:
    said = analyze(folder, "security", "--offline=true", "--no-pager", str(service)).stdout
    return float(re.findall(r"Overall exposure level for .*: ([\d.]+)", said)[0])


async def test_two_schedulers_and_one_slot_make_one_run(world: MakeWorld) -> None:
    when, now = calendar("*/10 * * * *"), datetime(2026, 11, 27, 12, 3)
    with world(honest) as w:
        async with w.app() as one, w.app() as two:
            results: list[Any] = []

            async def take(app: Any, moment: datetime) -> None:
                try:
                    results.append(await take_slot(app.journal, app.engine, "up", "/p", when, moment))
                except NothingSelected as error:
                    results.append(error.exit_code)

            async with anyio.create_task_group() as group:
                for app in (one, two):
                    group.start_soon(take, app, now)
            assert sorted(map(str, results)) == ["2026-11-27 12:00:00", "5"]
            # Hours that nobody was there are made up for by one run.
            results.clear()
            await take(one, now + timedelta(hours=5))
            await take(two, now + timedelta(hours=5))
            assert results == [datetime(2026, 11, 27, 17, 0), 5]
            # A clock that jumps makes no storm: two days forward are one run, two days back none.
            results.clear()
            for days in (2, 2, 0, -2):
                await take(one, now + timedelta(days=days))
            assert results == [datetime(2026, 11, 29, 12, 0), 5, 5, 5]


async def test_a_manager_hears_ready_life_and_the_end(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(10.0)
        notify = Notify.from_env({"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "20000"}, os.getpid())
        notify.send("READY=1", "STATUS=begins")
        async with anyio.create_task_group() as group:
            group.start_soon(notify.live)
            heard = [await anyio.to_thread.run_sync(manager.recv, 1000) for _ in range(3)]
            group.cancel_scope.cancel()
    assert heard == [b"READY=1\nSTATUS=begins", b"WATCHDOG=1", b"WATCHDOG=1"]
    notify.send("STOPPING=1")  # nobody listens any more
    assert Notify.from_env({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, 2) == Notify()


def test_a_slot_runs_from_a_timer_with_an_empty_environment(world: MakeWorld) -> None:
    with world(honest, '[schedule]\nat = "*/1 * * * *"') as w:
        address = w.root / "manager"
        heard: list[str] = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(address))
            listener = threading.Thread(target=_hear, args=(manager, heard))
            listener.start()
            needed = {name: value for name, value in w.environ.items() if name != "PATH"}
            given = {**needed, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "60000000"}
            words = ["schedule", "run", "up", "--projects", str(w.root / "projects.toml"), "-o", "json"]
            ended = run_bare(w.root, given, *words)
            listener.join(10.0)
        assert ended.returncode == 3, ended.stderr
        assert heard[0].startswith("READY=1")
        assert "WATCHDOG=1" in heard
        assert "STOPPING=1" in heard[-1]
        assert any("STATUS=up 4/4: 4 accepted, 0 rejected" in line for line in heard)
        assert '"accepted": 4' in ended.stdout


def _hear(manager: socket.socket, heard: list[str]) -> None:
    while not heard or not heard[-1].startswith("STOPPING"):
        heard.append(manager.recv(4096).decode())


def run_bare(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    command += [sys.executable, "-m", "acp_agent.main", *words]
    root = Path(__file__).resolve().parents[2]
    command.insert(2, f"PYTHONPATH={root}")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_schedule_is_shown_added_listed_and_taken_away(
    world: MakeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("systemctl", "crontab"):
        script = f'#!/bin/sh\necho {name} $* >>{tmp_path}/called\n[ "$1" = -l ] && exit 1\nexit 0\n'
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    with world(honest, f'[schedule]\nat = "{WHEN}"') as w:
        for name, value in w.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.chdir(w.root)
        from acp_agent.surfaces.cli.entry import run_command_line

        assert run_command_line(["schedule", "add", "up", "--kind", "systemd"]) == 0
        folder = tmp_path / "config" / "systemd" / "user"
        assert sorted(path.name for path in folder.iterdir()) == [
            "acp-loop@.service",
            "acp-loop@up.service.d",
            "acp-loop@up.timer",
        ]
        assert run_command_line(["schedule", "ls"]) == 0
        assert run_command_line(["schedule", "rm", "up"]) == 0
        assert [path.name for path in folder.iterdir()] == ["acp-loop@.service"]
        assert run_command_line(["schedule", "rm", "up"]) == 5
        assert run_command_line(["schedule", "add", "nothing", WHEN]) == 2
        called = (tmp_path / "called").read_text()
        assert "systemctl --user enable --now acp-loop@up.timer" in called
        assert "systemctl --user disable --now acp-loop@up.timer" in called
