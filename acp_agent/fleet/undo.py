"""Takes back what a run did: its paths in the workplace, or a commit that reverts what was accepted; and outside."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from acp_agent.domain.changes import FileChange, FileState, like
from acp_agent.domain.errors import AcpAgentError, NothingSelected, Refused, UsageError
from acp_agent.domain.events import Accepted, Committed, Event, Fact, Rejected
from acp_agent.domain.events_files import MAX_PATHS, Undone
from acp_agent.domain.ports import Journal, Workplaces
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState, fold
from acp_agent.fleet.compensating import Compensating, TakenBack
from acp_agent.fleet.revert import revert
from acp_agent.runs.driver import commit_message
from acp_agent.runs.history import Entry, History, Line, by_path, history, last_undone, line_of
from acp_agent.runs.outside import Effect, outside
from acp_agent.runs.port import Engine
from acp_agent.tools.kept import Kept
from acp_agent.tools.restore import Restore, Target, checked, look
from acp_agent.tools.snapshots import path_of
from acp_agent.tools.workspace import Workspace, printable

SHOWN = 10


@dataclass(frozen=True, slots=True)
class UndoAsk:
    """What to take back: all after step `to_step`. `skip` leaves out paths that cannot be; `unsure` see `line_of`."""

    to_step: int = 0
    skip: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an undo: the paths brought back, those left as they are and why, or the reverting commit.

    `unrecorded` are commands whose changes nobody knows: step, title, why. `outside` are effects that are no files.
    """

    paths: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    unrecorded: tuple[tuple[int, str, str], ...] = ()
    commit: str | None = None
    target: str | None = None
    outside: tuple[TakenBack, ...] = ()


@dataclass(frozen=True, slots=True)
class UndoStep:
    """One step that changed files or something outside, for a person who chooses where to go back to.

    `outside` are the titles of its calls with such an effect, and whether an undo takes it back.
    """

    step: int
    titles: tuple[str, ...]
    paths: tuple[str, ...]
    outside: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo over the record. `state` is the state directory, where contents are kept."""

    state: Path
    journal: Journal
    engine: Engine
    places: Workplaces
    compensating: Compensating
    actor: str = "person"

    async def steps(self, run_id: str) -> list[UndoStep]:
        """The steps of a run that changed files or something outside, oldest first."""
        events, _ = await self._read(run_id)
        found = await anyio.to_thread.run_sync(self._history, run_id, events)
        effects = outside(events)
        numbers = {entry.step for entry in found.entries if not entry.ours} | {effect.step for effect in effects}
        return [_step(number, found.entries, effects) for number in sorted(numbers)]

    async def undo(self, run_id: str, ask: UndoAsk) -> Outcome:
        """Take back what the run did after a step: outside, then its files. Nothing is changed where it raises.

        Refused for paths that somebody changed since and while it is driven, NothingSelected where there is nothing to
        take back, UsageError for a step it never took, AcpAgentError for a conflict with the branch it was accepted to.
        """
        async with self._held(run_id):
            events, state = await self._read(run_id)
            effects = outside(events, ask.to_step)
            if isinstance(state.landed, Accepted):
                return await self._revert(run_id, state, state.landed, ask, effects)
            if isinstance(state.landed, Rejected) and _due(effects, ask):
                # Its files are gone already.
                return Outcome(outside=await self._taken_back(run_id, state, effects, ask))
            root = self._root(run_id, state)
            found = await anyio.to_thread.run_sync(self._history, run_id, events)
            if ask.to_step > found.steps:
                what = f"{run_id} took {found.steps} steps, not {ask.to_step}"
                raise UsageError(what, hint=f"acp undo {run_id} --list")
            lines = await anyio.to_thread.run_sync(partial(_lines, root, found, ask))
            unrecorded = tuple(row for row in found.unrecorded if row[0] > ask.to_step)
            if not lines and not _due(effects, ask):
                raise _nothing(run_id, unrecorded, effects)
            plan = await anyio.to_thread.run_sync(partial(_plan, self._kept(run_id), root, lines))
            _check(run_id, plan, ask.skip)
            taken = await self._taken_back(run_id, state, effects, ask)
            if not lines:
                return Outcome(unrecorded=unrecorded, outside=taken)
            if _due(effects, ask):
                plan = await anyio.to_thread.run_sync(partial(_planned_again, plan))
            plan = replace(plan, made=found.made(ask.to_step))
            outcome = await self._carry_out(run_id, state, plan, Undone(to_step=ask.to_step), ask.skip, lines)
            return replace(outcome, unrecorded=unrecorded, outside=taken)

    async def redo(self, run_id: str, *, skip: bool = False) -> Outcome:
        """Take the last undo back. Refused where a path was changed since, NothingSelected where there was none."""
        async with self._held(run_id):
            events, state = await self._read(run_id)
            undone = last_undone(events)
            if undone is None or undone.manifest is None or isinstance(state.landed, Accepted):
                raise NothingSelected(f"nothing of {run_id} was undone that could be brought back")
            root, kept = self._root(run_id, state), self._kept(run_id)
            changes = await anyio.to_thread.run_sync(kept.changes, undone.manifest)
            lines = [Line(change.path, change.after, change.before) for change in changes]
            plan = await anyio.to_thread.run_sync(partial(_plan, kept, root, lines))
            return await self._carry_out(run_id, state, plan, Undone(redone=True), skip, lines)

    async def of_session(self, session_id: str, *, back: bool = False) -> Outcome:
        """Take back what the newest run of a session with changes did, or bring the last undo back.

        Raises NothingSelected where there is none, and what `undo` and `redo` raise.
        """
        run_id = await (self.last_undone_of(session_id) if back else self.last_of(session_id))
        if run_id is None:
            raise NothingSelected(f"nothing in this session {'was undone' if back else 'is left to undo'}")
        return await (self.redo(run_id) if back else self.undo(run_id, UndoAsk()))

    async def last_of(self, session_id: str) -> str | None:
        """The newest run of a session that has changes left to take back."""
        for run_id in reversed(await self.journal.runs_of(session_id)):
            events, state = await self._read(run_id)
            if state.path is None or state.landed is not None:
                continue
            found = await anyio.to_thread.run_sync(self._history, run_id, events)
            lines = await anyio.to_thread.run_sync(partial(_lines, _at(state.path, state), found, UndoAsk(unsure=True)))
            if lines or _due(outside(events), UndoAsk()):
                return run_id
        return None

    async def last_undone_of(self, session_id: str) -> str | None:
        """The run of a session whose undo was the last thing undone there."""
        found: list[tuple[float, str]] = []
        for run_id in await self.journal.runs_of(session_id):
            events, _ = await self._read(run_id)
            if last_undone(events) is not None:
                found.append((max(event.ts for event in events if isinstance(event.data, Undone)), run_id))
        return max(found)[1] if found else None

    async def _taken_back(
        self, run_id: str, state: RunState, effects: Sequence[Effect], ask: UndoAsk
    ) -> tuple[TakenBack, ...]:
        request = _request(run_id, state)
        own = Path(request.workplace.root) / request.workplace.subdir
        place = state.path if state.path is not None and await anyio.Path(state.path).is_dir() else str(own)
        take = self.compensating.take_back
        return await take(run_id, request, place, effects, unsure=ask.unsure, actor=self.actor)

    async def _carry_out(
        self, run_id: str, state: RunState, plan: Restore, fact: Undone, skip: bool, lines: Sequence[Line]
    ) -> Outcome:
        _check(run_id, plan, skip)
        changed = [target for target in plan.targets if target.path not in plan.problems]
        kept = self._kept(run_id)
        # As the run left them, whatever a compensation made of them meanwhile.
        left_by_run = {line.path: line.expected for line in lines}
        changes = [
            FileChange(
                path=one.path,
                before=_as_found(left_by_run[one.path], plan.current.get(one.path)),
                after=one.wanted,
            )
            for one in changed
        ]
        paths = tuple(printable(path_of(one.path)) for one in changed)

        def apply() -> str:
            plan.apply()
            return kept.put_changes(changes)

        # Whoever is told that it began is told how it ended: a half would only be found at the next try.
        with anyio.CancelScope(shield=True):
            try:
                manifest = await anyio.to_thread.run_sync(apply)
            except OSError as error:
                what = f"{error.filename or plan.workspace.root}: {error.strerror}"
                raise AcpAgentError(what, hint=f"mend it, then acp undo {run_id} goes on where it stopped") from None
            update = {"paths": paths[:MAX_PATHS], "files": len(paths), "manifest": manifest}
            facts: list[Fact] = [fact.model_copy(update=update), *await self._committed(run_id, state)]
            await self.journal.note(run_id, facts, self.actor)
        left = tuple((printable(path_of(path)), why) for path, why in plan.problems.items())
        return Outcome(paths=paths, left=left)

    async def _committed(self, run_id: str, state: RunState) -> list[Committed]:
        """The commit of what is left, where the run had ended with one."""
        request = state.request
        if request is None or state.ended is None or state.committed is None or request.workplace.kind == "inplace":
            return []
        return [await self.places.commit(run_id, request.workplace, commit_message(request, state.text))]

    async def _revert(
        self, run_id: str, state: RunState, landed: Accepted, ask: UndoAsk, effects: Sequence[Effect]
    ) -> Outcome:
        reverted = state.undone.commit if state.undone is not None else None
        if reverted is not None and not _due(effects, ask):
            raise NothingSelected(f"{run_id} was reverted already", hint=f"git show {reverted}")
        if ask.to_step:
            raise UsageError(f"{run_id} was accepted as one commit: it can only be taken back as a whole")
        if reverted is None:
            request = _request(run_id, state)
            commit = state.committed.commit if state.committed else None
            reverted = await revert(run_id, request.workplace, landed, commit)
            await self.journal.note(run_id, [Undone(commit=reverted, target=landed.target)], self.actor)
        taken = await self._taken_back(run_id, state, effects, ask)
        return Outcome(commit=reverted, target=landed.target, outside=taken)

    @asynccontextmanager
    async def _held(self, run_id: str) -> AsyncIterator[None]:
        """Keep drivers away from the run, and from the conversation it belongs to, while the block runs."""
        _, state = await self._read(run_id)
        async with AsyncExitStack() as stack:
            request = _request(run_id, state)
            if request.batch_id is None and await self.journal.events(request.session_id):
                await stack.enter_async_context(self.engine.hold(request.session_id))
            if state.ended is None and state.waiting is None:
                await stack.enter_async_context(self.engine.hold(run_id))
            yield

    async def _read(self, run_id: str) -> tuple[list[Event], RunState]:
        events = await self.journal.events(run_id)
        if not events:
            raise UsageError(f"there is no run {run_id}", hint="acp ps")
        return events, fold(events)

    def _root(self, run_id: str, state: RunState) -> Workspace:
        """Where the run worked."""
        if isinstance(state.landed, Rejected):
            raise NothingSelected(f"{run_id} was rejected: its worktree is gone", hint=f"acp show {run_id}")
        if state.path is None:
            raise NothingSelected(f"{run_id} changed nothing", hint=f"acp show {run_id}")
        if not os.path.isdir(state.path):
            raise NothingSelected(f"{state.path}, where {run_id} worked, is not there any more")
        return _at(state.path, state)

    def _kept(self, run_id: str) -> Kept:
        return Kept.of(self.state, run_id)

    def _history(self, run_id: str, events: Sequence[Event]) -> History:
        return history(events, self._kept(run_id).changes)


def _at(path: str, state: RunState) -> Workspace:
    """Where the run worked, with the further directories it was given."""
    return Workspace.at(Path(path), also=state.request.workplace.also if state.request is not None else ())


def _lines(workspace: Workspace, found: History, ask: UndoAsk) -> list[Line]:
    """The paths that have something left to take back, or that nobody may touch."""
    entries = by_path(found.entries)
    lines = [
        line_of(path, entries[path], look(workspace, path_of(path)), ask.to_step, unsure=ask.unsure)
        for path in found.paths(ask.to_step)
    ]
    return [line for line in lines if line.problem is not None or not like(line.expected, line.wanted)]


def _plan(kept: Kept, workspace: Workspace, lines: Sequence[Line]) -> Restore:
    targets = [Target(line.path, line.expected, line.wanted) for line in lines if line.problem is None]
    plan = checked(workspace, kept, targets)
    problems = {**plan.problems, **{line.path: line.problem for line in lines if line.problem is not None}}
    return replace(plan, problems=problems)


def _planned_again(plan: Restore) -> Restore:
    """`plan` over what stands there now: what took effects back may have changed these files, and is no stranger."""
    targets = [
        one if one.path in plan.problems else replace(one, expected=look(plan.workspace, path_of(one.path)))
        for one in plan.targets
    ]
    again = checked(plan.workspace, plan.kept, targets)
    return replace(again, problems={**again.problems, **plan.problems})


def _as_found(left: FileState | None, current: FileState | None) -> FileState | None:
    """What the run left, with the permission bits that were found where it is still that."""
    return current if current is not None and like(left, current) else left


def _due(effects: Sequence[Effect], ask: UndoAsk) -> bool:
    return any(effect.is_due(unsure=ask.unsure) for effect in effects)


def _check(run_id: str, plan: Restore, skip: bool) -> None:
    """Refuse a plan with problems; with `skip`, only one that has nothing else."""
    if plan.problems and (not skip or all(target.path in plan.problems for target in plan.targets)):
        raise _refused(run_id, plan.problems)


def _request(run_id: str, state: RunState) -> RunRequest:
    if state.request is None:
        raise UsageError(f"there is no run {run_id}", hint="acp ps")
    return state.request


def _step(number: int, entries: Sequence[Entry], effects: Sequence[Effect]) -> UndoStep:
    mine = [entry for entry in entries if entry.step == number and not entry.ours]
    paths = dict.fromkeys(printable(path_of(entry.change.path)) for entry in mine)
    out = tuple((one.title, one.is_due(unsure=False)) for one in effects if one.step == number)
    return UndoStep(number, tuple(dict.fromkeys(entry.title for entry in mine)), tuple(paths), out)


def _refused(run_id: str, problems: Mapping[str, str]) -> Refused:
    named = [f"{printable(path_of(path))} ({why})" for path, why in list(problems.items())[:SHOWN]]
    more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    what = f"{run_id} is not undone, nothing was changed: {'; '.join(named)}{more}"
    return Refused(what, hint=f"acp undo {run_id} --skip undoes the other paths")


def _nothing(run_id: str, unrecorded: Sequence[tuple[int, str, str]], effects: Sequence[Effect]) -> NothingSelected:
    if effects:
        what = f"{run_id} has nothing to undo; what step {effects[-1].step} did outside stays: {effects[-1].title}"
        return NothingSelected(what, hint=f"acp undo {run_id} --list")
    if not unrecorded:
        return NothingSelected(f"{run_id} has nothing to undo", hint=f"acp show {run_id}")
    step, title, why = unrecorded[0]
    what = f"{run_id} has nothing to undo that is on record; step {step} ran `{title}` without a snapshot: {why}"
    return NothingSelected(what, hint="git has what was committed")
