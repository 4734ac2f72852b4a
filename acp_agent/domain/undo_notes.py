"""What the model is told of an undo: its view of files and of the world outside is not what stands there now."""

from acp_agent.domain.events_effects import CompensationFinished
from acp_agent.domain.events_files import Undone

NAMED = 20
"""Files that the message about an undo names."""


def undone_text(fact: Undone) -> str:
    """Of files."""
    if fact.commit is not None:
        return f"[A person reverted your changes on branch {fact.target}. Read files again before you change them.]"
    what = "brought back what had been undone" if fact.redone else "undid your changes"
    since = f" after step {fact.to_step}" if fact.to_step and not fact.redone else ""
    named = ", ".join(fact.paths[:NAMED]) + (f" and {fact.files - NAMED} more" if fact.files > NAMED else "")
    return f"[A person {what}{since}: {named}. Read these files again before you change them.]"


def taken_back_text(fact: CompensationFinished) -> str:
    """Of an effect outside."""
    if fact.result.status == "ok":
        return f"[A person took back the effect of your call of {fact.tool} in step {fact.step}: {fact.title}]"
    return f"[A person tried to take back your call of {fact.tool} in step {fact.step}, which failed: {fact.title}]"
