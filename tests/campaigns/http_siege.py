"""Three hundred connections that stall in every way, and a normal client that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from acp_agent.testing.remote import ServerProcess, serving
from tests.acceptance.acp.desk import Desk

STALLED = 300
REQUESTS = 1000
"""Of the normal client, while the others stall."""
BOUND = 0.1
"""Seconds that 99 of 100 requests may take."""
IN_TIME = 15.0
"""Seconds in which whoever stalls has been ended: the deadlines, and what a busy machine adds."""
HEAD = "POST /acp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass(slots=True)
class Siege:
    """What came of it."""

    ended: Counter[str] = field(default_factory=Counter)
    left: int = 0
    latest: float = 0.0
    latencies: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def p99(self) -> float:
        """Seconds."""
        return statistics.quantiles(self.latencies, n=100)[98]


def openings(token: str) -> dict[str, tuple[bytes, bytes]]:
    """Ways to stall: what is sent at once, and what is sent again and again after it."""
    known = f"{HEAD}Authorization: Bearer {token}\r\n"
    return {
        "silent": (b"", b""),
        "half a line": (b"GET /acp HT", b""),
        "headers that drip": (f"{HEAD}X-A: ".encode(), b"a"),
        "headers without an end": (HEAD.encode(), b"X-B: b\r\n"),
        "a body that never comes, no token": (f"{HEAD}Content-Length: 1000\r\n\r\n".encode(), b" "),
        "a body that never comes": (f"{known}Content-Length: 1000\r\n\r\n".encode(), b""),
        "a body that drips": (f"{known}Content-Length: 1000\r\n\r\n".encode(), b" "),
        "chunks that drip": (f"{known}Transfer-Encoding: chunked\r\n\r\n".encode(), b"1\r\n \r\n"),
    }


async def stall(server: ServerProcess, kind: str, siege: Siege, begun: asyncio.Semaphore) -> None:
    """One connection that stalls until it is ended."""
    first, again = openings(server.token)[kind]
    host, _, port = server.address.rpartition(":")
    writer = None
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(first)
        begun.release()
        while True:
            with contextlib.suppress(TimeoutError):
                # The pace of dripping, and no wait for anything.
                async with asyncio.timeout(0.5):
                    if not await reader.read(65536):
                        break
            writer.write(again)
    except ConnectionError:
        begun.release()
    finally:
        if writer is not None:
            writer.close()
    siege.ended[kind] += 1
    siege.latest = max(siege.latest, time.monotonic() - began)


async def work(server: ServerProcess, siege: Siege, requests: int) -> None:
    """A normal client: a connection of the protocol that asks, and small requests each on a connection of its own."""
    async with server.client() as client:
        hello = {"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": {"protocolVersion": 1}}
        connection = (await client.post("/acp", json=hello)).headers["Acp-Connection-Id"]
        named = {"Acp-Connection-Id": connection}
        async with client.stream("GET", "/acp", headers={**named, "Accept": "text/event-stream"}) as stream:
            lines = stream.aiter_lines()
            for number in range(requests):
                began = time.monotonic()
                if number % 2:
                    call = {"jsonrpc": "2.0", "id": number, "method": "session/list", "params": {}}
                    await client.post("/acp", json=call, headers=named)
                    async for line in lines:
                        if line.startswith("data: ") and json.loads(line[6:]).get("id") == number:
                            break
                else:
                    await _alone(server)
                siege.latencies.append(time.monotonic() - began)


async def _alone(server: ServerProcess) -> None:
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 200 OK" in await reader.read()
    writer.close()


async def besiege(root: Path, seed: int, stalled: int, requests: int, *, to_the_end: bool) -> Siege:
    """`requests` of a normal client while `stalled` connections stall; `to_the_end` until each of them was ended."""
    desk, siege, random = Desk(root, []), Siege(), Random(seed)
    with desk.server:
        async with serving(desk.environment, desk.root) as server:
            begun = asyncio.Semaphore(0)
            kinds = [random.choice(list(openings(""))) for _ in range(stalled)]
            tasks = [asyncio.create_task(stall(server, kind, siege, begun)) for kind in kinds]
            for _ in tasks:
                await begun.acquire()
            await work(server, siege, requests)
            if to_the_end:
                await asyncio.wait(tasks, timeout=4 * IN_TIME)
            for task in tasks:
                siege.left += not task.done()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if "Traceback" in server.process.errors:
                siege.problems.append(server.process.errors[-2000:])
    return siege


def main(n: int | None, seed: int) -> int:
    """Stall 300 connections while a client makes `n` requests (default 1,000); returns 1 where it was noticed."""
    with tempfile.TemporaryDirectory(prefix="acp-http-siege-") as place:
        siege = asyncio.run(besiege(Path(place), seed, STALLED, REQUESTS if n is None else n, to_the_end=True))
    for problem in siege.problems:
        print(problem)
    milliseconds = [1000 * one for one in (statistics.median(siege.latencies), siege.p99, max(siege.latencies))]
    print("a normal client: median {:.1f} ms, p99 {:.1f} ms, slowest {:.1f} ms".format(*milliseconds))
    for kind, count in sorted(siege.ended.items()):
        print(f"{count:4} ended: {kind}")
    print(f"{siege.left} left, the last was ended after {siege.latest:.1f} s")
    broken = siege.problems or siege.left or siege.p99 >= BOUND or siege.latest >= IN_TIME
    return 1 if broken else 0
