"""A conversation as every surface holds it.

A prompt becomes a run, its approvals are asked, its facts and words told.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.to_thread

from acp_agent.config.egress import granted
from acp_agent.config.limits_tables import run_limits
from acp_agent.config.offered_commands import CommandFiles, find_commands
from acp_agent.config.session_hooks import hooks_for
from acp_agent.config.settings import Settings
from acp_agent.config.settings_tables import Role
from acp_agent.config.skills import Skills, find_skills
from acp_agent.config.window_caps import window_caps
from acp_agent.domain.budget import Limits, Spent
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.events import CancelAsked, Event, WorkspacePrepared
from acp_agent.domain.hook import Hook
from acp_agent.domain.message import Image, Word
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import Journal
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState
from acp_agent.domain.session import SessionState
from acp_agent.runs.allowances import Allowances
from acp_agent.runs.bus import Bus, Subscription
from acp_agent.runs.holding import stopped
from acp_agent.runs.instructions import read_instructions
from acp_agent.runs.models import Models
from acp_agent.runs.past import Past, after
from acp_agent.runs.people import People, Person, Tell, Turn, plan_of_run
from acp_agent.runs.port import Engine
from acp_agent.runs.project_rules import Said, project_policy
from acp_agent.runs.runner import Runner
from acp_agent.runs.sessions import Sessions
from acp_agent.runs.skills import chosen_skill, named_in

TITLE_LENGTH = 80
CAPPED_OUTPUT = 8_192
"""Tokens of one reply where a role caps the money of a run."""
STRICT_FIRST = (Mode.PLAN, Mode.ASK, Mode.EDIT, Mode.AUTO)


class _Surroundings(NamedTuple):
    """What stands in files around a session."""

    skills: Skills
    hooks: tuple[Hook, ...]
    said: Said
    instructions: str


@dataclass(frozen=True, slots=True)
class Conversations:
    """The sessions of this process: what `acp serve` and `acp chat` do with a prompt."""

    models: Models
    journal: Journal
    sessions: Sessions
    runner: Runner
    engine: Engine
    bus: Bus
    allowances: Allowances
    actor: str = "person"

    @property
    def settings(self) -> Settings:
        """The user's settings."""
        return self.models.settings

    @property
    def _people(self) -> People:
        return People(self.journal, self.sessions, self.runner, self.engine, self.allowances, self.actor)

    async def prompt(self, session: SessionState, text: str, turn: Turn, tell: Tell, person: Person) -> RunState:
        """Put `text` to the session and drive the run to its end; `tell` sees every fact and word, in order.

        Where the last run waits for an answer to a question, `text` is that answer and the run goes on. What an
        interrupted run left open is closed first. Raises UsageError where there is no model, Refused while
        another process drives a run of the session.
        """
        async with self.engine.hold(session.session_id):
            return await self._prompt(session, text, turn, tell, person)

    async def _prompt(self, session: SessionState, text: str, turn: Turn, tell: Tell, person: Person) -> RunState:
        last = await self.runner.last(session.session_id)
        waits = last if last is not None and _waits(last) else None
        turn.run_id = run_id = waits.run_id if waits else await self._started(session, text, turn.images, last)
        if turn.is_cancelled:
            await self.journal.note(run_id, [CancelAsked()], self.actor)
        elif waits:
            await self._heard(waits, text, turn.images)
        with self.bus.subscribe(run_id) as subscription:
            async with anyio.create_task_group() as group:
                group.start_soon(_forward, subscription, tell, waits.seq if waits else 0)
                state = await self._people.drive(session.session_id, turn, run_id, person, is_new=waits is None)
                subscription.close()
        return state

    async def go_on(self, run_id: str, on_event: Callable[[Event], None]) -> RunState:
        """Drive a run that a process left, or that has its answer now, until it ends or waits.

        Raises Refused while another process works on its session, or where there is nothing to drive.
        """
        state = await self.runner.state(run_id)
        assert state.request is not None

        def tell(item: Event | Word) -> None:
            if isinstance(item, Event):
                on_event(item)

        async with self.engine.hold(state.request.session_id):
            with self.bus.subscribe(run_id) as subscription:
                async with anyio.create_task_group() as group:
                    group.start_soon(_forward, subscription, tell, state.seq)
                    state = await self.engine.drive(run_id)
                    subscription.close()
        return state

    async def left_open(self, session_id: str) -> frozenset[str]:
        """The open calls of a run that the next prompt goes on with: those that stood when its turn ended."""
        last = await self.runner.last(session_id)
        waiting = last is not None and _waits(last)
        return frozenset(one.call.call_id for one in last.calls) if last and waiting else frozenset()

    async def _heard(self, waits: RunState, text: str, images: tuple[Image, ...]) -> None:
        """The prompt is what the run waits for; a plan that is talked about is not approved yet."""
        if waits.request is not None:
            self._check_seen(images, waits.request)
        if waits.waiting_for == "answer":
            await self.runner.reply(self.engine, waits.run_id, text, images=images, actor=self.actor)
        else:
            await self.runner.answer(self.engine, waits.run_id, "deny", note=text, images=images, actor=self.actor)

    async def _started(self, session: SessionState, text: str, images: tuple[Image, ...], last: RunState | None) -> str:
        """A new run of the session, queued. Raises UsageError for images that no model of the chain sees."""
        await self._close_interrupted(last)
        request = (await self.request(session, text)).model_copy(update={"images": images})
        self._check_seen(images, request)
        taken_up = await chosen_skill(text, request.skills)
        # Nothing has to be made: it works where the session does, which has been looked at.
        place = WorkspacePrepared(path=request.workplace.root, base=request.workplace.base)
        return await self.runner.start(request, self.actor, (*taken_up, place))

    def _check_seen(self, images: tuple[Image, ...], request: RunRequest) -> None:
        if images and not self.models.see(request.models):
            hint = "choose a model that does, or name those that see in config.toml: [providers.NAME] vision"
            raise UsageError(f"{', '.join(request.models)}: is not known to see images", hint=hint)

    async def cancel(self, turn: Turn) -> None:
        """End a turn: what it does is stopped, what it did stays. A turn that has ended already stays as it is."""
        turn.is_cancelled = True
        if turn.run_id is None or (await self.runner.state(turn.run_id)).ended:
            return
        try:
            await self.journal.note(turn.run_id, [CancelAsked()], self.actor)
        except Refused:
            # It ended between our look and our note: then there is nothing left to cancel.
            if (await self.runner.state(turn.run_id)).ended:
                return
            raise
        await self.engine.poke(turn.run_id)
        if turn.asking is not None:
            turn.asking.cancel()

    async def request(self, session: SessionState, text: str) -> RunRequest:
        """What a run of the session is asked.

        Raises NoModel, UsageError where its directory is gone, and Refused where a trusted file's hooks have changed.
        """
        surroundings = await anyio.to_thread.run_sync(self._look_around, session.cwd)
        found, said = surroundings.skills, surroundings.said
        role = self.settings.role(session.role)
        chain = self.models.named(flag=session.model, role=session.role)
        if chain is None:
            chain = (await self.models.found()).models
        prompt = await self._meant(text, session.cwd, found)
        return RunRequest(
            prompt=prompt,
            title=title_of(text),
            said=text if prompt != text else "",
            workplace=Workplace(kind="inplace", root=session.cwd, also=session.also),
            models=chain,
            session_id=session.session_id,
            project=Path(session.cwd).name,
            role=session.role,
            role_prompt=role.prompt or "",
            instructions=surroundings.instructions,
            mode=stricter(session.mode, role.policy),
            effort=session.effort,
            limits=self._limits(role, chain),
            caps=window_caps(self.settings.table.budget),
            blast=run_limits(self.settings.table.limits, role.limits, None),
            protect_ignored=self.settings.table.limits.protect_ignored,
            egress=granted(self.settings, session.role).hosts,
            attended=True,
            rules=said.rules,
            tags=said.tags,
            protect=said.protect,
            skills=found.entries,
            hooks=surroundings.hooks,
        )

    def _look_around(self, cwd: str) -> _Surroundings:
        """All of it at once: for each switch to a thread of its own, a person would wait. Raises as `request` does."""
        place = Path(cwd)
        if not place.is_dir():
            raise UsageError(f"{cwd}, where the session works, is not there any more")
        environ = self.models.environ
        found = self.skills(cwd)
        return _Surroundings(
            found, hooks_for(place, environ), project_policy(place, environ), read_instructions(place, None)
        )

    def skills(self, cwd: str) -> Skills:
        """The skills on offer to a session that works in `cwd`. Reads files."""
        return find_skills(Path(cwd), self.models.environ, self.settings.table.skills.disabled)

    def commands(self, cwd: str) -> CommandFiles:
        """The command files on offer to a session that works in `cwd`. Reads files."""
        return find_commands(Path(cwd), self.models.environ)

    async def spent(self, session_id: str) -> tuple[int, Past, Spent]:
        """Turns, money and tokens of a session."""
        past, tokens = Past(), Spent()
        runs = await self.sessions.runs(session_id)
        for run_id in runs:
            state = await self.runner.state(run_id)
            past = after(past, state)
            tokens = Spent(
                input_tokens=tokens.input_tokens + state.spent.input_tokens,
                output_tokens=tokens.output_tokens + state.spent.output_tokens,
            )
        return len(runs), past, tokens

    async def _meant(self, text: str, cwd: str, skills: Skills) -> str:
        """The prompt that a text stands for: a command file's, where it begins with one's name and with no skill's."""
        if not text.lstrip().startswith("/") or named_in(text, skills.entries) is not None:
            return text
        found = (await anyio.to_thread.run_sync(self.commands, cwd)).named_in(text)
        return text if found is None else found[0].prompt(found[1])

    def _limits(self, role: Role, chain: tuple[str, ...]) -> Limits:
        """What a run of that role may use. Raises Refused where its cap cannot be kept, for want of a price."""
        caps = [role.max_cost, *window_caps(self.settings.table.budget).values()]
        capped = any(cap is not None for cap in caps)
        if capped and (unknown := [model for model in chain if self.models.price(model) is None]):
            what = f"the price of {', '.join(unknown)} is unknown, so a money cap cannot be kept"
            raise Refused(what, hint="set it in config.toml: [providers.NAME.prices.MODEL], in US$ per million tokens")
        return Limits(
            max_steps=role.max_steps or Limits().max_steps,
            max_time=role.max_time,
            max_cost=role.max_cost,
            max_output=CAPPED_OUTPUT if capped else None,
        )

    async def fork(self, session: SessionState, cwd: str) -> str:
        """A new session in `cwd` with the conversation so far, without a turn that is under way; returns its id."""
        with suppress(Refused):
            async with self.engine.hold(session.session_id):
                last = await self.runner.last(session.session_id)
                # A question that waits for its answer stays a question of the old session.
                if last is not None and not _waits(last):
                    await self._close_interrupted(last)
        return await self.sessions.fork(session, cwd, self.actor)

    async def _close_interrupted(self, last: RunState | None) -> None:
        if last is None or last.ended:
            return
        run_id = last.run_id
        await self.runner.cancel(self.engine, run_id, note="interrupted; the conversation went on", actor=self.actor)
        if not (await self.runner.state(run_id)).ended:
            if (held := await self.journal.hold()) is not None:
                raise stopped(held)
            raise Refused(f"another process works on this session ({run_id})", hint=f"acp cancel {run_id}")


def _waits(run: RunState) -> bool:
    """Whether a run waits for what the next prompt says: an answer, or words on a plan."""
    return run.waiting_for == "answer" or plan_of_run(run) is not None


async def _forward(subscription: Subscription, tell: Tell, seq: int) -> None:
    """Every fact after `seq` once: a driver that takes the run up again publishes what it read."""
    async for item in subscription:
        if isinstance(item, Event):
            if item.seq <= seq:
                continue
            seq = item.seq
        tell(item)


def title_of(text: str) -> str:
    """A line that names a conversation by its first prompt. Raises UsageError for an empty one."""
    lines = text.strip().splitlines()
    if not lines:
        raise UsageError("the prompt is empty")
    line = lines[0]
    if len(line) <= TITLE_LENGTH:
        return line
    # Not in a word: half of a secret would not be known for one.
    return line[: TITLE_LENGTH + 1].rpartition(" ")[0].rstrip() or line[:TITLE_LENGTH]


def stricter(first: Mode, second: Mode | None) -> Mode:
    """The one of two modes that allows less."""
    return first if second is None else min(first, second, key=STRICT_FIRST.index)
