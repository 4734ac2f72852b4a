"""Telling one channel: its command, JSON on stdin, outside of the sandbox because it is the user's own."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acp_agent.domain.errors import ToolError
from acp_agent.domain.notify import Channel
from acp_agent.tools.command import Bounds, run_program

GIVEN = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME")
"""Variables that every channel is given."""
SHOWN = 200
"""Characters of what a channel printed that go on record."""


async def tell(channel: Channel, said: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Run its command; empty where it ended well in its time, else why not. Raises only for cancellation."""
    given = {name: environ[name] for name in (*GIVEN, *channel.env) if environ.get(name)}
    argv = [shutil.which("bash", path=given.get("PATH")) or "sh", "-c", channel.run]
    line = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    bounds = Bounds(channel.timeout, head=2_000, tail=2_000, sweep=True)
    try:
        ended = await run_program(argv, cwd=Path("/"), environment=given, bounds=bounds, stdin=line)
    except (ToolError, OSError) as error:
        return error.message if isinstance(error, ToolError) else error.strerror or str(error)
    if ended.timed_out:
        return f"it took longer than {channel.timeout:g} seconds"
    if ended.exit_status == 0:
        return ""
    printed = " ".join(ended.head.decode("utf-8", "replace").replace("\0", "").split())[:SHOWN]
    return f"exit status {ended.exit_status}" + (f": {printed}" if printed else "")
