"""Skills: instructions that a model takes up when a task fits them (Agent Skills, agentskills.io)."""

from collections.abc import Sequence
from typing import Literal

from acp_agent.domain.base import Frozen

SkillScope = Literal["project", "user", "shipped"]
CATALOG = 12_000
"""Characters of names and descriptions that a system message has room for; skills past it are only named."""
MOST_SKILLS = 200


class SkillEntry(Frozen):
    """A skill on offer to a run. `folder` is absolute.

    `digest` is the hash a person trusted, held against the folder when the skill is activated; None where nobody but
    its owner can write there. A `manual` one is for people alone (`/name`). `extras`: it has files beside SKILL.md.
    """

    name: str
    description: str
    scope: SkillScope
    folder: str
    digest: str | None = None
    manual: bool = False
    extras: bool = False


class SkillActivation(Frozen):
    """Which skill was taken up: `digest` is the SHA-256 over its whole folder at that moment."""

    name: str
    scope: SkillScope
    folder: str
    digest: str


class ActiveSkill(Frozen):
    """A skill in force; `text` is what the model was given."""

    name: str
    digest: str
    text: str


def catalog(skills: Sequence[SkillEntry]) -> str:
    """What a model reads of skills it may activate: a line for each, names alone past the room there is."""
    lines: list[str] = []
    rest: list[str] = []
    room = CATALOG
    for skill in (skill for skill in skills if not skill.manual):
        line = f"- {skill.name}: {' '.join(skill.description.split())}"
        if len(line) <= room and not rest:
            lines.append(line)
            room -= len(line)
        else:
            rest.append(skill.name)
    if rest:
        lines.append(f"- and: {', '.join(rest)}")
    return "\n".join(lines)


def wrapped(name: str, folder: str, body: str, files: Sequence[str]) -> str:
    """The instructions of a skill as they stand in a conversation, told apart from everything around them."""
    listed = f"\n\nFiles of the skill, in {folder}:\n" + "\n".join(f"- {file}" for file in files) if files else ""
    return f'<skill name="{name}">\n{body.strip()}{listed}\n</skill>'
