"""Holds HTTP, WebSocket and the socket file to each check of the conformance kit that is not about stdin or stdout."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random

from acp_agent.testing.remote import Way
from tests.acceptance.acp.desk import Desk
from tests.acceptance.acp.exchange import remote_exchange
from tests.acceptance.acp.test_conformance import CHECKS, ENDLESS, RAISE, SAY

WAYS: tuple[Way, ...] = ("http", "websocket", "unix")
ELSEWHERE = {
    "SHUTDOWN-001": "a server does not end with its stdin",
    "JSONRPC-003": "HTTP answers a notification about an unknown session by 404",
    "ERROR-001": "HTTP answers a prompt in an unknown session by 404",
}
"""Checks of which HTTP has its own word: `tests/acceptance/acp/test_remote.py` has those."""
BY_HTTP = ("http", "unix")


def cases() -> list[tuple[str, Way]]:
    """Each check with each way that it holds for."""
    return [
        (name, way)
        for name in sorted(CHECKS)
        for way in WAYS
        if name not in ELSEWHERE or (way not in BY_HTTP and name != "SHUTDOWN-001")
    ]


async def hold(root: Path, name: str, way: Way) -> None:
    """One check, at a server of its own. Raises AssertionError."""
    with ExitStack() as stack:
        desk = Desk(root, [SAY, RAISE, ENDLESS])
        stack.enter_context(desk.server)
        async with remote_exchange(desk, way) as one:
            await CHECKS[name](one)


def main(n: int | None, seed: int) -> int:
    """Hold to `n` of the cases, by default to all; returns 1 where one failed."""
    began = time.monotonic()
    chosen = cases()
    if n is not None:
        chosen = Random(seed).sample(chosen, min(n, len(chosen)))
    passed: Counter[Way] = Counter()
    failed = 0
    for name, way in chosen:
        with tempfile.TemporaryDirectory(prefix="acp-conformance-") as place:
            try:
                asyncio.run(hold(Path(place), name, way))
            except Exception as error:
                failed += 1
                print(f"{way}: {name}: {type(error).__name__}: {error}", flush=True)
            else:
                passed[way] += 1
    found = ", ".join(f"{count} by {way}" for way, count in passed.items())
    print(f"{len(chosen)} checks in {time.monotonic() - began:.0f} s; passed {found}; {failed} failed")
    return 1 if failed else 0
