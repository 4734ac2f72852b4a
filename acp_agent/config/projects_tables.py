"""projects.toml as it stands in the file: one model per table, unmerged, paths and durations as written."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from acp_agent.config.hook_tables import ProjectHooksTable
from acp_agent.config.limits_tables import LimitsTable
from acp_agent.config.rules import ProjectPolicyTable
from acp_agent.config.tables import Items, Money, Name, Seconds, Table, Tags, Text, Texts, plain

VERSION = 1
BUILTIN = "builtin"
DEFAULT_BRANCH = "acp/{batch}/{project}"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = ("batch", "project")
# What git check-ref-format refuses, and a leading "-", which a command would take for an option.
BAD_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\{}]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[-/.]|[/.]$")


def _version(value: object) -> object:
    if type(value) is not int or value != VERSION:
        raise plain(f"should be {VERSION}: this acp reads no other version")
    return value


def _agent(value: object) -> object:
    if isinstance(value, str) and value.strip() and value != BUILTIN:
        raise plain(f'runs other agents: not in this version; only "{BUILTIN}" is')
    return value


def _branch(value: object) -> object:
    if not isinstance(value, str):
        return value
    if unknown := [name for name in PLACEHOLDER.findall(value) if name not in PLACEHOLDERS]:
        raise plain(f"no placeholder {{{unknown[0]}}}; there are {{batch}} and {{project}}")
    if not value or BAD_BRANCH.search(PLACEHOLDER.sub("x", value)):
        raise plain("is no branch name that git would take")
    return value


def _optional_text(value: object) -> object:
    # "" in a project switches a default off.
    return value if value == "" else plain_text(value)


def plain_text(value: object) -> object:
    """`value` if it is a string without NUL; otherwise the validator's error."""
    if not isinstance(value, str):
        raise plain("should be a string")
    if "\0" in value:
        raise plain("should not contain a NUL character")
    return value


def _schema(value: object) -> object:
    table = isinstance(value, dict) and value and all(isinstance(item, str) for item in value.values())
    if not table and not (isinstance(value, str) and value.strip()):
        raise plain('should be a table such as { files = "int" }, or a text such as "files: int"')
    return value


Isolation = Literal["worktree", "inplace"]
Branch = Annotated[str, BeforeValidator(_branch)]
Setup = Annotated[str, BeforeValidator(_optional_text)]


class GateTable(Table):
    """A command that must pass."""

    run: Text
    timeout: Seconds = 600.0


class InlineGate(GateTable):
    """A gate written where it is used."""

    name: Name


def _gate_form(value: object) -> str:
    return "table" if isinstance(value, (dict, InlineGate)) else "name"


GateEntry = Annotated[Annotated[Text, Tag("name")] | Annotated[InlineGate, Tag("table")], Discriminator(_gate_form)]
GateEntries = Annotated[tuple[GateEntry, ...], Items]


class DefaultsTable(Table):
    """What every project has unless it says otherwise."""

    agent: Annotated[Text, BeforeValidator(_agent)] = BUILTIN
    role: Name = "coder"
    isolation: Isolation = "worktree"
    branch: Branch = DEFAULT_BRANCH
    setup: Setup | None = None
    timeout: Seconds = 1800.0
    idle: Seconds | None = None
    max_cost: Money | None = None
    protect: Texts = ()
    limits: LimitsTable | None = None
    protect_ignored: bool = False
    gates: GateEntries = ()
    on_fail: Texts = ()


class BudgetTable(Table):
    """Caps over many runs, US dollars."""

    per_batch: Money | None = None
    per_day: Money | None = None
    per_month: Money | None = None


class TargetTable(Table):
    """A selection with a name."""

    expr: Text
    where: Text | None = None


class ProjectTable(Table):
    """One project; what is None comes from the defaults."""

    path: Text
    url: Text | None = None
    tags: Tags = ()
    setup: Setup | None = None
    gates: GateEntries | None = None
    role: Name | None = None
    model: Text | None = None
    max_cost: Money | None = None
    timeout: Seconds | None = None
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    isolation: Isolation | None = None
    branch: Branch | None = None
    limits: LimitsTable | None = None
    protect_ignored: bool | None = None
    loop: dict[str, Any] | None = None


class TaskTable(Table):
    """A prompt with a name."""

    prompt: Text
    read_only: bool = False
    egress: Texts = ()
    needs_network: bool = False
    cache_for: Seconds | None = None
    answer_schema: Annotated[str | dict[str, str] | None, BeforeValidator(_schema)] = Field(None, alias="schema")
    target: Text | None = None
    model: Text | None = None
    role: Name | None = None
    max_cost: Money | None = None


class ProjectsTable(Table):
    """The whole file."""

    version: Annotated[int, BeforeValidator(_version)]
    defaults: DefaultsTable = Field(default_factory=DefaultsTable)
    gates: dict[Name, GateTable] = Field(default_factory=dict)
    budget: BudgetTable = Field(default_factory=BudgetTable)
    targets: dict[Name, TargetTable] = Field(default_factory=dict)
    projects: dict[Name, ProjectTable] = Field(default_factory=dict)
    tasks: dict[Name, TaskTable] = Field(default_factory=dict)
    hooks: ProjectHooksTable = Field(default_factory=ProjectHooksTable)
    policy: ProjectPolicyTable = Field(default_factory=ProjectPolicyTable)
