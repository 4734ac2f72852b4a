"""Skills in the life of a run: what taking one up puts on record, and `/name` in a prompt."""

from collections.abc import Sequence

import anyio.to_thread

from acp_agent.config.skills import activate
from acp_agent.domain.errors import ToolError, UsageError
from acp_agent.domain.events_skills import SkillActivated
from acp_agent.domain.message import ToolCall
from acp_agent.domain.skill import ActiveSkill, SkillEntry
from acp_agent.domain.tool import ToolResult


def activated(
    in_force: Sequence[ActiveSkill], call: ToolCall, result: ToolResult
) -> tuple[ToolResult, tuple[SkillActivated, ...]]:
    """The result of `call` as it is recorded, and the activation beside it, in the same transaction.

    A skill that is in force as it stands is not said again.
    """
    skill = result.skill
    if skill is None:
        return result, ()
    plain = result.model_copy(update={"skill": None})
    if any(other.name == skill.name and other.digest == skill.digest for other in in_force):
        told = f"The skill {skill.name} is in force already; its instructions are in this conversation."
        return plain.model_copy(update={"output": told}), ()
    return plain, (SkillActivated(call_id=call.call_id, **skill.model_dump()),)


def named_in(text: str, skills: Sequence[SkillEntry]) -> SkillEntry | None:
    """The skill a person chose by beginning a prompt with `/name`."""
    words = text.split(maxsplit=1)
    if not words or not words[0].startswith("/"):
        return None
    return next((skill for skill in skills if skill.name == words[0][1:]), None)


async def chosen_skill(text: str, skills: Sequence[SkillEntry]) -> tuple[SkillActivated, ...]:
    """What goes on record at the start of a run whose prompt chooses a skill. Raises UsageError where it is gone."""
    entry = named_in(text, skills)
    if entry is None:
        return ()
    try:
        activation, instructions = await anyio.to_thread.run_sync(activate, entry)
    except ToolError as error:
        raise UsageError(error.message, hint="acp skills ls") from None
    return (SkillActivated(text=instructions, **activation.model_dump()),)
