"""The Protocols that packages of one row need from each other; `app` hands each the others behind them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, NamedTuple, Protocol

from acp_agent.domain.base import Frozen
from acp_agent.domain.budget import Cap, Quote, Reservation, Settlement
from acp_agent.domain.events import Committed, Event, Fact, GateFinished
from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.domain.hold import Hold
from acp_agent.domain.message import Message, Reply, ToolCall, Usage, Word
from acp_agent.domain.request import Gate, Workplace
from acp_agent.domain.session import SessionSummary
from acp_agent.domain.tool import Intent, ToolResult, ToolSpec
from acp_agent.domain.weight import Weight

Urgency = Literal["person", "batch", "loop"]
"""Who waits for a reply: somebody in an editor or a terminal, a batch, or a loop."""
URGENCIES: tuple[Urgency, ...] = ("person", "batch", "loop")
"""The most urgent first."""


class ModelRequest(Frozen):
    """One question to one model. `answer_schema` asks for JSON of that schema where the adapter can enforce it.

    `known_tokens` is the size of the first `known_messages` messages as the provider last counted it, for a tighter
    quote. `timeout` is in seconds and bounds the silence between two chunks as well as the wait for the first.
    `project` is whose limit of calls it counts under.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    answer_schema: dict[str, Any] | None = None
    max_output: int | None = None
    effort: str | None = None
    known_tokens: int = 0
    known_messages: int = 0
    timeout: float = 120.0
    urgency: Urgency = "batch"
    project: str = ""


class Permits(Protocol):
    """Limits that all processes of a database share."""

    def hold(self, limits: Mapping[str, int], urgency: Urgency) -> AbstractAsyncContextManager[None]:
        """One call under each of `limits` (how many there may be, by limiter) while the block runs. Waits for it."""
        ...

    async def rest(self, limiter: str, seconds: float) -> None:
        """Let no call begin under a limiter for so long."""
        ...


class Model(Protocol):
    """Anything that can answer a conversation."""

    async def reply(self, request: ModelRequest, on_word: Callable[[Word], None]) -> Reply:
        """The whole reply; `on_word` sees it as it streams. Raises ModelError, never a library's error."""
        ...

    def quote(self, request: ModelRequest) -> Quote:
        """The most that `request` can cost: an upper bound, or None where the price is unknown."""
        ...

    def cost(self, model: str, usage: Usage) -> float | None:
        """What `usage` of `model` cost in US dollars, None where the price is unknown."""
        ...


class Prepared(Protocol):
    """A validated call whose effect has not begun: record `intent`, then `run`."""

    @property
    def intent(self) -> Intent:
        """What is recorded before the effect."""
        ...

    @property
    def preview(self) -> str | None:
        """The unified diff it would make, None where nobody knows before."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What it is called with, as validated: our names, defaults filled in."""
        ...

    @property
    def weight(self) -> Weight:
        """What it weighs now that its paths are resolved; what was decided about another weight does not hold."""
        ...

    @property
    def originals(self) -> Mapping[str, bytes]:
        """What the files it will change hold now, by path, where it knows which they are."""
        ...

    async def rehearse(self) -> str | None:
        """What its dry run says, for the person who must approve it; None where it has none."""
        ...

    async def run(self) -> ToolResult:
        """Do it. Errors of the tool are results; only cancellation and bugs raise."""
        ...


class Tools(Protocol):
    """The one way a tool is called, bound to a workspace."""

    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools that can be called, by name."""
        ...

    async def weigh(self, call: ToolCall) -> Weight:
        """What `call` weighs, without any effect; one that `prepare` will refuse weighs what its tool does."""
        ...

    async def refresh(self) -> None:
        """Take over which tools came and went, without waiting for any."""
        ...

    def offered(self, loaded: Collection[str] = ()) -> tuple[ToolSpec, ...]:
        """The tools whose schema the model is shown; of many, those of `loaded`, which it asked to see."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What the model should know of tools it is not shown, a line each."""
        ...

    async def prepare(self, call: ToolCall, seen: Mapping[str, str | None], key: str = "") -> Prepared | ToolResult:
        """Validate `call` (with one repair of its arguments) without any effect; a result means it is refused.

        `seen` maps workspace-relative paths to the SHA-256 the model last saw. `key` is the idempotency key that the
        effect will be handed (`domain.tool.call_key`).
        """
        ...

    async def recover(
        self, call: ToolCall, intent: Intent, seen: Mapping[str, str | None]
    ) -> Prepared | ToolResult | None:
        """What became of a call whose driver died after its intent was recorded.

        A result: it took effect, or can no longer. A Prepared: it did not happen, do it. None: nobody can tell.
        """
        ...

    def release(self) -> None:
        """The run is over, or waits: what was kept open for it may be closed."""
        ...

    async def compensate(self, call: ToolCall, intent: Intent) -> ToolResult | None:
        """Undo the effect of a call that finished and whose intent says that it `compensates`; None: it cannot."""
        ...


class Snapshots(Protocol):
    """Keeps what a run may need to take its changes back."""

    async def keep(self, run_id: str, originals: Mapping[str, bytes]) -> None:
        """Keep contents before they are changed. Raises AcpAgentError where that cannot be done."""
        ...

    async def before(self, run_id: str, of: str, root: str) -> FilesSnapshot:
        """The files of `root` right before `of` (a call's id, `gate:NAME`), or the reason why they were not kept."""
        ...

    async def after(self, run_id: str, before: FilesSnapshot, root: str, *, late: bool = False) -> FilesSnapshot:
        """What changed since `before`; `late` where a kill came between and somebody else may have changed files."""
        ...


class Workplaces(Protocol):
    """Makes the place a run works in and turns what it left there into a result. Every method is repeatable."""

    async def prepare(self, run_id: str, place: Workplace, setup: str | None) -> str:
        """Make the place exist, run `setup` in a new one; returns the absolute path where tools work."""
        ...

    async def check(self, place: Workplace, gate: Gate, protect: tuple[str, ...] = ()) -> GateFinished:
        """Run one gate there; it may not change what the globs `protect` name."""
        ...

    async def commit(self, run_id: str, place: Workplace, message: str) -> Committed:
        """Commit what changed as one commit that names the run; a commit that already does is found, not repeated."""
        ...


class Owner(Frozen):
    """A process that drives streams, told apart from every other also after a reboot. `started` is its start time."""

    host: str
    boot_id: str
    pid: int
    started: str


Queues = frozenset[str]
"""Names of queues: `any`, and `host.NAME` for those whose checkouts are on that host."""


class Claim(Frozen):
    """The right to drive a stream until the lease runs out; every write is checked against `fence`."""

    stream_id: str
    fence: int
    takeovers: int = 0


class NewStream(NamedTuple):
    """A stream to open: its first facts, and the budgets that begin with it. `kind` is `run`, `batch` or `session`."""

    stream_id: str
    kind: str
    facts: tuple[Fact, ...]
    caps: tuple[Cap, ...] = ()


class Pulse(NamedTuple):
    """What a renewal of leases says of one stream: its last `seq`; a lost one has `fence` of another driver."""

    stream_id: str
    seq: int
    lost: bool = False


class Journal(Protocol):
    """The record.

    Facts in order, leases, fences and budgets, each call one transaction (docs/architecture.md, section 4).
    """

    async def create(self, streams: Sequence[NewStream], actor: str, most: int | None = None) -> None:
        """Open streams, all or none; none where more than `most` runs would be queued or running."""
        ...

    async def claim(self, stream_id: str, owner: Owner) -> Claim | None:
        """Take a queued stream, or one whose driver is gone (lease run out, or its process dead on this host).

        Increments the fence. None when it is held, waiting or ended.
        """
        ...

    async def claim_first(self, stream_ids: Sequence[str], owner: Owner, most: int) -> list[Claim]:
        """Take the first `most` of the streams that can be had, at once."""
        ...

    async def owner_of(self, stream_id: str) -> Owner | None:
        """The process whose lease of a stream is in force."""
        ...

    async def is_free(self, stream_id: str) -> bool:
        """Whether no process that is alive, as far as one can tell from here, has the lease of a stream."""
        ...

    async def claimable(self, which: str | Queues | None, limit: int) -> list[str]:
        """Ids of runs that could be claimed now: all or those of queues, oldest first, or of one batch in its order."""
        ...

    async def beginnings(self, run_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The first fact of each run, and where it was prepared, as JSON says them."""
        ...

    async def lost(self, queues: Queues) -> list[str]:
        """Ids of runs of queues whose driver is gone, oldest first."""
        ...

    async def renew(self, claims: Sequence[Claim]) -> list[Pulse]:
        """Extend the leases of `claims` that still hold."""
        ...

    async def release(self, claim: Claim) -> None:
        """Give the stream back; it stays claimable if it has neither ended nor waits."""
        ...

    async def append(
        self,
        claim: Claim,
        facts: Sequence[Fact],
        *,
        reserve: Sequence[Reservation] = (),
        settle: Sequence[Settlement] = (),
    ) -> list[Event]:
        """Record facts of the driver together with their money, or nothing. Raises Fenced, OverBudget, Held."""
        ...

    async def news(self, seconds: float, seen: int) -> int:
        """Wait until somebody has recorded what others should look at, at most `seconds`; `seen`: what it returned."""
        ...

    async def note(self, stream_id: str, facts: Sequence[Fact], actor: str, *, after: int | None = None) -> list[Event]:
        """Record facts of somebody else (an answer, a cancellation, a landing); a waiting run is queued again.

        Only where event `after` is the last one still. Raises Refused.
        """
        ...

    async def events(self, stream_id: str, after: int = 0) -> list[Event]:
        """The facts of a stream in order, those after `seq`."""
        ...

    async def erase(self, stream_ids: Sequence[str], reason: str, actor: str, *, dry_run: bool = False) -> int:
        """Erase what streams said, all of them or none; returns the number of payloads. Raises Refused."""
        ...

    async def overdue(self) -> list[tuple[str, int]]:
        """Runs that wait for an approval whose step is over its time, each with the `seq` of its last event."""
        ...

    async def untold(self, kinds: Sequence[str]) -> list[tuple[str, int]]:
        """Runs that wait for one of `kinds` of which nobody has been told, each with the `seq` of its last event."""
        ...

    async def hold(self) -> Hold | None:
        """The hold in force, by which a person stopped everything."""
        ...

    async def streams(self, kind: str) -> list[str]:
        """Ids of all streams of a kind."""
        ...

    async def now(self) -> float:
        """The time of the record, Unix seconds: one for all hosts that share it."""
        ...

    async def runs_of(self, session_id: str) -> list[str]:
        """Ids of the runs of a session, oldest first."""
        ...

    async def heads_of(self, session_id: str, inherited: Sequence[str] = ()) -> list[tuple[str, int]]:
        """Runs and the `seq` of the last fact of each: those `inherited`, then the session's own, oldest first."""
        ...

    async def sessions(self, cwd: str | None, before: tuple[float, str] | None, limit: int) -> list[SessionSummary]:
        """Sessions that were not deleted, the last used first; `before` is `(updated_at, id)` of the last one seen."""
        ...
