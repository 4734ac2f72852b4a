"""A small world for real processes: repositories, a scripted model, and `acp` with a state of its own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from acp_agent.domain.location import Location, ServerLocation
from acp_agent.store.connection import Connection
from acp_agent.store.database import database_at
from acp_agent.store.process import judge
from acp_agent.store.reads import BatchRow, BudgetRow, EventRow, Reads, RunRow
from acp_agent.testing import warm
from acp_agent.testing.killer import Ending, Victim, kill_leftovers
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import Files, Fleet, git, make_fleet
from acp_agent.testing.request import Request
from acp_agent.testing.script import Rule

ROOT = Path(__file__).resolve().parents[2]
MODEL = "test-model"
PATIENCE = 90.0
"""Seconds after which a command that has not ended is a failure."""
PERSONAL = ("ACP_", "ANTHROPIC_", "AWS_", "AZURE_", "GEMINI_", "GOOGLE_", "GIT_", "LITELLM_", "OLLAMA_", "OPENAI_")
# A price makes reservations real: what a crash leaves reserved or booked twice can be seen.
CONFIG = f"""\
[providers.openai.prices.{MODEL}]
input = 10.0
output = 50.0
"""


@dataclass(frozen=True)
class Record:
    """What the database says. `owned` are the streams whose driver is alive, `integrity` what a check of it found."""

    runs: tuple[RunRow, ...]
    batches: tuple[BatchRow, ...]
    events: Mapping[str, tuple[EventRow, ...]]
    budgets: Mapping[str, BudgetRow]
    owned: tuple[str, ...] = ()
    integrity: tuple[str, ...] = ("ok",)

    def open_calls(self, run: RunRow) -> list[EventRow]:
        """The intents of a run that have neither result nor answer yet."""
        closing = ("tool_finished", "tool_refused", "model_replied", "model_failed")
        events = self.events[run.id]
        closed = {(event.data["call_id"], event.type[:5]) for event in events if event.type in closing}
        started = [event for event in events if event.type in ("tool_started", "model_called")]
        return [event for event in started if (event.data["call_id"], event.type[:5]) not in closed]


@dataclass
class World:
    """Repositories below `root`, a model server that knows `rules`, and an environment. Use as a context.

    Leaving it kills every process that was started in it. `url` is that of a PostgreSQL database for its record.
    """

    root: Path
    names: Sequence[str]
    rules: Sequence[Rule]
    files: Files
    tags: Mapping[str, Sequence[str]] | Sequence[str] = ("python",)
    config: str = CONFIG
    extra: str = ""
    url: str = ""
    fleet: Fleet = field(init=False)
    bases: dict[str, str] = field(init=False)
    server: ModelServer = field(init=False)
    marker: str = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.root = self.root.resolve()
        self.marker = f"world-{os.getpid()}-{abs(hash(str(self.root)))}"
        self.fleet = make_fleet(self.root / "code", self.names, self.tags, files=self.files, extra=self.extra)
        self.bases = {name: git(path, "rev-parse", "HEAD") for name, path in self.fleet.repos.items()}
        (self.root / "config.toml").write_text(self.config, "utf-8")
        for folder in ("home", "tmp"):
            (self.root / folder).mkdir(exist_ok=True)
        self.server = ModelServer(self.rules, models=[MODEL], strict=False)

    def __enter__(self) -> World:
        self.server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_leftovers(self.marker)
        self.server.stop()

    @property
    def state(self) -> Path:
        """The state directory of `acp`."""
        return self.root / "state"

    @property
    def database(self) -> Location:
        """The record."""
        return ServerLocation(self.url, self.state) if self.url else self.state / "acp.db"

    @property
    def environment(self) -> dict[str, str]:
        """What is added to this process's environment for `acp`; an empty variable counts as unset."""
        unset = {name: "" for name in os.environ if name.startswith(PERSONAL) and not name.startswith("ACP_TEST_")}
        for name in [name for name in unset if name.startswith("GIT_")]:
            del unset[name]
        return unset | {
            "ACP_HOME": str(self.state),
            "ACP_DATABASE_URL": self.url,
            "ACP_CONFIG": str(self.root / "config.toml"),
            "ACP_PROJECTS": str(self.fleet.projects_file),
            "ACP_MODEL": f"openai/{MODEL}",
            "OPENAI_BASE_URL": self.server.url,
            "OPENAI_API_KEY": "sk-not-a-real-key",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "NO_COLOR": "1",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *words: str, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()) -> Victim:
        """Start `acp` with `words` in the world's root: warm, or by the command `prefix` where there is one."""
        acp = (*prefix, sys.executable, "-m", "acp_agent.main") if prefix else (warm.PROGRAM,)
        command = [*acp, *words]
        return Victim(
            command, cwd=self.root, environment={**self.environment, **(environment or {})}, marker=self.marker
        )

    def acp(self, *words: str, environment: Mapping[str, str] | None = None) -> Ending:
        """Run `acp` to its end."""
        with self.start(*words, environment=environment) as process:
            process.close_input()
            return process.wait(PATIENCE)

    def wait_until(self, process: Victim, true: Callable[[Record], bool]) -> None:
        """Wait until the record is so; the process must not end before.

        It is read again when something was committed: to read it all the time takes the core that the process needs.
        """
        self._wait_until(process, lambda: true(self.record()))

    def wait_for_writes(self, process: Victim, wanted: int) -> None:
        """Wait until so many events are on record; the process must not end before."""
        self._wait_until(process, lambda: self.written() >= wanted)

    def _wait_until(self, process: Victim, is_so: Callable[[], bool]) -> None:
        seen: object = self
        so = False

        def has_become_so() -> bool:
            nonlocal seen, so
            if (now := glance()) != seen:
                seen, so = now, is_so()
            return so

        with self._glancing() as glance:
            process.wait_until(has_become_so, PATIENCE)

    @contextlib.contextmanager
    def _glancing(self) -> Iterator[Callable[[], object]]:
        """Something that is another after every commit; None while there is no database."""
        statement = "SELECT pg_current_snapshot()::text" if self.url else "PRAGMA data_version"
        with contextlib.ExitStack() as stack:
            connection: Connection | None = None

            def glance() -> object:
                nonlocal connection
                if connection is None and (connection := database_at(self.database).look()) is not None:
                    stack.callback(connection.close)
                return connection and connection.rows(statement)[0][0]

            yield glance

    def record(self) -> Record:
        """What is on record now; everything empty before there is a database."""
        with Reads(self.database) as reads:
            runs = tuple(reads.runs(limit=1000))
            batches = tuple(reads.batches())
            streams = [*(run.id for run in runs), *(batch.id for batch in batches)]
            events = {stream: tuple(reads.events(stream)) for stream in streams}
            budgets = {budget.scope: budget for budget in reads.budgets()}
        owners = self._rows("SELECT id, owner FROM acp_stream WHERE owner IS NOT NULL ORDER BY id")
        is_gone = judge()
        return Record(runs, batches, events, budgets, tuple(stream for stream, owner in owners if not is_gone(owner)))

    def checked_record(self) -> Record:
        """The record, and what the database finds when it checks the whole of itself."""
        record = self.record()
        found = [] if self.url else self._rows("PRAGMA integrity_check")
        return replace(record, integrity=tuple(row[0] for row in found) or ("ok",))

    def written(self) -> int:
        """How many events are on record."""
        found = self._rows("SELECT count(*) FROM acp_event")
        return int(found[0][0]) if found else 0

    def _rows(self, statement: str) -> Sequence[Sequence[Any]]:
        connection = database_at(self.database).look()
        if connection is None:
            return ()
        with contextlib.closing(connection):
            return connection.rows(statement)

    def requests(self, project: str) -> list[Request]:
        """The questions a project's runs put to the model, in order."""
        line = f"Project: {project}\n"
        return [request for request in self.server.requests if any(line in f"{text}\n" for text in request.system)]

    def processes(self) -> list[str]:
        """Command lines of the processes alive that belong to this world: by marker, by path, by where they stand.

        The sandbox empties the environment of commands, so the marker alone would not find them.
        """
        own, found = str(self.root), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                try:
                    command = (entry / "cmdline").read_bytes()
                    about = command + (entry / "environ").read_bytes()
                    place = os.readlink(entry / "cwd")
                except OSError:
                    continue  # it ended meanwhile
                if own.encode() in about or self.marker.encode() in about or place.startswith(own):
                    shown = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()
                    found.append(f"{entry.name}: {shown[-200:]}")
        return found


def children(pid: int, name: str) -> list[str]:
    """The process ids of the children of `pid` that run the program `name`; cheap enough to be asked all the time."""
    found = []
    # Any of them may end meanwhile, `pid` included: then its directory is gone while it is being read.
    with contextlib.suppress(OSError):
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listing.read_text("ascii").split():
                if Path(f"/proc/{child}/comm").read_text("utf-8", "replace").strip() == name:
                    found.append(child)
    return found
