"""The composition root: settings become parts here, and nowhere else are implementations chosen."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from pydantic import SecretStr

from acp_agent.config.egress import private_hosts, web_search_secrets
from acp_agent.config.hook_tables import hooks_of
from acp_agent.config.known_secrets import KnownSecrets
from acp_agent.config.login import with_login
from acp_agent.config.notify_tables import channel_secrets
from acp_agent.config.paths import CONFIG_FILE, config_file, database_location, state_dir
from acp_agent.config.servers import servers_for
from acp_agent.config.settings import (
    Settings,
    load_settings,
    resolve_keys,
    reviewer_of,
)
from acp_agent.config.settings_tables import Prices
from acp_agent.config.skills import activate
from acp_agent.config.tools import declared_tools as tools_declared
from acp_agent.config.tools import tool_secrets
from acp_agent.domain.declared import DeclaredTool
from acp_agent.domain.egress import AllowList
from acp_agent.domain.errors import UsageError
from acp_agent.domain.policy import InForce, Mode
from acp_agent.domain.ports import Tools
from acp_agent.domain.redact import Redactor
from acp_agent.domain.request import RunRequest
from acp_agent.domain.rules import closed_paths
from acp_agent.domain.servers import ToolServer
from acp_agent.engines.local import LocalEngine
from acp_agent.fleet.commands import SandboxedCommands
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import ModelPrice, Provider
from acp_agent.llm.sources import providers_of
from acp_agent.observe.logs import logs_on_stderr
from acp_agent.observe.memory import imports_are_done
from acp_agent.runs.allowances import Allowances
from acp_agent.runs.bus import Bus
from acp_agent.runs.escalating import Escalating
from acp_agent.runs.hooks import Hooks
from acp_agent.runs.models import Models
from acp_agent.runs.parts import Parts, ToolsOf
from acp_agent.runs.runner import Runner
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.tools.census import ignored_folders
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.outlet import Outlet
from acp_agent.tools.guard import open_tools
from acp_agent.tools.mcp.servers import opened_servers
from acp_agent.tools.outputs import Outputs
from acp_agent.tools.preference import prefers_patches
from acp_agent.tools.registry import Tool
from acp_agent.tools.sandbox.model import Sandbox, exposes_home
from acp_agent.tools.skills import skill_tools
from acp_agent.tools.snapshots import ShadowSnapshots
from acp_agent.tools.workbench import Workbenches, with_lent

if TYPE_CHECKING:
    from acp_agent.fleet.batches import Batches
    from acp_agent.fleet.handing import Handing
    from acp_agent.fleet.undo import Undo
    from acp_agent.loops.loops import Loops
    from acp_agent.runs.conversations import Conversations
    from acp_agent.runs.sessions import Sessions


@dataclass(frozen=True)
class App:
    """One process's agent, as surfaces use it. What only some surfaces use is imported and made when one asks.

    `uses_login` says that `environ` holds what was entered at `acp serve --login`, beside what the process was started
    with.
    """

    environ: Mapping[str, str]
    cwd: Path
    settings: Settings
    journal: StoredJournal
    runner: Runner
    engine: LocalEngine
    models: Models
    bus: Bus
    allowances: Allowances
    redact: Redactor
    places: GitWorkplaces
    hooks: Hooks
    tools: ToolsOf
    workbenches: Workbenches
    uses_login: bool = False

    @cached_property
    def batches(self) -> "Batches":
        """The batches of this store."""
        from acp_agent.fleet.batches import Batches

        return Batches(self.environ, self.cwd, self.models, self.journal, self.runner, self.engine, self.bus)

    @cached_property
    def sessions(self) -> "Sessions":
        """The sessions of this store."""
        from acp_agent.runs.sessions import Sessions

        return Sessions(self.journal)

    @cached_property
    def conversations(self) -> "Conversations":
        """The turns of sessions that this process drives."""
        from acp_agent.config.person import person_name
        from acp_agent.runs.conversations import Conversations

        drives = (self.journal, self.sessions, self.runner, self.engine, self.bus, self.allowances)
        return Conversations(self.models, *drives, actor=f"person:{person_name()}")

    @cached_property
    def handing(self) -> "Handing":
        """What passes workplaces between runs and people."""
        from acp_agent.fleet.handing import Handing

        snapshots = ShadowSnapshots(state_dir(self.environ), self.environ)
        return Handing(self.journal, self.runner, self.engine, snapshots, self.environ)

    @cached_property
    def undo(self) -> "Undo":
        """What takes back the changes of runs."""
        from acp_agent.fleet.compensating import Compensating
        from acp_agent.fleet.undo import Undo

        compensating = Compensating(self.journal, self.tools)
        return Undo(state_dir(self.environ), self.journal, self.engine, self.places, compensating)

    def loops(self) -> "Loops":
        """The loops of this store."""
        from acp_agent.loops.loops import Loops

        sandbox = Sandbox(level=self.settings.table.sandbox.level)
        return Loops(
            environ=self.environ,
            cwd=self.cwd,
            models=self.models,
            journal=self.journal,
            runner=self.runner,
            engine=self.engine,
            bus=self.bus,
            places=self.places,
            commands=SandboxedCommands(sandbox, self.redact),
            redact=self.redact,
            hooks=self.hooks,
        )


MILLION = 1_000_000


def _providers(settings: Settings, environ: Mapping[str, str]) -> dict[str, Provider]:
    """What the environment says of each provider, with what the user's config says on top."""
    providers = providers_of(environ)
    for name, given in settings.table.providers.items():
        keys = tuple(SecretStr(key) for key in resolve_keys(given, environ))
        changes = {
            "base_url": given.base_url,
            "keys": keys or None,
            "max_concurrent": given.max_concurrent,
            "vision": given.vision or None,
        }
        kept = {key: value for key, value in changes.items() if value is not None}
        providers[name] = providers.get(name, Provider(name=name)).model_copy(update=kept)
    for model, price in settings.prices().items():
        name, _, rest = model.partition("/")
        provider = providers.get(name, Provider(name=name))
        own = _per_token(price)
        providers[name] = provider.model_copy(update={"prices": {**provider.prices, rest: own}})
    return providers


def _per_token(price: Prices) -> ModelPrice:
    cached = None if price.cached_input is None else price.cached_input / MILLION
    return ModelPrice(input=price.input / MILLION, output=price.output / MILLION, cached=cached)


def _tools(
    redact: KnownSecrets,
    sandbox: Sandbox,
    settings: Settings,
    environ: Mapping[str, str],
    network: Network,
    benches: Workbenches,
) -> ToolsOf:
    table = settings.table
    declared, missing = tools_declared(table.tools, environ, table.egress)
    # Built once: a tool's breaker is shared by all runs of this process.
    extra = _declared(declared, sandbox, environ, network)
    searching = _web_search(settings, environ, redact)

    async def tools_of(request: RunRequest, path: str) -> Tools:
        state = state_dir(environ)

        def look() -> tuple[ToolServer, ...]:
            # A run that is taken up again started in another process, which learnt them then.
            for entered in (path, *request.workplace.also):
                redact.enter(entered)
            # The project's own servers: as a person's checkout names them, not what the agent makes of the file.
            place = Path(request.workplace.root) / request.workplace.subdir
            return servers_for(table.mcp, place, environ, state, table.egress)

        servers = await anyio.to_thread.run_sync(look)
        bench = benches.of(request.session_id) if request.attended else None
        servers = with_lent(servers, bench.servers) if bench else servers
        redact.learn(secret for server in servers for secret in server.secrets)
        outlet = Outlet(network, AllowList.of(request.egress))
        folders = tuple(Path(skill.folder) for skill in request.skills)
        protected: tuple[Path, ...] = ()
        if request.protect_ignored:
            protected = await anyio.to_thread.run_sync(ignored_folders, Path(path), environ)
        closed = closed_paths((*settings.policy.rules, *request.rules), request.role)
        also = request.workplace.also
        # Commands are not shown a whole home directory, whoever names it.
        readable = (*sandbox.readable, *folders, *(Path(place) for place in also if not exposes_home(Path(place))))
        own = replace(sandbox, readable=readable, readonly=protected, protect=closed)
        skills = skill_tools(request.skills, activate)
        return await open_tools(
            Path(path),
            read_only=request.read_only,
            unattended=not request.attended,
            redactor=redact,
            sandbox=own,
            extra=(*_planning(request), *skills, *_fetch(outlet, redact), *searching, *extra),
            lines=tuple(missing),
            patches=prefers_patches(request.models),
            source=benches.started.open(servers, Path(path), attended=request.attended, read_only=request.read_only),
            gates=tuple(gate.run for gate in request.gates),
            protect=request.protect,
            private=settings.private,
            also=also,
            outlet=outlet,
            outputs=Outputs.below(state),
            bench=bench,
        )

    return tools_of


def _declared(
    declared: Sequence[DeclaredTool], sandbox: Sandbox, environ: Mapping[str, str], network: Network
) -> tuple[Tool, ...]:
    """The tools that a person declared."""
    if not declared:
        return ()
    from acp_agent.tools.declared import declared_tools

    return tuple(declared_tools(declared, sandbox, environ, network))


def _planning(request: RunRequest) -> tuple[Tool, ...]:
    """The tool `propose_plan`, in mode `plan`."""
    if request.mode is not Mode.PLAN or request.read_only:
        return ()
    from acp_agent.tools.propose_plan import propose_plan

    return (propose_plan,)


def _fetch(outlet: Outlet, redact: Redactor) -> tuple[Tool, ...]:
    """The tool `fetch`, where there is anything it could reach."""
    if not outlet.is_open:
        return ()
    from acp_agent.tools.egress.fetch import fetch_tool

    return (fetch_tool(outlet, lambda text: redact(text) != text),)


def _web_search(settings: Settings, environ: Mapping[str, str], redact: Redactor) -> tuple[Tool, ...]:
    """The tool `web_search`, where a search engine is configured; that one may lie in a private network."""
    given = settings.table.web_search
    if given is None:
        return ()
    from acp_agent.tools.egress.search import engine_at, web_search_tool

    engine = engine_at(given.url)
    key = None if given.key is None else environ.get(given.key.removeprefix("env:"))
    return (web_search_tool(engine, key or None, lambda text: redact(text) != text),)


def _places(sandbox: Sandbox, redact: Redactor, state: Path) -> GitWorkplaces:
    gates, setups = SandboxedCommands(sandbox, redact), SandboxedCommands(sandbox, redact, network=True)
    return GitWorkplaces(gates, setups, state=state)


def _hooks(settings: Settings, environ: Mapping[str, str], redact: Redactor, sandbox: Sandbox) -> Hooks:
    """The user's hooks; their scripts lie in `hooks/` beside config.toml, which the sandbox shows to no one else."""
    scripts = config_file(environ).parent / "hooks"
    shown = replace(sandbox, readable=(*sandbox.readable, scripts))
    return Hooks(hooks_of(settings.table.hooks, CONFIG_FILE), shown, redact)


def _policy(settings: Settings, allowances: Allowances) -> Callable[[RunRequest], Awaitable[InForce]]:
    policy = settings.policy.model_copy(update={"reviewer": reviewer_of(settings)})

    async def in_force(request: RunRequest) -> InForce:
        granted = await allowances.rules(request.role, request.workplace.root)
        return policy.and_rules(granted)

    return in_force


def _engine(journal: StoredJournal, runner: Runner, settings: Settings, environ: Mapping[str, str]) -> LocalEngine:
    escalating = Escalating(journal, settings.channels, environ)
    return LocalEngine(journal, runner, owner_of_this_process(), escalating=escalating)


@asynccontextmanager
async def _gateway(
    settings: Settings, providers: Mapping[str, Provider], redact: Redactor, journal: StoredJournal
) -> AsyncIterator[Gateway]:
    shared = None
    if settings.table.concurrency:
        from acp_agent.llm.shared import SharedLimits

        shared = SharedLimits(journal.permits(owner_of_this_process()), settings.table.concurrency)
    gateway = Gateway(providers, PriceTable(), redact, shared)
    try:
        yield gateway
    finally:
        with anyio.CancelScope(shield=True):
            await gateway.aclose()


def _crash_points(environ: Mapping[str, str]) -> Callable[[str], None] | None:
    """Where crash tests kill this process; production code never loads the module."""
    if not (environ.get("ACP_CRASH_AT") or environ.get("ACP_CRASH_LOG")):
        return None
    from acp_agent.testing.crash import CrashPoints

    return CrashPoints.from_env(environ).hit


@asynccontextmanager
async def open_journal(environ: Mapping[str, str]) -> AsyncIterator[StoredJournal]:
    """The record alone, for what must work whatever the settings say."""
    async with StoredJournal(database_location(environ), crash=_crash_points(environ)) as journal:
        yield journal


@asynccontextmanager
async def open_app(environ: Mapping[str, str], cwd: Path) -> AsyncIterator[App]:
    """The parts of this process, open until the block ends. Raises UsageError for bad settings or a bad database."""
    imports_are_done()
    started_with, environ = environ, with_login(environ)
    settings = load_settings(environ)
    providers = _providers(settings, environ)
    keys = (key.get_secret_value() for provider in providers.values() for key in provider.keys)
    named = (*tool_secrets(settings.table, environ), *web_search_secrets(settings, environ))
    redact = KnownSecrets(environ, (*keys, *named, *channel_secrets(settings.channels, environ)))
    sandbox = Sandbox(level=settings.table.sandbox.level, state=state_dir(environ) / "sandbox")
    bus = Bus()
    location = database_location(environ)
    state = state_dir(environ)
    try:
        await anyio.Path(state).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "set ACP_HOME to a folder of your own"
        raise UsageError(f"the state folder {state} cannot be made: {error.strerror}", hint=hint) from None
    async with AsyncExitStack() as stack:
        stack.enter_context(logs_on_stderr(redact))
        journal = StoredJournal(location, crash=_crash_points(environ), redact=redact)
        await stack.enter_async_context(journal)
        gateway = await stack.enter_async_context(_gateway(settings, providers, redact, journal))
        network = Network(private=private_hosts(settings))
        servers = opened_servers(state, sandbox, network)
        benches = Workbenches(await stack.enter_async_context(servers))
        places = _places(sandbox, redact, state)
        tools = _tools(redact, sandbox, settings, environ, network, benches)
        hooks = _hooks(settings, environ, redact, sandbox)
        allowances = Allowances(journal)
        watched = (bus, hooks, redact, _policy(settings, allowances))
        runner = Runner(Parts(journal, gateway, tools, places, ShadowSnapshots(state, environ), *watched))
        engine = _engine(journal, runner, settings, environ)
        models = Models(settings, environ, gateway)
        parts = (settings, journal, runner, engine, models, bus, allowances, redact, places, hooks, tools, benches)
        yield App(environ, cwd, *parts, uses_login=environ is not started_with)
