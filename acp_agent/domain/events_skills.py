"""Facts about skills."""

from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.skill import SkillScope


class SkillActivated(Frozen):
    """A skill is in force from now on, to the end of its session; `digest` is the SHA-256 over its folder.

    Its instructions are the result of call `call_id`; where a person chose it (`/name`) there is no such call and they
    are `text`.
    """

    type: Literal["skill_activated"] = "skill_activated"
    name: str
    scope: SkillScope
    folder: str
    digest: str
    call_id: str | None = None
    text: str = ""
