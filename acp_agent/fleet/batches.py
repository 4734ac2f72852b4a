"""Batches: planned, started, driven, resumed, and what becomes of their results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from acp_agent.config.egress import granted
from acp_agent.config.limits_tables import run_limits, with_batch
from acp_agent.config.paths import database_location, state_dir
from acp_agent.config.settings import DEFAULT_ALIAS, settings_not_in_force
from acp_agent.config.window_caps import window_caps
from acp_agent.domain.budget import Limits
from acp_agent.domain.chain import ERASURE
from acp_agent.domain.errors import NothingSelected, Refused, UsageError
from acp_agent.domain.events import Accepted, Decision, Event, Rejected
from acp_agent.domain.events_batch import BatchEnded
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import Journal
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.run import RunState
from acp_agent.fleet import land
from acp_agent.fleet.ask import RunAsk
from acp_agent.fleet.checkout import Place
from acp_agent.fleet.network import lookup_of, network_warnings
from acp_agent.fleet.plan import Agent, Job, Plan, Price, Target, build, streams
from acp_agent.fleet.resolve import Resolved, Site, resolve
from acp_agent.fleet.skills import with_skills
from acp_agent.fleet.tidy import Leftover, drop_if_empty, tidy
from acp_agent.fleet.view import BatchView
from acp_agent.llm.demonstration import is_demonstration
from acp_agent.runs.bus import Bus, Subscription
from acp_agent.runs.models import Models
from acp_agent.runs.port import Engine
from acp_agent.runs.runner import Runner
from acp_agent.store.reads import Reads
from acp_agent.tools.kept import forget_workplace
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.sandbox.probe import level_for

MANY = 10_000
WORKTREES = "worktrees"
"""The folder in the state directory that holds one folder of worktrees for each batch."""


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of a store, as one process sees them."""

    environ: Mapping[str, str]
    cwd: Path
    models: Models
    journal: Journal
    runner: Runner
    engine: Engine
    bus: Bus

    async def plan(self, ask: RunAsk) -> Plan:
        """What `ask` would start; spends and writes nothing. UsageError 2, NothingSelected 5, Refused 6."""
        settings = self.models.settings
        found = await resolve(ask, self.cwd, self.environ)
        found = await with_skills(found, self.environ, settings.table.skills.disabled)
        await self._check_commands(found)
        models, source = await self._chains(ask, found)
        max_cost = _least(ask.max_cost, found.budget.per_batch, settings.table.budget.per_batch)
        schema = ask.answer_schema or (found.task.answer_schema if found.task else None)
        job = Job(
            prompt=found.prompt,
            read_only=found.read_only,
            commit=ask.commit,
            answer_schema=schema,
            max_cost=max_cost,
            caps=window_caps(found.budget, settings.table.budget),
            hooks=found.hooks,
            rules=found.rules,
            lookup=lookup_of(found.task),
        )
        targets = [self._target(ask, found, site, models[site.project]) for site in found.sites]
        warnings: tuple[str, ...] = ()
        if any(is_demonstration(model) for target in targets for model in target.agent.models):
            from acp_agent.fleet.demonstration import demonstrated

            job, targets, warnings = await demonstrated(job, targets)
        warnings = (*warnings, *network_warnings(settings, found.task, targets))
        plan = build(job, targets, self._price, source, state_dir(self.environ) / WORKTREES)
        unused = (f"config.toml: {key} is not acted on by this version" for key in settings_not_in_force(settings))
        return plan.with_warnings((*warnings, *found.warnings, *unused))

    async def start(self, plan: Plan, actor: str = "cli", queue: str | None = None) -> str:
        """Put the batch and its runs on record as queued, in one transaction; returns the batch's id.

        Workers of `queue` drive them; without one, whoever calls `work`. Raises Refused where more work waits already
        than `[queue] max_runs` lets wait.
        """
        config: dict[str, str] = {}
        if queue == "any":
            from acp_agent.config.fingerprint import fingerprints
            from acp_agent.fleet.clones import check_url
            from acp_agent.fleet.fitting import KNOWN, PRICES

            for item in plan.items:
                check_url(item.project, item.url)
            config = fingerprints(self.models.settings)
            if all(self.is_priced(model) for item in plan.items for model in item.request.models):
                config[PRICES] = KNOWN
        most = self.models.settings.table.queue.max_runs
        opened = await anyio.to_thread.run_sync(streams, plan, queue, config)
        await self.journal.create(opened, actor, most)
        return plan.batch_id

    async def work(self, batch_id: str, jobs: int, on_event: Callable[[Event], None] | None = None) -> None:
        """Drive the runs of a batch until each has ended or waits; `on_event` sees every fact as it is recorded."""
        with self.bus.subscribe("*") as subscription:
            async with anyio.create_task_group() as group:
                if on_event is not None:
                    group.start_soon(_forward, subscription, on_event)
                await self.engine.work(batch_id, jobs)
                subscription.close()
        await self.close(batch_id)

    async def answer(
        self,
        run_id: str,
        decision: Decision,
        call_id: str | None = None,
        note: str = "",
        *,
        binding: str | None = None,
        actor: str = "cli",
    ) -> None:
        """A person's answer to what a run waits for; with `binding`, only to the very call it is the hash of."""
        await self.runner.answer(
            self.engine, run_id, decision, call_id=call_id, binding=binding, note=note, actor=actor
        )

    async def cancel(self, run_id: str, note: str = "") -> None:
        """Ask a run to end, wherever it is driven; one that nobody drives is ended here."""
        await self.runner.cancel(self.engine, run_id, note=note, actor="cli")
        with Reads(database_location(self.environ)) as reads:
            run = reads.run(run_id)
            leftover = Leftover.of(run, reads.events(run_id)) if run else None
        await tidy([leftover] if leftover else [])

    async def diff(self, run_id: str, stat: bool = False) -> str:
        """What a run changed, as a patch or as git's `--stat`; empty where it changed nothing."""
        state, request = await self._request(run_id)
        place = request.workplace
        if request.read_only:
            return ""
        await _bring(state, place)
        if place.kind == "inplace":
            raise Refused(f"{run_id} worked in place: git has its changes", hint=f"git -C {place.root} diff")
        commit = state.committed.commit if state.committed else None
        if commit is None and state.landed is None and state.ended and not await _is_there(place.worktree):
            return ""
        return await (land.stat if stat else land.diff)(place, commit)

    async def accept(self, run_id: str) -> str:
        """Merge a run's commit into the branch it started from; returns that branch's new head.

        Without a commit of the run's own, one that a person made in its worktree is merged.
        """
        state, request = await self._request(run_id)
        place = request.workplace
        if not state.ended:
            raise Refused(f"{run_id} has not ended yet", hint=f"acp show {run_id}")
        if isinstance(state.landed, Rejected):
            raise Refused(f"{run_id} was rejected", hint=f"its commit is kept: git merge {state.landed.ref}")
        if isinstance(state.landed, Accepted):
            raise NothingSelected(f"{run_id} was accepted already", hint=f"git show {state.landed.commit}")
        if place.kind == "inplace":
            raise NothingSelected(f"{run_id} worked in place: there is no branch to merge", hint="git status")
        if state.committed is None or state.committed.commit is None:
            await _check_commit_of_a_person(run_id, place)
        await _bring(state, place)
        accepted = await land.accept(run_id, place)
        await self.journal.note(run_id, [accepted], "cli")
        await anyio.to_thread.run_sync(forget_workplace, state_dir(self.environ), run_id, state.path)
        return accepted.commit

    async def reject(self, run_id: str, note: str = "") -> str | None:
        """Put a run's result aside: its branch and worktree go; returns the ref that keeps what it did, if anything."""
        state, request = await self._request(run_id)
        if not state.ended:
            raise Refused(f"{run_id} has not ended yet", hint=f"acp cancel {run_id}")
        if isinstance(state.landed, Accepted):
            raise NothingSelected(f"{run_id} was accepted already", hint=f"acp undo {run_id} reverts it")
        if isinstance(state.landed, Rejected):
            raise NothingSelected(f"{run_id} was rejected already", hint=f"acp show {run_id}")
        if request.workplace.kind == "inplace":
            raise Refused(
                f"{run_id} worked in place: there is no branch to put aside",
                hint=f"acp undo {run_id} undoes its changes",
            )
        await _bring(state, request.workplace)
        rejected = await land.reject(run_id, request.workplace, note)
        await self.journal.note(run_id, [rejected], "cli")
        await anyio.to_thread.run_sync(forget_workplace, state_dir(self.environ), run_id, state.path)
        return rejected.ref

    async def unfinished(self, batch_id: str | None, everything: bool) -> list[str]:
        """Batches that somebody should drive on or close: the one named, all, or else the newest; oldest first.

        Raises Refused when the one named is being worked on by another process.
        """
        with Reads(database_location(self.environ)) as reads:
            batches = [reads.batch(batch_id)] if batch_id else reads.batches(MANY)
            found = []
            for batch in batches:
                if batch is None:
                    continue
                alive = [
                    row for row in reads.runs(batch_id=batch.id, limit=MANY) if row.status in ("queued", "running")
                ]
                if any(row.driven for row in alive):
                    if batch_id:
                        raise Refused(f"{batch_id} is worked on by another process", hint=f"acp logs -f {batch_id}")
                elif alive or batch.status == "running":
                    # Killed between the end of its last run and its own, it still has places to tidy.
                    found.append(batch.id)
        return list(reversed(found if everything or batch_id else found[:1]))

    async def _request(self, run_id: str) -> tuple[RunState, RunRequest]:
        state = await self.runner.state(run_id)
        if state.request is None:
            raise UsageError(f"there is no run {run_id}", hint="acp ps")
        return state, state.request

    async def close(self, batch_id: str) -> None:
        """Take away the places where nothing was left, then put the outcome of the whole batch on record.

        In this order: a batch that was killed before its end is found by `unfinished` and closed again.
        """
        view = BatchView(batch_id)
        leftovers = []
        with Reads(database_location(self.environ)) as reads:
            for run in reads.runs(batch_id=batch_id, limit=MANY):
                if run.last_type == ERASURE:
                    continue
                rows = reads.events(run.id)
                for row in rows:
                    view.apply(run.id, row.seq, row.ts, row.data)
                leftovers.append(Leftover.of(run, rows))
        await tidy([leftover for leftover in leftovers if leftover])
        await drop_if_empty(state_dir(self.environ) / WORKTREES / batch_id)
        code, reason = view.exit()
        await self.journal.note(batch_id, [BatchEnded(exit_code=int(code), reason=reason)], "cli")

    async def _check_commands(self, found: Resolved) -> None:
        """Refuse gates and set-ups that could not run, before anything is spent."""
        if found.read_only or not any(site.gates or site.setup for site in found.sites):
            return
        level = self.models.settings.table.sandbox.level
        sandbox = Sandbox(level=level, state=state_dir(self.environ) / "sandbox")
        if await anyio.to_thread.run_sync(level_for, sandbox) is None:
            raise Refused(
                "the projects have gates or a setup, and commands cannot run here: there is no working sandbox",
                hint="install bubblewrap, or choose a level in config.toml under [sandbox]; see acp doctor",
            )

    async def _chains(self, ask: RunAsk, found: Resolved) -> tuple[dict[str, tuple[str, ...]], str]:
        """The chain of each project, and why."""
        task = found.task.model if found.task else None
        named = {
            site.project: self.models.named(
                flag=ask.model, task=task, project=site.model, role=_role_name(ask, found, site)
            )
            for site in found.sites
        }
        sources = dict.fromkeys(self._named_by(ask, found, site) for site in found.sites if named[site.project])
        if all(named.values()):
            return {name: chain or () for name, chain in named.items()}, ", ".join(sources)
        choice = await self.models.found(demonstration=True)
        row = choice.rows[-1]
        why = ", ".join((*sources, f"{row.source}: {row.why}"))
        return {name: chain or choice.models for name, chain in named.items()}, why

    def _named_by(self, ask: RunAsk, found: Resolved, site: Site) -> str:
        """Who named the model of a project; in the order of config.settings.model_for."""
        role = _role_name(ask, found, site)
        places = (
            ("--model", ask.model),
            ("ACP_MODEL", self.environ.get("ACP_MODEL")),
            (f"task {ask.task}", found.task.model if found.task else None),
            ("projects.toml", site.model),
            (f"role {role}", self.models.settings.role(role).model),
        )
        place, name = next(((place, name) for place, name in places if name), ("config.toml", DEFAULT_ALIAS))
        return f"{place}: alias {name}" if name in self.models.settings.table.models else place

    def _target(self, ask: RunAsk, found: Resolved, site: Site, models: tuple[str, ...]) -> Target:
        name = _role_name(ask, found, site)
        role = self.models.settings.role(name)
        defaults, user = Limits(), self.models.settings.table.limits
        caps = (found.task.max_cost if found.task else None, site.max_cost, role.max_cost)
        limits = Limits(
            max_steps=ask.max_steps or role.max_steps or defaults.max_steps,
            max_time=ask.timeout or _least(site.timeout, role.max_time) or defaults.max_time,
            idle=site.idle,
            max_cost=ask.max_cost_each if ask.max_cost_each is not None else _least(*caps),
        )
        agent = Agent(
            models=models,
            limits=limits,
            role=name,
            role_prompt=role.prompt or "",
            mode=role.policy or Mode.AUTO,
            blast=with_batch(run_limits(user, role.limits, site.limits), user),
            protect_ignored=site.protect_ignored or user.protect_ignored,
            egress=granted(self.models.settings, name, found.task.egress if found.task else ()).hosts,
        )
        return Target(agent=agent, site=site)

    def is_priced(self, model: str) -> bool:
        """Whether this process knows what a model costs."""
        return self.models.price(model) is not None

    def _price(self, model: str) -> Price:
        price = self.models.price(model)
        return Price(price.input, price.output) if price else Price(None, None)


async def _bring(state: RunState, place: Workplace) -> None:
    """Have here what another host made, until it has landed."""
    made = state.committed
    if made is not None and made.commit is not None and made.bundle is not None and state.landed is None:
        from acp_agent.fleet.clones import brought

        await brought(place, made.commit, made.bundle)


async def _is_there(worktree: str | None) -> bool:
    return worktree is not None and await anyio.Path(worktree).is_dir()


async def _check_commit_of_a_person(run_id: str, place: Workplace) -> None:
    """Refuse to land a run that left no commit, unless somebody has made one on its branch since."""
    whole = Place.of(place)
    if await whole.tip() in (None, whole.base):
        if not await _is_there(place.worktree):
            raise NothingSelected(f"{run_id} changed nothing: there is nothing to accept", hint=f"acp show {run_id}")
        hint = f"commit what you want of {place.worktree} there, then accept again; or acp reject {run_id}"
        raise NothingSelected(f"{run_id} left no commit: there is nothing to accept", hint=hint)


async def _forward(subscription: Subscription, on_event: Callable[[Event], None]) -> None:
    async for item in subscription:
        if isinstance(item, Event):
            on_event(item)


def _role_name(ask: RunAsk, found: Resolved, site: Site) -> str:
    return ask.role or (found.task.role if found.task else None) or site.role or "coder"


def _least(*caps: float | None) -> float | None:
    """The tightest of several caps."""
    return min((cap for cap in caps if cap is not None), default=None)
