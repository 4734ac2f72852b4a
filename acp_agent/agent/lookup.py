"""Runs that must look something up: what was not looked up is unknown, never guessed."""

from acp_agent.agent.actions import Action, Finish, Tell
from acp_agent.domain.egress import NO_NETWORK
from acp_agent.domain.request import RunRequest
from acp_agent.domain.run import RunState


def is_guess(state: RunState, request: RunRequest) -> bool:
    """Whether an answer now would rest on no look-up."""
    return request.lookup == "needed" and not state.network.reached


def without_network(state: RunState, request: RunRequest, spoken: bool) -> Action | None:
    """What follows where there is no network to ask, or none of it answered; None where the run may go on.

    `spoken`: the model has said its last word. With a closed network it is not even asked.
    """
    if not is_guess(state, request) or state.limit:
        return None
    if state.answer is not None and state.answer.value == NO_NETWORK:
        return Finish("end_turn")
    if not request.egress or (spoken and state.network.missed):
        return Tell(NO_NETWORK)
    return None
