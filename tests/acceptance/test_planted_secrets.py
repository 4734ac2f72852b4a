"""A sample of `scripts/campaign planted_secrets`: a hundred secrets, in pieces, and none of them is left anywhere."""

import random
from pathlib import Path

import pytest

from tests.campaigns.planted_secrets import SECRETS, trial


@pytest.mark.bwrap
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.anyio
async def test_no_planted_secret_is_in_the_record_the_protocol_the_output_or_what_a_model_reads(tmp_path: Path) -> None:
    done = await trial(tmp_path, random.Random(7), SECRETS)
    assert done.leaks() == []
    # It looked at something: the run and the turn did all that they were to do.
    expected = {"tool_finished", "tool_refused", "model_failed", "gate_finished", "run_ended", "approval_asked"}
    assert expected - set(done.reached) <= {"approval_asked"}, done.reached
    assert done.reached["run_ended"] == 2 and all(done.left[place] for place in ("protocol", "acp.db", "stdout of run"))
    assert sum(data.count(b"[redacted]") for data in done.left.values()) > SECRETS
