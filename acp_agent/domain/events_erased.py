"""The fact that payloads are gone; their rows and digests stay, so that the audit chain still verifies."""

from typing import Literal

from acp_agent.domain.base import Frozen


class PayloadErased(Frozen):
    """What the facts `seqs` of the stream said was erased. It stands in that stream, and is never erased itself.

    Kind, time, actor, tokens and cost of those facts are still on record, and the SHA-256 of what they said.
    """

    type: Literal["payload_erased"] = "payload_erased"
    stream_id: str
    seqs: tuple[int, ...]
    reason: str
