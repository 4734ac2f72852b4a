"""Handing the workplace of a run to a person, and taking it back."""

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from acp_agent.config.paths import database_location
from acp_agent.domain.errors import NothingSelected, Refused
from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.domain.events_handover import GivenBack, Taken
from acp_agent.domain.ports import Journal, Snapshots
from acp_agent.domain.run import RunState
from acp_agent.runs.port import Engine
from acp_agent.runs.runner import Runner
from acp_agent.store.reads import Reads

PERSON = "person"
"""What a snapshot from before a person's work is called."""
LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Handing:
    """What passes workplaces between runs and people."""

    journal: Journal
    runner: Runner
    engine: Engine
    snapshots: Snapshots
    environ: Mapping[str, str]

    async def take(self, run_id: str, note: str, actor: str) -> str:
        """Pause a run and wait until its driver has let go; returns the directory, which is the person's from then on.

        Raises Refused for one that has ended, has no workplace yet, or belongs to a loop or a conversation.
        """
        state = await self.runner.state(run_id)
        path = self._takeable(state)
        if state.taken is None:
            await self.journal.note(run_id, [Taken(note=note)], actor)
        # Another process has it: what that one records wakes nobody here.
        while self._is_driven(run_id):  # noqa: ASYNC110
            await anyio.sleep(LOOK)
        if (await self.runner.state(run_id)).ended:
            raise Refused(f"{run_id} has ended meanwhile", hint=f"acp show {run_id}")
        before = await self.snapshots.before(run_id, PERSON, path)
        await self.journal.note(run_id, [Taken(note=note, tree=before.tree)], actor)
        return path

    async def give(self, run_id: str, note: str, actor: str) -> GivenBack:
        """Record what the person changed and queue the run again. Raises NothingSelected for one that nobody has."""
        state = await self.runner.state(run_id)
        if state.taken is None or state.path is None or state.ended:
            raise NothingSelected(f"{run_id} is not in anybody's hands", hint=f"acp take {run_id}")
        before = FilesSnapshot(of=PERSON, moment="before", tree=state.taken.tree, note="no snapshot was taken before")
        after = await self.snapshots.after(run_id, before, state.path)
        fact = GivenBack(
            note=note,
            paths=after.paths,
            files=after.files,
            added=after.added,
            removed=after.removed,
            unknown="" if after.tree else after.note,
        )
        await self.journal.note(run_id, [fact], actor)
        await self.engine.wake(run_id)
        return fact

    def _is_driven(self, run_id: str) -> bool:
        with Reads(database_location(self.environ)) as reads:
            run = reads.run(run_id)
        return run is not None and run.driven

    def _takeable(self, state: RunState) -> str:
        request, run_id = state.request, state.run_id
        if state.ended or request is None:
            raise Refused(f"{run_id} has ended: its workplace is yours", hint=f"acp show {run_id}")
        if request.batch_id is None:
            what = "a loop: acp pause NAME" if request.loop_id else "a conversation: say what you want there"
            raise Refused(f"{run_id} belongs to {what.partition(':')[0]}", hint=what.partition(": ")[2])
        if state.path is None:
            raise Refused(f"{run_id} has no workplace yet", hint=f"acp logs -f {run_id}")
        return state.path
