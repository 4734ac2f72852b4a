"""The tool that takes up a skill, and the one that reads its other files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio.to_thread
from pydantic import Field, create_model

from acp_agent.domain.errors import ToolError
from acp_agent.domain.skill import SkillActivation, SkillEntry
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.tools.registry import Arguments, Ready, Seen, Tool, prepared_tool
from acp_agent.tools.workspace import Workspace

Activate = Callable[[SkillEntry], tuple[SkillActivation, str]]


class ActivateSkill(Arguments):
    name: str = Field(description="The skill.")

    def title(self) -> str:
        return f"Skill {self.name}"


class ReadSkillFile(Arguments):
    name: str = Field(description="The skill.")
    path: str = Field(description="The file, relative to the folder of the skill.")
    offset: int = Field(1, ge=1, description="The first line to read.")

    def title(self) -> str:
        return f"Read {self.path} of skill {self.name}"


def skill_tools(skills: Sequence[SkillEntry], activate: Activate) -> list[Tool]:
    """The tools for `skills`: none where there is no skill, one where no skill has further files."""
    offered = {skill.name: skill for skill in skills if not skill.manual}
    tools = [_activate_tool(offered, activate)] if offered else []
    with_files = {skill.name: skill for skill in skills if skill.extras}
    return [*tools, _file_tool(with_files)] if with_files else tools


def _activate_tool(offered: dict[str, SkillEntry], activate: Activate) -> Tool:
    @prepared_tool(Risk.READ, kind="read", repeatable=True)
    def activate_skill(arguments: ActivateSkill, workspace: Workspace, seen: Seen) -> Ready:
        """Take up a skill: returns its instructions, to be followed from now on, and the files it brings."""
        entry = _named(offered, arguments.name)

        async def run(key: str) -> ToolResult:
            activation, text = await anyio.to_thread.run_sync(activate, entry)
            return ToolResult(status="ok", output=text, origin="skill", skill=activation)

        return Ready(Intent(title=arguments.title()), run)

    return _with_names(activate_skill, offered)


def _file_tool(offered: dict[str, SkillEntry]) -> Tool:
    @prepared_tool(Risk.READ, kind="read", repeatable=True)
    def read_skill_file(arguments: ReadSkillFile, workspace: Workspace, seen: Seen) -> Ready:
        """Read a text file that a skill brings: a reference, an asset, or a script before it is run."""
        folder = Workspace.at(Path(_named(offered, arguments.name).folder))
        path = folder.relative(arguments.path)

        async def run(key: str) -> ToolResult:
            data = await anyio.to_thread.run_sync(folder.read, path)
            text = data.decode("utf-8", "replace")
            lines = text.splitlines(keepends=True)
            return ToolResult(status="ok", output="".join(lines[arguments.offset - 1 :]), origin="skill")

        return Ready(Intent(title=arguments.title()), run)

    return _with_names(read_skill_file, offered)


def _named(offered: dict[str, SkillEntry], name: str) -> SkillEntry:
    entry = offered.get(name)
    if entry is None:
        raise ToolError(
            f"There is no skill {name[:100]!r}.", kind="unknown_skill", hint=f"There are {', '.join(offered)}."
        )
    return entry


def _with_names(tool: Tool, offered: dict[str, SkillEntry]) -> Tool:
    """The tool with the names there are in its schema."""
    return replace(tool, arguments=_closed(tool.arguments, tuple(offered)))


@lru_cache(maxsize=64)
def _closed(base: type[Arguments], names: tuple[str, ...]) -> type[Arguments]:
    """Arguments of one of `names`; made once for all runs that are offered the same skills, for it takes its time."""
    field = Field(description="The skill.", json_schema_extra={"enum": list(names)})
    fields: dict[str, Any] = {"name": (str, field)}
    return create_model(base.__name__, __base__=base, **fields)
