"""Whether this machine can run agents: each thing a run needs, tried for real, all problems reported at once."""

import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread

from acp_agent.config.egress import private_hosts
from acp_agent.config.paths import config_file, database_location, find_projects_file, state_dir
from acp_agent.config.problem import Problem
from acp_agent.config.projects import load_projects, problems
from acp_agent.config.rules import idle_rules
from acp_agent.config.servers import servers_for
from acp_agent.config.settings import DEFAULT_ROLE, load_settings, model_for, settings_problems
from acp_agent.config.trust import require_trust
from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.hold import LIFT
from acp_agent.fleet.git import git
from acp_agent.fleet.targets import bad_targets
from acp_agent.llm.discover import survey
from acp_agent.store.connection import SCHEMA_VERSION
from acp_agent.store.reads import Reads
from acp_agent.tools.egress.network import Network
from acp_agent.tools.mcp.survey import survey_servers
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.sandbox.probe import Trial, trials

LEAST_GIT = (2, 38)
"""The first git whose `merge-tree` merges without a checkout, which `acp accept` needs."""


OFFERED = (
    "read_file", "list_files", "search", "edit_file", "write_file", "apply_patch", "plan", "shell", "fetch",
    "web_search", "find_tools", "activate_skill", "read_skill_file",
)  # fmt: skip
"""The tools a run may be offered by us."""


class Check(NamedTuple):
    """One thing looked at: `ok` None means that runs do without it, with what `detail` says."""

    name: str
    ok: bool | None
    detail: str
    hint: str | None = None


async def diagnose(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    """Every check in a fixed order; none of them stops the others. A file has a row for each of its problems."""
    checks: tuple[tuple[str, Callable[[], Awaitable[list[Check]]]], ...] = (
        ("git", _git),
        ("sandbox", _sandbox),
        ("config", lambda: _config(environ)),
        ("rules", lambda: _rules(environ)),
        ("database", lambda: _database(environ)),
        ("model", lambda: _model(environ)),
        ("projects", lambda: _projects(environ, cwd)),
        ("mcp", lambda: _servers(environ, cwd)),
    )
    found = []
    for name, check in checks:
        try:
            found += await check()
        except AcpAgentError as error:
            found.append(Check(name, False, error.what, error.hint))
    return found


async def _git() -> list[Check]:
    said = (await git(".", "--version")).text
    numbers = re.search(r"(\d+)\.(\d+)", said)
    fits = numbers is not None and tuple(map(int, numbers.groups())) >= LEAST_GIT
    return [Check("git", fits, said, None if fits else "`acp accept` needs git 2.38 or newer")]


async def _sandbox() -> list[Check]:
    tried = {trial.level: trial for trial in await anyio.to_thread.run_sync(trials, Sandbox())}
    return [_sandbox_check(tried["bwrap"], tried["landlock"])]


def _sandbox_check(bwrap: Trial, landlock: Trial) -> Check:
    hint = "install bubblewrap; in a container allow unprivileged user namespaces"
    if bwrap.problem is None:
        below = "holds too" if landlock.problem is None else f"does not: {landlock.problem}"
        detail = "bwrap holds: commands run without network, home or other files"
        return Check("sandbox", True, f"{detail} (the fallback, landlock, {below})")
    if landlock.problem is None:
        signals = "" if landlock.signals else ", but can signal your other processes"
        detail = f"landlock holds: commands have no network and no other files{signals}"
        return Check("sandbox", True, f"{detail} (bwrap does not: {bwrap.problem})", f"for more, {hint}")
    detail = "no sandbox holds: the shell tool is not offered, gates and set-ups cannot run"
    return Check("sandbox", None, f"{detail} (bwrap: {bwrap.problem}; landlock: {landlock.problem})", hint)


async def _config(environ: Mapping[str, str]) -> list[Check]:
    path = config_file(environ)
    if wrong := settings_problems(environ):
        return _listed("config", wrong)
    there = await anyio.Path(path).exists()
    return [Check("config", True, str(path) if there else f"{path} does not exist: all defaults")]


async def _rules(environ: Mapping[str, str]) -> list[Check]:
    """Rules of the user and of administrators that can never decide anything: most likely a slip of the pen."""
    if settings_problems(environ):
        return []
    settings = load_settings(environ)
    rules = settings.policy.rules
    tools = frozenset((*OFFERED, *settings.table.tools))
    # What a server of tools offers is known only once it runs.
    idle = [(rule, why) for rule, why in idle_rules(rules, tools) if not (settings.table.mcp and "no tool" in why)]
    if idle:
        hint = "mend or remove it; deny beats ask beats allow"
        told = [f"{rule.where}: {rule.shown} never decides anything: {why}" for rule, why in idle]
        return [Check("rules", None, line, hint) for line in told]
    return [Check("rules", True, f"{len(rules)}, each checked with its examples")] if rules else []


async def _database(environ: Mapping[str, str]) -> list[Check]:
    location = database_location(environ)
    with Reads(location) as reads:
        runs = len(reads.runs(limit=1))
        held = reads.hold()
    if isinstance(location, Path) and (problem := _unwritable(location)):
        return [problem]
    shown = str(location) if isinstance(location, Path) else location.shown
    database = Check("database", True, f"{shown}, schema {SCHEMA_VERSION}" if runs else f"{shown} (empty)")
    if held is None:
        return [database]
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(held.since))
    return [database, Check("hold", None, f"{held.what} (since {since})", LIFT)]


def _unwritable(path: Path) -> Check | None:
    folder = next(folder for folder in path.parents if folder.is_dir())
    if os.access(folder, os.W_OK):
        return None
    return Check("database", False, f"{folder} cannot be written", "set ACP_HOME to a folder of your own")


async def _model(environ: Mapping[str, str]) -> list[Check]:
    if settings_problems(environ):
        return [Check("model", None, "not looked for: the config says which", "mend the config first")]
    settings = load_settings(environ)
    chain = model_for(settings, flag=None, environ=environ, task=None, project=None, role=DEFAULT_ROLE)
    place = "ACP_MODEL" if environ.get("ACP_MODEL") else "config.toml"
    rows = await survey({place: chain} if chain else {}, environ)
    chosen = next((row for row in rows if row.chosen), None)
    if chosen is not None:
        return [Check("model", True, f"{chosen.model} ({chosen.source}: {chosen.why})")]
    looked = "; ".join(f"{row.source}: {row.why}" for row in rows)
    hint = "set OPENAI_API_KEY or OPENAI_BASE_URL, or start Ollama; see acp models ls"
    return [Check("model", False, looked, hint)]


async def _projects(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    try:
        path = find_projects_file(cwd, None, environ)
    except AcpAgentError as error:
        return [Check("projects", None, error.what, error.hint)]
    if wrong := problems(path):
        return _listed("projects", wrong)
    file = load_projects(path)
    if misplaced := [*bad_targets(file), *file.place_problems()]:
        return _listed("projects", misplaced)
    require_trust(file.path, file.commands(), state_dir(environ))
    return [Check("projects", True, f"{path}: {len(file.projects)} projects, trusted")]


async def _servers(environ: Mapping[str, str], cwd: Path) -> list[Check]:
    """Every MCP server that a run here would have, started for real; no row where there is none."""
    if settings_problems(environ):
        return []
    settings = load_settings(environ)
    table = settings.table
    state = state_dir(environ)
    servers = await anyio.to_thread.run_sync(servers_for, table.mcp, cwd, environ, state, table.egress)
    if not servers:
        return []
    sandbox = Sandbox(level=table.sandbox.level, state=state / "sandbox")
    answers = await survey_servers(servers, cwd, state, sandbox, Network(private=private_hosts(settings)))
    return [Check(f"mcp {one.name}", one.ok or None, one.detail, one.hint) for one in answers]


def _listed(name: str, wrong: Iterable[Problem]) -> list[Check]:
    return [Check(name, False, str(problem), problem.hint) for problem in wrong]
