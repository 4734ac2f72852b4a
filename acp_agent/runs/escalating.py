"""What becomes of a run that waits for people who do not come: the next channel, then no, or wait on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from acp_agent.domain.errors import AcpAgentError, Refused
from acp_agent.domain.events import ApprovalGiven, Event, Fact, Parked
from acp_agent.domain.notify import Channel, NotifyFinished, NotifyStarted
from acp_agent.domain.ports import Journal
from acp_agent.domain.run import RunState, fold

_log = logging.getLogger(__name__)
GRACE = 60.0
"""Seconds after a channel's time in which whoever tells it may still record that; then it has died over it."""
ACTOR = "deadline"
VERSION = 1
ANSWERS = {"crash_loop": "acp retry {run}", "answer": "acp approve {run} --answer TEXT"}
"""What a person does about it, but for `acp approve RUN`."""
CUT_OFF = "whoever told it died meanwhile: nobody knows whether it came through"
NOBODY = "no process that works on this record has such a channel"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell, whose intent is on record as event `seq`; `after` follows its result there."""

    run_id: str
    seq: int
    channels: tuple[Channel, ...]
    said: Mapping[str, Any]
    after: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Escalating:
    """The deadlines of a record, as one process with these `channels` keeps them; `environ` is what they may be given.

    Any number of processes may: each step is put on record only where nothing has happened since it was looked at.
    """

    journal: Journal
    channels: Mapping[str, Channel] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    async def begin(self) -> list[Notice]:
        """Take every step that is due; returns those that need a channel to be told, their intents on record."""
        found = []
        for run_id, seq in await self.journal.overdue():
            found += await self._step(run_id, seq)
        listening = sorted({kind for channel in self.channels.values() for kind in channel.on})
        if listening:
            for run_id, seq in await self.journal.untold(listening):
                found += await self._tell_at_once(run_id, seq)
        return found

    async def tell(self, notice: Notice) -> None:
        """Tell the channels of a notice, and record what came of it. Cancellation waits for that."""
        from acp_agent.runs.notifying import tell

        with anyio.CancelScope(shield=True):
            failed = {}
            for channel in notice.channels:
                if why := await tell(channel, {**notice.said, "channel": channel.name}, self.environ):
                    failed[channel.name] = why
            told = NotifyFinished(channels=tuple(channel.name for channel in notice.channels), failed=failed)
            try:
                await self._record(notice.run_id, notice.seq, told, *notice.after)
            except AcpAgentError as error:
                _log.warning("%s: that %s were told is not on record: %s", notice.run_id, told.channels, error.what)

    async def lapse(self) -> None:
        """Take every step that is due, to its end."""
        async with anyio.create_task_group() as group:
            for notice in await self.begin():
                group.start_soon(self.tell, notice)

    async def _step(self, run_id: str, seq: int) -> list[Notice]:
        events = await self.journal.events(run_id)
        parked_at, parked = _parked(events)
        if parked is None or events[-1].seq != seq:
            return []
        started = next((event.data for event in reversed(events) if event.data.type == "notify_started"), None)
        begun = next(event.data.type for event in reversed(events) if event.data.type in ("parked", "notify_started"))
        if begun == "notify_started" and isinstance(started, NotifyStarted):
            # Nobody has said what came of it in its time. It is not told twice.
            failed = dict.fromkeys(started.channels, CUT_OFF)
            await self._record(run_id, seq, NotifyFinished(channels=started.channels, failed=failed), *_next(parked))
            return []
        if not parked.then:
            late = ApprovalGiven(call_id=parked.call_id or "", decision="deny", note="nobody answered in time")
            await self._record(run_id, seq, late)
            return []
        step = parked.then[0]
        channel = self.channels.get(step.channel)
        if channel is None:
            # Another process may have it: that one is given the step's own time.
            if await self.journal.now() >= parked_at + (parked.within or 0.0) + step.within:
                unknown = NotifyFinished(channels=(step.channel,), failed={step.channel: NOBODY})
                await self._record(run_id, seq, unknown, *_next(parked))
            return []
        return await self._begun(events, (channel,), _next(parked), _then(parked))

    async def _tell_at_once(self, run_id: str, seq: int) -> list[Notice]:
        events = await self.journal.events(run_id)
        _, parked = _parked(events)
        if parked is None or events[-1].seq != seq:
            return []
        listening = tuple(channel for channel in self.channels.values() if parked.waiting in channel.on)
        return await self._begun(events, listening, (), None) if listening else []

    async def _begun(
        self, events: Sequence[Event], channels: tuple[Channel, ...], after: tuple[Fact, ...], then: str | None
    ) -> list[Notice]:
        """Put the intent on record; nothing where another process was faster, or somebody answered."""
        run_id, seq = events[-1].stream_id, events[-1].seq
        _, parked = _parked(events)
        assert parked is not None
        intent = NotifyStarted(
            channels=tuple(channel.name for channel in channels),
            waiting=parked.waiting,
            within=sum(channel.timeout for channel in channels) + GRACE,
            call_id=parked.call_id,
        )
        recorded = await self._record(run_id, seq, intent)
        if not recorded:
            return []
        within = next((fact.within for fact in after if isinstance(fact, Parked)), None)
        said = {**_said(fold(events), parked, await self.journal.now(), within), "then": then}
        return [Notice(run_id, recorded[-1].seq, channels, said, after)]

    async def _record(self, run_id: str, seq: int, *facts: Fact) -> list[Event]:
        try:
            return await self.journal.note(run_id, facts, ACTOR, after=seq)
        except Refused:
            # Something has happened since we looked, or a person holds everything.
            return []


def _parked(events: Sequence[Event]) -> tuple[float, Parked | None]:
    """When the run began to wait as it does, and for what."""
    found = next((event for event in reversed(events) if isinstance(event.data, Parked)), None)
    return (0.0, None) if found is None or not isinstance(found.data, Parked) else (found.ts, found.data)


def _next(parked: Parked) -> tuple[Fact, ...]:
    """How the run waits on after the first of its steps."""
    step, *rest = parked.then
    within = None if not rest and parked.last == "park" else step.within
    return (parked.model_copy(update={"then": tuple(rest), "within": within, "step": parked.step + 1}),)


def _then(parked: Parked) -> str:
    """What follows the first step, in the words of config.toml."""
    return f"notify:{parked.then[1].channel}" if len(parked.then) > 1 else parked.last


def _said(state: RunState, parked: Parked, now: float, within: float | None) -> dict[str, Any]:
    """What a channel reads beside its own name and what comes `then`; `answer_by` is Unix time."""
    request, asked = state.request, state.asked
    known = asked if asked is not None and asked.call_id == parked.call_id else None
    return {
        "v": VERSION,
        "event": "waiting",
        "run": state.run_id,
        "project": request.project if request else "",
        "role": request.role if request else "",
        "title": request.title if request else "",
        "waiting": parked.waiting,
        "question": parked.detail,
        "risk": int(known.risk) if known else None,
        "reasons": list(known.reasons) if known else [],
        "answer_by": None if within is None else now + within,
        "answer": ANSWERS.get(parked.waiting, "acp approve {run}").format(run=state.run_id),
    }
