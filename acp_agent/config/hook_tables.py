"""Hooks as they stand in config.toml and projects.toml, and as the rest works with them."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator

from acp_agent.config.tables import Items, Seconds, Table, Text, plain
from acp_agent.domain.hook import Hook, HookEvent

LONGEST = 600.0
"""Seconds that a hook may be given."""


def _timeout(value: float) -> float:
    if value > LONGEST:
        raise plain("should be at most 10m: everything waits for a hook")
    return value


class HookTable(Table):
    """A command that is run at its moment, JSON on its stdin."""

    run: Text
    timeout: Annotated[Seconds, AfterValidator(_timeout)] = 10.0


class ToolHookTable(HookTable):
    """A hook around tools; `match` are patterns of their names, alternatives behind `|`."""

    match: Text = "*"


class OwnHookTable(HookTable):
    """A hook of the user, who may also run it outside of the sandbox."""

    sandbox: bool = True


class OwnToolHookTable(ToolHookTable):
    """The same around tools."""

    sandbox: bool = True


ToolHookList = Annotated[tuple[ToolHookTable, ...], Items]
HookList = Annotated[tuple[HookTable, ...], Items]
OwnToolHookList = Annotated[tuple[OwnToolHookTable, ...], Items]
OwnHookList = Annotated[tuple[OwnHookTable, ...], Items]


class ProjectHooksTable(Table):
    """Hooks of a project, by moment. They can only forbid."""

    before_tool: ToolHookList = ()
    after_tool: ToolHookList = ()
    before_run: HookList = ()
    after_run: HookList = ()
    before_iteration: HookList = ()
    after_iteration: HookList = ()


class OwnHooksTable(Table):
    """Hooks of the user, by moment."""

    before_tool: OwnToolHookList = ()
    after_tool: OwnToolHookList = ()
    before_run: OwnHookList = ()
    after_run: OwnHookList = ()
    before_iteration: OwnHookList = ()
    after_iteration: OwnHookList = ()


def hooks_of(table: OwnHooksTable | ProjectHooksTable, file: str) -> tuple[Hook, ...]:
    """The hooks of a file, in its order, each named by its place: `config.toml: hooks.before_tool[0]`."""
    return tuple(_hooks(table, file))


def _hooks(table: OwnHooksTable | ProjectHooksTable, file: str) -> Iterator[Hook]:
    events: tuple[HookEvent, ...] = (
        "before_tool",
        "after_tool",
        "before_run",
        "after_run",
        "before_iteration",
        "after_iteration",
    )
    for event in events:
        for index, hook in enumerate(getattr(table, event)):
            yield Hook(event=event, name=f"{file}: hooks.{event}[{index}]", **hook.model_dump())
