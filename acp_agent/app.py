"""The composition root: settings become parts here, and nowhere else are implementations chosen."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import TaskStatus
from pydantic import SecretStr

from acp_agent.config.paths import database_path, state_dir
from acp_agent.config.settings import (
    Settings,
    load_settings,
    model_for,
    resolve_chain,
    resolve_keys,
    settings_not_in_force,
)
from acp_agent.domain.budget import Limits
from acp_agent.domain.errors import Refused, UsageError
from acp_agent.domain.events import Accepted, BatchEnded, Decision, Event, Rejected
from acp_agent.domain.policy import Mode
from acp_agent.domain.ports import Tools
from acp_agent.domain.redact import Redactor, secrets_of
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState
from acp_agent.engines.local import LocalEngine
from acp_agent.fleet import land
from acp_agent.fleet.ask import RunAsk
from acp_agent.fleet.commands import SandboxedCommands
from acp_agent.fleet.plan import Agent, Job, Plan, Price, Target, build, streams
from acp_agent.fleet.resolve import Resolved, Site, resolve
from acp_agent.fleet.view import BatchView
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.llm.check import ModelCheck, check_model
from acp_agent.llm.discover import Found, choose, survey
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import ModelPrice, Provider
from acp_agent.llm.sources import providers_of
from acp_agent.runs.bus import Bus
from acp_agent.runs.parts import Parts
from acp_agent.runs.runner import Runner
from acp_agent.store.journal import SqliteJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.store.reads import Reads
from acp_agent.tools.guard import open_tools
from acp_agent.tools.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class App:
    """One process's agent: the parts, and what surfaces ask of them."""

    environ: Mapping[str, str]
    cwd: Path
    settings: Settings
    journal: SqliteJournal
    gateway: Gateway
    runner: Runner
    engine: LocalEngine
    bus: Bus

    async def plan(self, ask: RunAsk) -> Plan:
        """What `ask` would start; spends and writes nothing. UsageError 2, NothingSelected 5, Refused 6."""
        found = await resolve(ask, self.cwd, self.environ)
        models, source = await self._models(ask, found)
        max_cost = _least(ask.max_cost, found.per_batch, self.settings.table.budget.per_batch)
        schema = ask.answer_schema or (found.task.answer_schema if found.task else None)
        job = Job(
            prompt=found.prompt,
            read_only=found.read_only,
            commit=ask.commit,
            answer_schema=schema,
            max_cost=max_cost,
        )
        targets = [self._target(ask, found, site, models[site.project]) for site in found.sites]
        plan = build(job, targets, self._price, source, state_dir(self.environ) / "worktrees")
        unused = (f"config.toml: {key} is not acted on by this version" for key in settings_not_in_force(self.settings))
        return plan.with_warnings((*found.warnings, *unused))

    async def start(self, plan: Plan, actor: str = "cli") -> str:
        """Put the batch and its runs on record as queued, in one transaction; returns the batch's id."""
        await self.journal.create(streams(plan), actor)
        return plan.batch_id

    async def work(self, batch_id: str, jobs: int, on_event: Callable[[Event], None] | None = None) -> None:
        """Drive the runs of a batch until each has ended or waits; `on_event` sees every fact as it is recorded."""
        async with anyio.create_task_group() as group:
            if on_event is not None:
                await group.start(self._forward, on_event)
            await self.engine.work(batch_id, jobs)
            group.cancel_scope.cancel()
        await self._close_batch(batch_id)

    async def answer(self, run_id: str, decision: Decision, call_id: str | None = None, note: str = "") -> None:
        """A person's answer to what a run waits for."""
        await self.runner.answer(self.engine, run_id, decision, call_id=call_id, note=note, actor="cli")

    async def cancel(self, run_id: str, note: str = "") -> None:
        """Ask a run to end, wherever it is driven; one that nobody drives is ended here."""
        await self.runner.cancel(self.engine, run_id, note=note, actor="cli")

    async def diff(self, run_id: str, stat: bool = False) -> str:
        """What a run changed, as a patch or as git's `--stat`."""
        state, request = await self._request(run_id)
        commit = state.committed.commit if state.committed else None
        return await (land.stat if stat else land.diff)(request.workplace, commit)

    async def accept(self, run_id: str) -> str:
        """Merge a run's commit into the branch it started from; returns that branch's new head."""
        state, request = await self._request(run_id)
        if not state.ended:
            raise Refused(f"{run_id} has not ended yet", hint=f"acp show {run_id}")
        if isinstance(state.landed, Rejected):
            raise Refused(f"{run_id} was rejected", hint=f"its commit is kept: git merge {state.landed.ref}")
        accepted = await land.accept(run_id, request.workplace)
        if state.landed is None:
            await self.journal.note(run_id, [accepted], "cli")
        return accepted.commit

    async def reject(self, run_id: str, note: str = "") -> None:
        """Put a run's result aside: its branch and worktree go, its commit is kept under a ref."""
        state, request = await self._request(run_id)
        if not state.ended:
            raise Refused(f"{run_id} has not ended yet", hint=f"acp cancel {run_id}")
        if isinstance(state.landed, Accepted):
            raise Refused(f"{run_id} was accepted already", hint=f"undo it with git revert {state.landed.commit}")
        if request.workplace.kind == "inplace":
            raise Refused(
                f"{run_id} worked in place: there is no branch to put aside", hint="use git to undo its changes"
            )
        rejected = await land.reject(run_id, request.workplace, note)
        if state.landed is None:
            await self.journal.note(run_id, [rejected], "cli")

    async def unfinished(self, batch_id: str | None, everything: bool) -> list[str]:
        """Batches with runs that somebody should drive on: the one named, all, or else the newest; oldest first.

        Raises Refused when the one named is being worked on by another process.
        """
        with Reads(database_path(self.environ)) as reads:
            batches = [batch_id] if batch_id else [batch.id for batch in reads.batches(MANY)]
            found = []
            for each in batches:
                alive = [row for row in reads.runs(batch_id=each, limit=MANY) if row.status in ("queued", "running")]
                if alive and any(row.driven for row in alive):
                    if batch_id:
                        raise Refused(f"{batch_id} is worked on by another process", hint=f"acp logs -f {batch_id}")
                elif alive:
                    found.append(each)
        return list(reversed(found if everything or batch_id else found[:1]))

    async def models(self) -> tuple[Found, ...]:
        """Every place a model was looked for, what was found there and why."""
        return await survey(self._named_models(), self.environ)

    async def test_models(self, names: Sequence[str]) -> list[ModelCheck]:
        """One real call to each of `names` (aliases or models; by default the chain that `acp run` would use)."""
        if names:
            chosen = [model for name in names for model in resolve_chain(self.settings, name)]
        else:
            chosen = list((await choose(self._named_models(), self.environ)).models)
        if not chosen:
            raise UsageError("no model was found", hint=NO_MODEL)
        return [await check_model(self.gateway, model) for model in dict.fromkeys(chosen)]

    def _named_models(self) -> dict[str, tuple[str, ...]]:
        chain = model_for(self.settings, flag=None, environ=self.environ, task=None, project=None, role="coder")
        return {"ACP_MODEL" if self.environ.get("ACP_MODEL") else "config.toml": chain} if chain else {}

    async def _request(self, run_id: str) -> tuple[RunState, RunRequest]:
        state = await self.runner.state(run_id)
        if state.request is None:
            raise UsageError(f"there is no run {run_id}", hint="acp ps")
        return state, state.request

    async def _forward(
        self, on_event: Callable[[Event], None], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with self.bus.subscribe("*") as subscription:
            task_status.started()
            async for item in subscription:
                if isinstance(item, Event):
                    on_event(item)

    async def _close_batch(self, batch_id: str) -> None:
        """Put the outcome of the whole batch on record."""
        view = BatchView(batch_id)
        with Reads(database_path(self.environ)) as reads:
            for run in reads.runs(batch_id=batch_id, limit=MANY):
                for row in reads.events(run.id):
                    view.apply(run.id, row.seq, row.ts, row.data)
        code, reason = view.exit()
        await self.journal.note(batch_id, [BatchEnded(exit_code=int(code), reason=reason)], "cli")

    async def _models(self, ask: RunAsk, found: Resolved) -> tuple[dict[str, tuple[str, ...]], str]:
        """The chain of each project and why: what a person or the configuration names, else what discovery finds."""
        named = {
            site.project: model_for(
                self.settings,
                flag=ask.model,
                environ=self.environ,
                task=found.task.model if found.task else None,
                project=site.model,
                role=self._role_name(ask, found, site),
            )
            for site in found.sites
        }
        chains = {project: chain for project, chain in named.items() if chain is not None}
        if len(chains) == len(named):
            return chains, "named by --model" if ask.model else "as configured"
        choice = await choose({}, self.environ)
        if not choice.models:
            looked = "; ".join(f"{row.source}: {row.why}" for row in choice.rows)
            raise UsageError(f"no model was found ({looked})", hint=NO_MODEL)
        row = choice.rows[-1]
        return {project: chains.get(project, choice.models) for project in named}, f"{row.source}: {row.why}"

    def _role_name(self, ask: RunAsk, found: Resolved, site: Site) -> str:
        return ask.role or (found.task.role if found.task else None) or site.role or "coder"

    def _target(self, ask: RunAsk, found: Resolved, site: Site, models: tuple[str, ...]) -> Target:
        name = self._role_name(ask, found, site)
        role = self.settings.role(name)
        defaults = Limits()
        caps = (found.task.max_cost if found.task else None, site.max_cost, role.max_cost)
        limits = Limits(
            max_steps=ask.max_steps or role.max_steps or defaults.max_steps,
            max_time=ask.timeout or _least(site.timeout, role.max_time) or defaults.max_time,
            max_cost=ask.max_cost_each if ask.max_cost_each is not None else _least(*caps),
        )
        agent = Agent(
            models=models,
            limits=limits,
            role=name,
            role_prompt=role.prompt or "",
            mode=role.policy or Mode.AUTO,
        )
        return Target(agent=agent, site=site)

    def _price(self, model: str) -> Price:
        price = self.gateway.price(model)
        return Price(price.input, price.output) if price else Price(None, None)


NO_MODEL = "set OPENAI_API_KEY or OPENAI_BASE_URL, start a LiteLLM proxy or Ollama, or give --model; acp models ls"
MANY = 10_000


def _least(*caps: float | None) -> float | None:
    """The tightest of several caps."""
    return min((cap for cap in caps if cap is not None), default=None)


def _providers(settings: Settings, environ: Mapping[str, str]) -> dict[str, Provider]:
    """What the environment says of each provider, with what the user's config says on top."""
    providers = providers_of(environ)
    for name, given in settings.table.providers.items():
        keys = tuple(SecretStr(key) for key in resolve_keys(given, environ))
        changes = {
            "base_url": given.base_url,
            "keys": keys or None,
            "max_concurrent": given.max_concurrent,
        }
        kept = {key: value for key, value in changes.items() if value is not None}
        providers[name] = providers.get(name, Provider(name=name)).model_copy(update=kept)
    for model, price in settings.prices().items():
        name, _, rest = model.partition("/")
        provider = providers.get(name, Provider(name=name))
        own = ModelPrice(input=price.input, output=price.output, cached=price.cached_input)
        providers[name] = provider.model_copy(update={"prices": {**provider.prices, rest: own}})
    return providers


def _tools(redact: Redactor, sandbox: Sandbox) -> Callable[[RunRequest, str], Awaitable[Tools]]:
    async def tools_of(request: RunRequest, path: str) -> Tools:
        return await open_tools(Path(path), read_only=request.read_only, redactor=redact, sandbox=sandbox)

    return tools_of


def _crash_points(environ: Mapping[str, str]) -> Callable[[str], None] | None:
    """Where crash tests kill this process; production code never loads the module."""
    if not (environ.get("ACP_CRASH_AT") or environ.get("ACP_CRASH_LOG")):
        return None
    from acp_agent.testing.crash import CrashPoints

    return CrashPoints.from_env(environ).hit


@asynccontextmanager
async def open_app(environ: Mapping[str, str], cwd: Path) -> AsyncIterator[App]:
    """The parts of this process, open until the block ends. Raises UsageError for bad settings or a bad database."""
    settings = load_settings(environ)
    redact = Redactor(secrets_of(environ))
    sandbox = Sandbox(level=settings.table.sandbox.level)
    bus = Bus()
    gateway = Gateway(_providers(settings, environ), PriceTable())
    path = database_path(environ)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        async with SqliteJournal(path, crash=_crash_points(environ)) as journal:
            places = GitWorkplaces(SandboxedCommands(sandbox, redact), SandboxedCommands(sandbox, redact, network=True))
            runner = Runner(Parts(journal, gateway, _tools(redact, sandbox), places, bus))
            engine = LocalEngine(journal, runner, owner_of_this_process())
            yield App(environ, cwd, settings, journal, gateway, runner, engine, bus)
    finally:
        with anyio.CancelScope(shield=True):
            await gateway.aclose()
