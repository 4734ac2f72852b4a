"""config.toml as it stands in the file: one model per table."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from acp_agent.config.hook_tables import OwnHooksTable
from acp_agent.config.limits_tables import LimitsTable, UserLimits
from acp_agent.config.names import printable
from acp_agent.config.notify_tables import NotifyTable
from acp_agent.config.rules import PolicyTable
from acp_agent.config.tables import Items, Money, Name, Seconds, Table, Text, Texts, plain
from acp_agent.config.tools_tables import DeclaredToolTable, ToolServer
from acp_agent.domain.egress import Pattern
from acp_agent.domain.policy import Mode

KEY_NAME = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*\Z")


def _keys(value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(item, str) and KEY_NAME.match(item) for item in value):
        # What stood there is not shown: it may be the key itself.
        raise plain('should be a list of "env:NAME": keys are named here, never written')
    return tuple(value)


def _key(value: object) -> object:
    if not isinstance(value, str) or not KEY_NAME.match(value):
        raise plain('should be "env:NAME": a key is named here, never written')
    return value


def _domains(value: object) -> object:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise plain("should be a list of hosts")
    for item in value:
        try:
            Pattern.parse(item)
        except ValueError as error:
            raise plain(f"{printable(item)} {error}") from None
    return tuple(value)


def _base_url(value: object) -> object:
    if not isinstance(value, str) or not re.match(r"https?://[^\s/]", value) or re.search(r"\s", value):
        raise plain('should be an address such as "http://127.0.0.1:4000/v1"')
    if "@" in value.split("//", 1)[1].split("/")[0]:
        raise plain("should not hold a name or password; use keys")
    return value.rstrip("/")


def _model(value: object) -> object:
    if not isinstance(value, str) or not value or value != value.strip() or re.search(r"\s|\0", value):
        raise plain('should be "provider/model" or the name of an alias')
    return value


Domains = Annotated[tuple[str, ...], BeforeValidator(_domains)]
"""Hosts: `pypi.org`, `*.example.org`, each with `:port` for that port alone."""
ModelName = Annotated[str, BeforeValidator(_model)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class Prices(Table):
    """US dollars per million tokens; `cached_input` is the price of input read from the provider's cache."""

    input: Price
    output: Price
    cached_input: Price | None = None


class ModelAlias(Table):
    """A name for a chain of models, tried in this order. `prices` hold for its models that have no other."""

    chain: Annotated[tuple[ModelName, ...], Items, Field(min_length=1)]
    prices: Prices | None = None


class Provider(Table):
    """Where a provider answers, and the environment variables of its keys. `prices` by model, without the provider.

    `vision` are models that see pictures, without the provider, `*` for all of them.
    """

    base_url: Annotated[str, BeforeValidator(_base_url)] | None = None
    keys: Annotated[tuple[str, ...], BeforeValidator(_keys)] = ()
    max_concurrent: Count | None = None
    vision: Texts = ()
    prices: dict[str, Prices] = Field(default_factory=dict)


class Role(Table):
    """A prompt, a model and limits. `model` is a model or an alias; `max_time` in seconds, `max_cost` in US dollars."""

    model: ModelName | None = None
    policy: Annotated[Mode, Field(strict=False)] | None = None
    max_cost: Money | None = None
    prompt: Text | None = None
    max_steps: Count | None = None
    max_time: Seconds | None = None
    limits: LimitsTable | None = None
    egress: Texts = ()


class UserBudget(Table):
    """Caps over many runs, US dollars."""

    per_batch: Money | None = None
    per_day: Money | None = None
    per_month: Money | None = None


class Queue(Table):
    """How much work may wait."""

    max_runs: Count = 10_000


class Sandbox(Table):
    """How commands are fenced in: `required` refuses to run them without a sandbox."""

    level: Literal["required", "prefer", "off"] = "required"
    allow_domains: Domains = ()


class EgressPreset(Table):
    """Hosts with a name to ask for them by. `private`: they may lie in a private network.

    `projects`: a projects.toml may ask for it; None is yes for the presets that come with acp, else no.
    """

    domains: Domains
    private: bool = False
    projects: bool | None = None


class WebSearch(Table):
    """A search engine that speaks SearXNG's JSON form; `key` names the variable of its bearer token."""

    url: Annotated[str, BeforeValidator(_base_url)]
    key: Annotated[Text, BeforeValidator(_key)] | None = None


class SkillsTable(Table):
    """Skills: those that are not on offer, by name."""

    disabled: Texts = ()


class SettingsTable(Table):
    """The whole file."""

    models: dict[Name, ModelAlias] = Field(default_factory=dict)
    providers: dict[Name, Provider] = Field(default_factory=dict)
    concurrency: dict[ModelName, Count] = Field(default_factory=dict)
    roles: dict[Name, Role] = Field(default_factory=dict)
    budget: UserBudget = Field(default_factory=UserBudget)
    limits: UserLimits = Field(default_factory=UserLimits)
    queue: Queue = Field(default_factory=Queue)
    tools: dict[Text, DeclaredToolTable] = Field(default_factory=dict)
    mcp: dict[Name, ToolServer] = Field(default_factory=dict)
    sandbox: Sandbox = Field(default_factory=Sandbox)
    egress: dict[Name, EgressPreset] = Field(default_factory=dict)
    web_search: WebSearch | None = None
    skills: SkillsTable = Field(default_factory=SkillsTable)
    hooks: OwnHooksTable = Field(default_factory=OwnHooksTable)
    policy: PolicyTable = Field(default_factory=PolicyTable)
    notify: dict[Name, NotifyTable] = Field(default_factory=dict)
