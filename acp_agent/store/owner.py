"""The identity under which this process claims streams."""

from acp_agent.domain.ports import Owner
from acp_agent.store import process


def owner_of_this_process() -> Owner:
    """This process, told apart from every other also after a reboot; ask again after a fork."""
    return Owner.model_validate(process.identity())
