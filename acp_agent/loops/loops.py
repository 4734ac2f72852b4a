"""The loops of a store: found by name, started or gone on with, driven, steered, and what becomes of their results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread

from acp_agent.config.egress import granted
from acp_agent.config.paths import database_location, state_dir
from acp_agent.config.projects import Project
from acp_agent.config.skills import find_skills
from acp_agent.domain.budget import Cap
from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, Refused, UsageError
from acp_agent.domain.events import Event, Fact
from acp_agent.domain.events_loop import (
    LoopAgent,
    LoopChanged,
    LoopEnded,
    LoopPaused,
    LoopResumed,
    LoopStarted,
    LoopSteered,
    LoopStopAsked,
)
from acp_agent.domain.loop import LoopState, fold_loop
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.domain.ports import Journal, NewStream
from acp_agent.domain.request import Workplace
from acp_agent.domain.skill import SkillEntry
from acp_agent.fleet import land
from acp_agent.fleet.repository import Repository, dirty_files, repository
from acp_agent.fleet.worktree import CommandRunner, GitWorkplaces
from acp_agent.loops.agents import agent_for
from acp_agent.loops.bounds import Bounds, bounds_of, egress_warnings
from acp_agent.loops.driver import Invocation, LoopDriver, LoopParts
from acp_agent.loops.place import LoopPlace
from acp_agent.loops.resolve import LoopAsk, Resolved, resolve
from acp_agent.loops.rules import flags_of, spec_of
from acp_agent.runs.bus import Bus, Subscription
from acp_agent.runs.hooks import Hooks
from acp_agent.runs.ids import new_id
from acp_agent.runs.models import Models
from acp_agent.runs.port import Engine
from acp_agent.runs.runner import Runner
from acp_agent.store.reads import LoopRow, Reads
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.sandbox.probe import level_for

FOLDER = "loops"
"""The folder in the state directory that holds the two working trees of each loop."""
FINAL = ("cancelled",)
"""Ends after which a loop of that name begins anew."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A loop that can be driven: `fresh` where it has just been put on record."""

    loop_id: str
    state: LoopState
    resolved: Resolved
    fresh: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of a store, as one process sees them."""

    environ: Mapping[str, str]
    cwd: Path
    models: Models
    journal: Journal
    runner: Runner
    engine: Engine
    bus: Bus
    places: GitWorkplaces
    commands: CommandRunner
    redact: Callable[[str], str]
    hooks: Hooks = field(default_factory=Hooks)

    async def ready(self, ask: LoopAsk, *, fresh: bool = False) -> Ready:
        """Start the loop that `ask` names, or find the one to go on with; spends nothing.

        UsageError 2, NothingSelected 5 for one that has nothing left to do, Refused 6 for untrusted commands, for
        checks that cannot run here, and for a price that nobody knows under a money cap.
        """
        resolved = await self.resolved(ask)
        row = None if fresh else self._open_loop(resolved)
        if row is None:
            return await self._start(ask, resolved)
        return await self._again(ask, resolved, row)

    async def resolved(self, ask: LoopAsk) -> Resolved:
        """What `ask` names, trusted, with checks that can run here."""
        resolved = await anyio.to_thread.run_sync(resolve, ask, self.cwd, self.environ)
        await anyio.to_thread.run_sync(resolved.require_trust, state_dir(self.environ))
        await self._check_commands(resolved)
        return resolved

    async def drive(self, loop_id: str, invocation: Invocation, on_event: Callable[[Event], None] | None = None) -> str:
        """Drive a loop until it ends, waits, or is paused; returns why. Raises Refused when another process has it."""
        async with self.engine.hold(loop_id) as claim:
            driver = LoopDriver(claim, self._parts(), invocation)
            with self.bus.subscribe("*") as subscription:
                async with anyio.create_task_group() as group:
                    if on_event is not None:
                        group.start_soon(forward, subscription, on_event)
                    why = await driver.drive()
                    subscription.close()
            return why

    async def state(self, loop_id: str) -> LoopState:
        """Where a loop stands. Raises UsageError for an unknown id."""
        events = await self.journal.events(loop_id)
        if not events:
            raise UsageError(f"there is no loop {loop_id}", hint="acp ps")
        return fold_loop(events)

    async def pause(self, loop_id: str, note: str = "") -> None:
        """No further iteration for now."""
        await self._tell(loop_id, LoopPaused(note=note))

    async def steer(self, loop_id: str, text: str) -> None:
        """Words for the next iteration; a loop that asked for them goes on when it is started again."""
        await self._tell(loop_id, LoopSteered(text=text))

    async def stop(self, loop_id: str, *, now: bool, note: str = "") -> None:
        """End a loop after its iteration, or now; one that nobody drives is ended here."""
        await self._tell(loop_id, LoopStopAsked(now=now, note=note))
        row = self._row(loop_id)
        if row is None or row.driven:
            return
        if (await self.state(loop_id)).spec is None:
            # One over several projects: nothing of its own is under way.
            await self.journal.note(loop_id, [LoopEnded(reason="cancelled", message=note)], "cli")
        else:
            await self.drive(loop_id, Invocation(turns=0))

    async def accept(self, loop_id: str) -> str:
        """Merge all that was accepted into the branch the loop started from; returns that branch's new head."""
        state = await self._landable(loop_id)
        work = self._work(state)
        accepted = await land.accept(loop_id, work)
        await self._tidy(state)
        await self.journal.note(loop_id, [accepted], "cli")
        return accepted.commit

    async def reject(self, loop_id: str, note: str = "") -> str | None:
        """Put the loop's branch aside; returns the ref that keeps it."""
        state = await self._landable(loop_id)
        rejected = await land.reject(loop_id, self._work(state), note)
        await self._tidy(state)
        await self.journal.note(loop_id, [rejected], "cli")
        return rejected.ref

    async def diff(self, loop_id: str, stat: bool = False) -> str:
        """All that was accepted so far, as one patch or as git's `--stat`."""
        state = await self.state(loop_id)
        work = self._work(state)
        return await (land.stat if stat else land.diff)(work, state.base)

    async def _landable(self, loop_id: str) -> LoopState:
        state = await self.state(loop_id)
        self._work(state)
        row = self._row(loop_id)
        if row is not None and row.driven:
            raise Refused(f"{loop_id} is worked on", hint=f"acp pause {loop_id}")
        if row is not None and row.landed:
            raise NothingSelected(f"{loop_id} was {row.landed} already", hint=f"acp show {loop_id}")
        if not state.accepted:
            raise NothingSelected(f"{loop_id} has accepted nothing yet", hint=f"acp show {loop_id}")
        return state

    def _work(self, state: LoopState) -> Workplace:
        if state.work is None:
            raise UsageError("it is a loop over several projects: each has one of its own", hint="acp show says which")
        return state.work

    async def _tidy(self, state: LoopState) -> None:
        """Take the judge's tree away; that of the agent went with the branch."""
        if state.work is None or state.judge is None:
            return
        await LoopPlace(state.loop_id, state.work, state.judge).remove()
        folder = anyio.Path(state.work.worktree or "").parent
        if await folder.is_dir() and not [entry async for entry in folder.iterdir()]:
            await folder.rmdir()

    async def _tell(self, loop_id: str, fact: Fact) -> None:
        row = self._row(loop_id)
        if row is None:
            raise UsageError(f"there is no loop {loop_id}", hint="acp ps")
        if row.landed or (row.status == "ended" and row.reason in FINAL):
            raise NothingSelected(f"{loop_id} is over", hint=f"acp show {loop_id}")
        await self.journal.note(loop_id, [fact], "cli")

    def _row(self, loop_id: str) -> LoopRow | None:
        with Reads(database_location(self.environ)) as reads:
            return reads.loop(loop_id)

    def _open_loop(self, resolved: Resolved) -> LoopRow | None:
        """The loop of that name to go on with."""
        with Reads(database_location(self.environ)) as reads:
            row = next(iter(reads.loops_named(resolved.name, resolved.place)), None)
        if row is None or row.landed or (row.status == "ended" and row.reason in FINAL):
            return None
        return row

    async def _again(self, ask: LoopAsk, resolved: Resolved, row: LoopRow) -> Ready:
        if row.driven:
            raise Refused(
                f"{row.id} is worked on by another process", hint=f"acp logs -f {row.id}, or acp pause {row.id}"
            )
        state = await self.state(row.id)
        if state.spec is None:
            raise UsageError(f"{row.id} cannot be read", hint="acp loop ... --fresh")
        flags = {**state.flags, **flags_of(ask)}
        spec = spec_of(resolved, resolved.projects[0], flags)
        facts: list[Fact] = []
        if spec != state.spec:
            facts.append(LoopChanged(spec=spec, source="file or command line", flags=flags))
        elif state.ended is not None and state.ended.reason == "stagnation" and not _is_news(state):
            hint = f"acp steer {row.id} 'what to try', change the loop, or begin anew with --fresh"
            raise NothingSelected(f"{row.id} ended: {state.ended.message}; nothing has changed since", hint=hint)
        facts.append(LoopResumed(reopened=state.ended is not None, slot=ask.slot))
        await self.journal.note(row.id, facts, "cli")
        return Ready(row.id, await self.state(row.id), resolved, fresh=False)

    async def _start(self, ask: LoopAsk, resolved: Resolved) -> Ready:
        project = resolved.projects[0]
        spec = spec_of(resolved, project, flags_of(ask))
        stream = await self.new_stream(ask, resolved, project, spec)
        await self.journal.create([stream], "cli")
        role = resolved.table.role or project.role
        withheld = egress_warnings(self.models.settings, role, resolved.name, spec.egress)
        warnings = (*await _warnings(spec, project), *withheld)
        loop_id = stream.stream_id
        return Ready(loop_id, await self.state(loop_id), resolved, fresh=True, warnings=warnings)

    async def new_stream(
        self, ask: LoopAsk, resolved: Resolved, project: Project, spec: LoopSpec, parent: str | None = None
    ) -> NewStream:
        """The stream of a new loop over one project; with a `parent` it shares that one's budget."""
        found = await repository(project.path, project.name)
        loop_id = new_id("l")
        work, judge = self._places(loop_id, resolved.name, found)
        # Whoever pays, a reply is bounded by the cap.
        capped = spec if parent is None else spec_of(resolved, project, flags_of(ask))
        agent = await agent_for(self.models, resolved, project, capped, model=ask.model)
        granted(self.models.settings, agent.role, spec.egress)
        started = LoopStarted(
            name=resolved.name,
            place=resolved.place,
            project=project.name,
            spec=spec,
            agent=agent,
            work=work,
            judge=judge,
            setup=project.setup,
            flags=flags_of(ask),
            scopes=(f"loop:{parent}",) if parent else (),
            parent=parent,
            slot=ask.slot,
        )
        cap = Cap(scope=f"loop:{loop_id}", cap=spec.max_cost)
        return NewStream(stream_id=loop_id, kind="loop", facts=(started,), caps=(cap,))

    def _places(self, loop_id: str, name: str, found: Repository) -> tuple[Workplace, Workplace]:
        """Where the agent works, on a branch of the loop's own, and where its changes are judged."""
        folder = state_dir(self.environ) / FOLDER / loop_id
        common = {"kind": "worktree", "root": found.root, "base": found.head, "subdir": found.subdir}
        short = loop_id.partition("_")[2]
        branch, target = f"acp/loop/{name}-{short}", found.branch
        work = {**common, "worktree": str(folder / "work"), "branch": branch, "target": target}
        judge = {**common, "worktree": str(folder / "judge"), "branch": f"acp/judge/{short}"}
        return Workplace.model_validate(work), Workplace.model_validate(judge)

    async def _check_commands(self, resolved: Resolved) -> None:
        """Refuse checks that could not run here, before anything is spent."""
        table = resolved.table
        has_commands = any(resolved.gates(project) or project.setup for project in resolved.projects)
        if not (has_commands or table.metric or (table.done_when and table.done_when.run)):
            return
        sandbox = Sandbox(level=self.models.settings.table.sandbox.level)
        if await anyio.to_thread.run_sync(level_for, sandbox) is None:
            raise Refused(
                "the loop has checks or a setup, and commands cannot run here: there is no working bubblewrap",
                hint="install bubblewrap, or choose a level in config.toml under [sandbox]; see acp doctor",
            )

    def _parts(self) -> LoopParts:
        return LoopParts(
            journal=self.journal,
            runner=self.runner,
            engine=self.engine,
            bus=self.bus,
            places=self.places,
            commands=self.commands,
            redact=self.redact,
            agent=self._escalated,
            reread=self._reread,
            bounds=self._bounds,
            environ=self.environ,
            hooks=self.hooks,
            skills=self._skills,
        )

    def _skills(self, cwd: str) -> tuple[SkillEntry, ...]:
        """The skills on offer to runs over a project in `cwd`, as its person has it checked out."""
        return find_skills(Path(cwd), self.environ, self.models.settings.table.skills.disabled).entries

    def _bounds(self, state: LoopState) -> Bounds:
        return bounds_of(state, self.models.settings)

    async def _escalated(self, state: LoopState, role: str) -> LoopAgent:
        """Who works as `role`; its own model, else that of the loop."""
        resolved = resolve(LoopAsk(name=state.name, projects_file=state.place), self.cwd, self.environ)
        if state.spec is None:
            raise ValueError("a loop without rules")
        return await agent_for(self.models, resolved, resolved.projects[0], state.spec, role=role)

    async def _reread(self, state: LoopState) -> LoopSpec | str | None:
        """The rules of the loop's file as it is now, if they are others and may be used."""
        try:
            resolved = await anyio.to_thread.run_sync(
                resolve, LoopAsk(name=state.name, projects_file=state.place), self.cwd, self.environ
            )
            project = next((each for each in resolved.projects if each.name == state.project), None)
            if project is None:
                return f"{state.name} is no loop of {state.project} any more"
            spec = spec_of(resolved, project, state.flags)
            if state.scopes:
                # Its money is that of the loop it is part of.
                spec = spec.model_copy(update={"max_cost": None})
            if spec == state.spec:
                return None
            resolved.require_trust(state_dir(self.environ))
            granted(self.models.settings, state.agent.role if state.agent else project.role, spec.egress)
        except AcpAgentError as error:
            return error.what
        return spec


def exit_of(state: LoopState, why: str) -> tuple[ExitCode, str]:
    """What the way a loop stopped means for a script."""
    if why == "ended" and state.ended is not None:
        reason = state.ended.reason
        if reason in ("done", "fleet"):
            return ExitCode.OK, reason
        return (ExitCode.LIMIT if reason.startswith("max_") else ExitCode.FAILED), reason
    if why == "parked" and state.parked is not None:
        limit = state.parked.waiting == "timer"
        return (ExitCode.LIMIT if limit else ExitCode.WAITS), state.parked.waiting
    codes = {"paused": ExitCode.WAITS, "deadline": ExitCode.LIMIT, "once": ExitCode.OK, "lost": ExitCode.REFUSED}
    codes["held"] = ExitCode.WAITS
    return codes.get(why, ExitCode.FAILED), why


def _is_news(state: LoopState) -> bool:
    """Whether a person has said something since the loop ended."""
    return bool(state.steered)


async def _warnings(spec: LoopSpec, project: Project) -> tuple[str, ...]:
    told = []
    if not spec.checks_something:
        told.append("nothing checks the results: there is no gate and no metric, so every change is kept")
    if dirty := await dirty_files(project.path):
        told.append(f"{project.path} has uncommitted changes ({dirty[0]}): the loop starts from the last commit")
    return tuple(told)


async def forward(subscription: Subscription, on_event: Callable[[Event], None]) -> None:
    """Hand every fact on."""
    async for item in subscription:
        if isinstance(item, Event):
            on_event(item)
