"""The world a sample is taken in: a scripted model server, repositories, state of its own; and processes measured."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from acp_agent.testing.repos import make_repo, write_files
from acp_agent.testing.script import Rule, Script, Step
from acp_agent.testing.script_file import save_script

ROOT = Path(__file__).resolve().parent.parent.parent
FLEET = 40
READS = 20
SETTINGS = "[providers.openai]\nmax_concurrent = 64\n"

SAY_OK = "Say ok."
SAY_OK_LATE = "Say ok, and take your time."
READ_TWENTY = "Read twenty files one after the other."
READ_ONE = "Read one file."
EDIT = "Change the return code."
SAY_MUCH = "Say two hundred words."
WORDS = 200

_READ_MAIN = ("read_file", {"path": "main.py"})
_CHANGE = {"path": "main.py", "edits": [{"old": "return 0", "new": "return 1"}]}
RULES = (
    Rule(contains=SAY_OK_LATE, reply=Step(text="ok", delay=0.1)),
    Rule(contains=SAY_OK, reply=Step(text="ok")),
    Rule(contains=SAY_MUCH, reply=Step(text="".join(f"word {number:<9}: " for number in range(WORDS)))),
    Rule(
        contains=READ_TWENTY,
        turns=[*(Step(tools=[("read_file", {"path": f"file{i}.txt"})]) for i in range(READS)), Step(text="done")],
    ),
    Rule(contains=READ_ONE, turns=[Step(tools=[_READ_MAIN]), Step(text="done")]),
    Rule(contains=EDIT, turns=[Step(tools=[_READ_MAIN]), Step(tools=[("edit_file", _CHANGE)]), Step(text="done")]),
)

"""What the model says to each prompt: chosen from the conversation alone, so the server is in no state."""


class Ended(NamedTuple):
    """How a process ended that was measured: wall seconds, peak resident memory in MB, and what it printed."""

    seconds: float
    peak: float
    stdout: str


class BenchFailed(Exception):
    """Something measured did not do its work, so its time means nothing."""


@dataclass(frozen=True)
class World:
    """Where samples are taken: `folder` is thrown away at the end, `url` is the model server's.

    `opencode` and `srt` are the programs of the peers, or why there are none.
    """

    folder: Path
    url: str
    opencode: Path | str
    srt: Path | str = "not asked for"

    def environment(self, state: Path) -> dict[str, str]:
        """The environment of a measured process: nothing of the user's own, `state` for what it remembers."""
        config = self.folder / "config.toml"
        config.write_text(SETTINGS, encoding="utf-8")
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "ACP_HOME": str(state),
            "ACP_CONFIG": str(config),
            "ACP_MODEL": "openai/test-model",
            "OPENAI_API_KEY": "sk-of-the-bench",
            "OPENAI_BASE_URL": self.url,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "scripts"))),
        }

    @contextmanager
    def fresh(self, count: int = 0) -> Iterator["Place"]:
        """Untouched copies of so many repositories and an empty state: no sample pays for the one before."""
        place = self._copied(count)
        try:
            yield place
        finally:
            shutil.rmtree(place.folder)

    def _copied(self, count: int) -> "Place":
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "fleet").mkdir()
        for name in names(count):
            shutil.copytree(self.folder / "fleet" / name, folder / "fleet" / name, symlinks=True)
        (folder / "fleet" / "projects.toml").write_text(_projects(count), encoding="utf-8")
        return Place(folder, self.environment(folder / "state"))

    @property
    def untouched(self) -> "Place":
        """All repositories themselves, for those who change nothing in them."""
        return Place(self.folder, self.environment(self.folder / "no-state"))

    @cached_property
    def lived_in(self) -> "Place":
        """Forty projects, and a state in which there were runs over two of them."""
        place = self._copied(FLEET)
        place.run(acp("run", READ_ONE, "-p", "project00", "-p", "project01", "-o", "quiet"))
        return place


@dataclass(frozen=True)
class Place:
    """Where processes are measured: `folder` is their directory, with the repositories in `fleet/`."""

    folder: Path
    environment: Mapping[str, str]

    def repositories(self, count: int) -> list[Path]:
        """The first `count` repositories."""
        return [self.folder / "fleet" / name for name in names(count)]

    def recorded(self, kind: str) -> int:
        """How many events of one kind are on record."""
        with closing(sqlite3.connect(self.folder / "state" / "acp.db")) as connection:
            found = connection.execute("SELECT count(*) FROM acp_event WHERE type = ?", (kind,)).fetchone()
        return int(found[0])

    def run(self, command: Sequence[str], cwd: Path | None = None) -> Ended:
        """Run a process to its end and measure it. Raises BenchFailed with what it said when it failed."""
        return measured(command, self.variables, cwd or self.folder)

    @property
    def variables(self) -> dict[str, str]:
        """The whole environment of a process that is measured here."""
        return {**self.environment, "ACP_PROJECTS": str(self.folder / "fleet" / "projects.toml")}


def names(count: int) -> list[str]:
    """The names of the first `count` projects."""
    return [f"project{index:02d}" for index in range(count)]


def _projects(count: int) -> str:
    return "version = 1\n" + "".join(
        f'\n[projects.{name}]\npath = "{name}"\ntags = ["bench"]\n' for name in names(count)
    )


def acp(*arguments: str) -> list[str]:
    """The command line of `acp` in this checkout, with what its console script does."""
    return [sys.executable, "-c", "from acp_agent.main import main; main()", *arguments]


def bare(at_once: int, prompt: str, folders: Sequence[Path]) -> list[str]:
    """The command line of the bare agent."""
    return [sys.executable, str(ROOT / "scripts" / "bare_agent.py"), str(at_once), prompt, *map(str, folders)]


def inside(who: str, what: str) -> list[str]:
    """The command line of a measurement within one process (benchlib.inside), which prints seconds."""
    return [sys.executable, "-m", "benchlib.inside", who, what]


def measured(command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> Ended:
    """Run a process to its end. Its peak counts its own children too, but no child of it alone is as large."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        if process.returncode != 0:
            stderr.seek(0)
            said = stderr.read().decode("utf-8", "replace").strip()
            raise BenchFailed(f"{' '.join(command[-4:])}: exit {process.returncode}: {said[-800:]}")
        # Linux counts in KiB, macOS in bytes.
        peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        return Ended(seconds, peak, stdout.read().decode("utf-8", "replace"))


@contextmanager
def new_world(opencode: Path | str, srt: Path | str) -> Iterator[World]:
    """A model server in a process of its own and forty repositories, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="acp-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for name in names(FLEET):
            make_repo(folder / "fleet" / name)
        write_files(folder / "fleet" / "project00", {f"file{i}.txt": f"line of file {i}\n" * 40 for i in range(READS)})
        (folder / "fleet" / "projects.toml").write_text(_projects(FLEET), encoding="utf-8")
        script = save_script(Script(rules=RULES), folder / "script.json")
        command = [sys.executable, "-m", "acp_agent.testing.model_server", "--script", str(script)]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().removeprefix("READY ").strip()
            if not url:
                raise BenchFailed("the model server did not start")
            yield World(folder, url, opencode, srt)
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(10)
            if server.stdout is not None:
                server.stdout.close()
