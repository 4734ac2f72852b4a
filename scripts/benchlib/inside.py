"""Measures within one warm process: `python -m benchlib.inside ours|bare PIECE DIRECTORY...` prints seconds per piece.

Imports, the first connection and the first pass through the code are paid before the clock runs.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchlib.world import READ_ONE, READ_TWENTY, SAY_OK


class Piece(NamedTuple):
    """What is timed: conversations with this prompt, so many at once; repeated so often."""

    prompt: str
    at_once: int
    times: int


PIECES = {"turn": Piece(SAY_OK, 1, 30), "loop": Piece(READ_TWENTY, 1, 5), "many": Piece(READ_ONE, 20, 5)}
WARM_UP = 2


async def timed(piece: Piece, once: Callable[[], Awaitable[None]]) -> float:
    """The median of the seconds that `once` takes."""
    samples = []
    for _ in range(WARM_UP + piece.times):
        began = time.perf_counter()
        await once()
        samples.append(time.perf_counter() - began)
    return median(samples[WARM_UP:])


async def ours(piece: Piece, roots: list[Path]) -> float:
    """Durable runs in place: every intent and result is committed to disk before the next step."""
    from acp_agent.app import open_app
    from acp_agent.domain.request import RunRequest, Workplace

    async with open_app(os.environ, Path.cwd()) as app:

        async def once() -> None:
            ids = []
            for root in roots:
                workplace = Workplace(kind="inplace", root=str(root))
                request = RunRequest(prompt=piece.prompt, workplace=workplace, models=(os.environ["ACP_MODEL"],))
                ids.append(await app.runner.start(request))
            await app.engine.work(None, piece.at_once)
            for run_id in ids:
                state = await app.runner.state(run_id)
                if state.ended is None or state.ended.reason != "end_turn":
                    raise RuntimeError(f"{run_id} ended with {state.ended}")

        return await timed(piece, once)


async def bare(piece: Piece, roots: list[Path]) -> float:
    """The same conversations by the bare agent."""
    import httpx
    from bare_agent import converse

    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    async with httpx.AsyncClient(base_url=os.environ["OPENAI_BASE_URL"], headers=headers, timeout=60) as client:

        async def once() -> None:
            await asyncio.gather(*(converse(client, piece.prompt, root) for root in roots))

        return await timed(piece, once)


def main(who: str, what: str, *folders: str) -> None:
    """Measure one piece and print its seconds."""
    piece = PIECES[what]
    roots = [Path(folder) for folder in folders[: piece.at_once]]
    print(asyncio.run({"ours": ours, "bare": bare}[who](piece, roots)))


if __name__ == "__main__":
    main(*sys.argv[1:])
