"""What a person reads when the record cannot be written: what is the matter, and what to do about it."""

from acp_agent.domain.errors import NotRecorded
from acp_agent.store.database import Database

_GO_ON = "then acp resume; what was recorded is safe"


def unwritable(database: Database, error: Exception) -> NotRecorded:
    """The error for whoever wanted to write to `database`."""
    what = " ".join(str(error).split())
    told = NotRecorded(f"{database.name}: cannot write: {what}", hint=f"{database.remedy(error)}, {_GO_ON}")
    told.__cause__ = error
    return told
