"""The user's settings: models, providers, roles and limits of config.toml, and the questions asked of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from acp_agent.config.names import printable, shown_key
from acp_agent.config.nearness import nearest
from acp_agent.config.notify_tables import channels_of, escalations_of, notify_problems
from acp_agent.config.paths import config_file
from acp_agent.config.presets import egress_problems
from acp_agent.config.problem import FileError, Problem, by_line, raise_first
from acp_agent.config.rules import ManagedTable, PolicyTable, managed_files, rule_problems, rules_of
from acp_agent.config.settings_tables import Prices, Provider, Role, SettingsTable
from acp_agent.config.tables import checked, problem_at, tables_in
from acp_agent.config.toml_source import Key, TomlSource, read_toml
from acp_agent.config.tools import tool_problems
from acp_agent.domain.egress import PRESETS
from acp_agent.domain.errors import UsageError
from acp_agent.domain.notify import Channel
from acp_agent.domain.policy import InForce
from acp_agent.domain.rules import Rule

Aliases = Mapping[str, Sequence[str]]

DEFAULT_ROLE = "coder"
DEFAULT_ALIAS = "main"
REVIEWER_ROLE = "reviewer"
MAKERS = {"claude": "anthropic", "gemini": "gemini", "mistral": "mistral", "deepseek": "deepseek"}
"""Whose models are called so, for a hint; the others are taken for OpenAI's."""
NOT_IN_FORCE: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Settings:
    """config.toml, checked; without a file all defaults. `path` is None where there is no file.

    `policy` has the rules of an administrator's files too, `channels` their channels, which stand in for those of the
    same name, and `private` the names of files that both of them add.
    """

    table: SettingsTable = field(default_factory=SettingsTable)
    path: Path | None = None
    policy: InForce = field(default_factory=InForce)
    private: tuple[str, ...] = ()
    channels: Mapping[str, Channel] = field(default_factory=dict)

    def role(self, name: str) -> Role:
        """The role `name`; `coder` exists without being defined. Raises UsageError for an unknown one."""
        if found := self.table.roles.get(name):
            return found
        if name == DEFAULT_ROLE:
            return Role()
        known = sorted({*self.table.roles, DEFAULT_ROLE})
        raise UsageError(f"no role named {printable(name)}", hint=nearest(name, known))

    def provider(self, name: str) -> Provider:
        """What is set for a provider; one that nothing is set for has no address and no keys."""
        return self.table.providers.get(name) or Provider()

    def prices(self) -> dict[str, Prices]:
        """Configured prices by `provider/model`; a provider's own beat those of an alias."""
        found: dict[str, Prices] = {}
        for name, alias in self.table.models.items():
            if alias.prices:
                for model in resolve_chain(self, name):
                    found.setdefault(model, alias.prices)
        for name, provider in self.table.providers.items():
            found.update({f"{name}/{model}": prices for model, prices in provider.prices.items()})
        return found


def load_settings(environ: Mapping[str, str]) -> Settings:
    """The settings of `config_file(environ)`; a missing file is all defaults unless `ACP_CONFIG` names it.

    Raises UsageError with the first problem and the number of the others.
    """
    source = _source(environ)
    table, found = (SettingsTable(), []) if source is None else _checked(source)
    raise_first(found, "mend this line; acp doctor lists every problem")
    assert table is not None
    managed = _managed(environ)
    tables = [each.policy for each, _ in managed]
    rules = [rule for each, file in managed for rule in rules_of(each.policy, file, "managed")]
    channels = channels_of(table.notify)
    for each, _ in managed:
        channels |= channels_of(each.notify)
    if source is not None:
        tables.append(table.policy)
        rules += rules_of(table.policy, source, "user")
    private = tuple(name for policy in tables for name in policy.private)
    return Settings(table, source.path if source else None, _in_force(tables, rules), private, channels)


def _in_force(tables: Sequence[PolicyTable], rules: Sequence[Rule]) -> InForce:
    """All of the rules, the strictest word on what nobody watches, and the steps of whoever waits the shortest."""
    denies = any(policy.unattended == "deny" for policy in tables)
    in_force = InForce(rules=tuple(rules), unattended="deny" if denies else "park")
    timed = [(policy.answer_within, policy) for policy in tables if policy.answer_within is not None]
    if not timed:
        return in_force
    within, policy = min(timed, key=lambda entry: entry[0])
    last = "park" if policy.then[-1] == "park" else "deny"
    steps = {"answer_within": within, "then": escalations_of(policy.then, within), "last": last}
    return in_force.model_copy(update=steps)


def _managed(environ: Mapping[str, str]) -> list[tuple[ManagedTable, TomlSource]]:
    """What administrators say. Raises FileError: a file that cannot be read may forbid anything."""
    found = []
    for path in managed_files(environ):
        source = read_toml(path, "ACP_MANAGED_CONFIG names a file that must exist")
        table = checked(ManagedTable, source)
        shape = table if isinstance(table, list) else []
        wrong = [*shape, *rule_problems(source, "managed"), *notify_problems(source)]
        raise_first(wrong, "ask whoever administers this machine")
        assert not isinstance(table, list)
        found.append((table, source))
    return found


def settings_problems(environ: Mapping[str, str]) -> list[Problem]:
    """Everything wrong with the user's settings, in the order of its lines."""
    try:
        _managed(environ)
        source = _source(environ)
    except FileError as error:
        return [error.problem]
    return [] if source is None else _checked(source)[1]


def _source(environ: Mapping[str, str]) -> TomlSource | None:
    path = config_file(environ)
    if not path.exists() and not environ.get("ACP_CONFIG"):
        return None
    return read_toml(path, "ACP_CONFIG names a file that must exist")


def settings_not_in_force(settings: Settings) -> list[str]:
    """The keys set in config.toml that this version does not act on."""
    return [shown_key(key) for key in NOT_IN_FORCE if _is_set(settings.table, key)]


def resolve_chain(settings: Settings, name: str) -> tuple[str, ...]:
    """The models behind `name`, each `provider/model`, in the order they are tried, each once.

    Raises UsageError for an unknown alias, a malformed model, or aliases that lead in a circle.
    """
    return _chain({alias: table.chain for alias, table in settings.table.models.items()}, name)


def model_for(
    settings: Settings,
    *,
    flag: str | None,
    environ: Mapping[str, str],
    task: str | None,
    project: str | None,
    role: str,
) -> tuple[str, ...] | None:
    """The chain in force: flag, `ACP_MODEL`, task, project, role, the alias `main`; None when nothing names a model."""
    default = DEFAULT_ALIAS if DEFAULT_ALIAS in settings.table.models else None
    named = (flag, environ.get("ACP_MODEL"), task, project, settings.role(role).model, default)
    chosen = next((name for name in named if name), None)
    return None if chosen is None else resolve_chain(settings, chosen)


def reviewer_of(settings: Settings) -> tuple[str, ...]:
    """The models of `[roles.reviewer]`, which may give a second opinion at risk 4; none where it names no model."""
    role = settings.table.roles.get(REVIEWER_ROLE)
    return resolve_chain(settings, role.model) if role is not None and role.model else ()


def resolve_keys(provider: Provider, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of the pool that are set, in order, each once."""
    values = (environ.get(name.removeprefix("env:")) for name in provider.keys)
    return tuple(dict.fromkeys(value for value in values if value))


def _chain(aliases: Aliases, name: str) -> tuple[str, ...]:
    models: dict[str, None] = {}
    expanded: set[str] = set()
    left: list[tuple[str, tuple[str, ...]]] = [(name, ())]
    while left:
        current, way = left.pop()
        if current in way:
            circle = " -> ".join((*way[way.index(current) :], current))
            raise UsageError(f"the chain of {printable(name)} leads in a circle: {circle}", hint="take one link out")
        if current not in aliases:
            models[_model(current, aliases)] = None
        elif current not in expanded:
            expanded.add(current)
            left.extend((link, (*way, current)) for link in reversed(aliases[current]))
    return tuple(models)


def _model(name: str, aliases: Aliases) -> str:
    provider, slash, model = name.partition("/")
    if slash and provider and model and not any(char.isspace() for char in name):
        return name
    if slash:
        raise UsageError(f"{printable(name)} is no model", hint='name it "provider/model", such as openai/gpt-5-mini')
    hint = (
        nearest(name, aliases)
        or f"name a model with its provider, as {_whole(name)}, or define the alias in config.toml"
    )
    raise UsageError(f"no model alias named {printable(name)}", hint=hint)


def _whole(name: str) -> str:
    """What somebody may have meant who left the provider out."""
    if len(name) > 60 or not name.isprintable() or any(char.isspace() for char in name):
        return "openai/gpt-5-mini"
    provider = next((known for start, known in MAKERS.items() if name.lower().startswith(start)), "openai")
    return f"{provider}/{name}"


def _checked(source: TomlSource) -> tuple[SettingsTable | None, list[Problem]]:
    table = checked(SettingsTable, source)
    shape = table if isinstance(table, list) else []
    return (None if isinstance(table, list) else table), by_line(
        [*shape, *_meaning_problems(source), *rule_problems(source, "user")]
    )


def _meaning_problems(source: TomlSource) -> Iterator[Problem]:
    """What the shape alone does not tell. From the data as read, so that one problem does not hide another."""
    chains = {name: table["chain"] for name, table in tables_in(source.data, "models") if _is_chain(table.get("chain"))}
    used: list[tuple[Key, str]] = [(("models", name, "chain"), name) for name in chains]
    roles = tables_in(source.data, "roles")
    used += [(("roles", name, "model"), role["model"]) for name, role in roles if isinstance(role.get("model"), str)]
    for key, name in used:
        try:
            _chain(chains, name)
        except UsageError as error:
            yield problem_at(source, key, error.what, error.hint)
    yield from tool_problems(source)
    yield from egress_problems(source)
    yield from notify_problems(source)
    presets = {*PRESETS, *(name for name, _ in tables_in(source.data, "egress"))}
    for name, role in roles:
        for preset in role["egress"] if _is_chain(role.get("egress")) else ():
            if preset not in presets:
                what = f"no egress preset named {printable(preset)}"
                yield problem_at(source, ("roles", name, "egress"), what, nearest(preset, presets))
    for name, server in tables_in(source.data, "mcp"):
        if ("command" in server) == ("url" in server):
            yield problem_at(source, ("mcp", name), "should have either a command or a url")


def _is_chain(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_set(table: SettingsTable, key: tuple[str, ...]) -> bool:
    if key[0] not in table.model_fields_set:
        return False
    return len(key) == 1 or key[1] in getattr(table, key[0]).model_fields_set
