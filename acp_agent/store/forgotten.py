"""What a person reads who asks for what was erased."""

import json
from collections.abc import Sequence

from acp_agent.domain.errors import AcpAgentError, ExitCode


def forgotten(stream_id: str, erasures: Sequence[tuple[str]]) -> AcpAgentError:
    """What a person reads who asks for what was erased; `erasures` are the rows of `sql.ERASURE`."""
    reason = json.loads(erasures[0][0])["reason"] if erasures else "nobody recorded why"
    return AcpAgentError(
        f"what {stream_id} said was erased: {reason}",
        hint="its cost and times are still on record: acp ps, acp audit export",
        exit_code=ExitCode.NOTHING,
    )
