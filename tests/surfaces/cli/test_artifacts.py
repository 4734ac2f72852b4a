"""Full outputs that a run kept: listed, printed whole, forgotten and collected."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

from acp_agent.config.paths import state_dir
from acp_agent.domain.events import Fact, RunEnded, ToolFinished, ToolStarted
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.tools.outputs import Outputs

Acp = Callable[..., Any]
Put = Callable[..., str]
LONG = "line é\n" * 20_000


def told(text: str, title: str) -> list[Fact]:
    outputs = Outputs.below(state_dir(os.environ))
    shown, cut, artifact = outputs.fit(text, "command")
    assert cut and artifact is not None
    result = ToolResult(status="ok", output=shown, omitted=cut, artifact=artifact)
    return [
        ToolStarted(call_id="c_1", tool="shell", risk=Risk.LOCAL, intent=Intent(title=title)),
        ToolFinished(call_id="c_1", tool="shell", result=result),
        RunEnded(reason="end_turn"),
    ]


def test_an_output_that_was_cut_is_there_whole(acp: Acp, put_on_record: Put) -> None:
    batch = put_on_record(api=told(LONG, "make test"), web=[RunEnded(reason="end_turn")])
    name = hashlib.sha256(LONG.encode()).hexdigest()
    assert acp("show", batch, "--artifacts").stdout == f"{name[:12]}    160,000 B  r_api  make test\n"
    listed = json.loads(acp("show", "r_api", "--artifacts", "-o", "json").stdout)
    assert listed["artifacts"] == [{"run_id": "r_api", "title": "make test", "sha256": name, "size": 160_000}]
    assert acp("show", "r_api", "--artifact", name[:8]).stdout == LONG
    assert acp("show", "r_web", "--artifacts").code == 5
    for prefix in ("0" * 8, "", "zz"):
        assert acp("show", "r_api", "--artifact", prefix).code == 2
    (state_dir(os.environ) / "artifacts" / name).write_bytes(b"changed")
    gone = acp("show", "r_api", "--artifact", name)
    assert gone.code == 1 and gone.stderr.startswith("acp: this output is not kept any more\n")


def test_an_output_goes_with_the_last_run_that_names_it(acp: Acp, put_on_record: Put) -> None:
    put_on_record(
        api=told(LONG, "make test"),
        web=told(LONG, "make test"),
        old=told(LONG + "needle in the middle\n" + LONG, "make"),
    )
    folder = state_dir(os.environ) / "artifacts"
    assert len(list(folder.iterdir())) == 2
    assert acp("forget", "r_api", "--yes").code == 0 and len(list(folder.iterdir())) == 2
    assert acp("forget", "r_web", "--yes").code == 0 and len(list(folder.iterdir())) == 1
    # It stands in the middle of the output alone, which no event has.
    said = acp("forget", "--match", "needle in the middle", "--yes")
    assert said.code == 0 and said.stdout.startswith("forgotten: run r_old") and not list(folder.iterdir())


def test_old_outputs_are_collected(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=told(LONG, "make test"))
    (kept,) = (state_dir(os.environ) / "artifacts").iterdir()
    assert json.loads(acp("gc", "-o", "json").stdout)["removed"] == []
    os.utime(kept, (time.time() - 40 * 86_400,) * 2)
    assert acp("gc").code == 0 and not kept.exists()
