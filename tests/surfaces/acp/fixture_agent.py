"""A tiny agent at the real stages of `acp serve`, without the application: what it does, its prompt says."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from acp_agent.surfaces.acp.first import Start, begin


def run(start: Start) -> int:
    """Serve until the end; the same shape as the real stage two."""
    import anyio

    from acp_agent.surfaces.acp.stdio import serve_stdio

    return anyio.run(serve_stdio, start, methods())


def methods() -> Mapping[str, Any]:
    """Two methods, and a turn that does what its first word says."""
    from acp_agent.surfaces.acp.call import Call, Method
    from acp_agent.surfaces.acp.params import ListSessions, NewSession, Prompt, TextBlock

    async def new(parameters: NewSession, call: Call) -> dict[str, str]:
        return {"sessionId": "s1"}

    async def listed(parameters: ListSessions, call: Call) -> dict[str, Any]:
        return {"sessions": []}

    async def prompt(parameters: Prompt, call: Call) -> dict[str, str]:
        session = call.session(parameters.session_id)
        text = next((block.text for block in parameters.prompt if isinstance(block, TextBlock)), "")
        word, _, rest = text.partition(" ")

        def say(text: str) -> None:
            content = {"type": "text", "text": text}
            session.update({"sessionUpdate": "agent_message_chunk", "content": content})

        await DEEDS.get(word, echo)(say, rest)
        return {"stopReason": "end_turn"}

    return {
        "session/new": Method(NewSession, new),
        "session/list": Method(ListSessions, listed),
        "session/prompt": Method(Prompt, prompt),
    }


Say = Callable[[str], None]


async def chunks(say: Say, rest: str) -> None:
    for number in range(int(rest)):
        say(f"{number} ")


async def flood(say: Say, rest: str) -> None:
    import anyio.lowlevel

    for number in range(int(rest)):
        say(f"{number} ")
        if number % 100 == 0:
            await anyio.lowlevel.checkpoint()
    print("all said", file=sys.stderr, flush=True)


async def large(say: Say, rest: str) -> None:
    say("x" * int(rest))


async def echo(say: Say, rest: str) -> None:
    say(rest)


async def noise(say: Say, rest: str) -> None:
    print("printed by Python")
    sys.stdout.flush()
    os.write(1, b"written to descriptor 1\n")
    subprocess.run(["sh", "-c", "echo from a subprocess; cat"], check=True)
    say("quiet")


async def hang(say: Say, rest: str) -> None:
    import anyio

    say("hanging")
    try:
        await anyio.sleep_forever()
    finally:
        print("recorded", file=sys.stderr, flush=True)


async def block(say: Say, rest: str) -> None:
    import anyio

    say("blocking")
    await anyio.sleep(0.05)
    print("stuck", file=sys.stderr, flush=True)
    time.sleep(600)


async def shield(say: Say, rest: str) -> None:
    import anyio

    say("shielded")
    with anyio.CancelScope(shield=True):
        print("stuck", file=sys.stderr, flush=True)
        await anyio.sleep_forever()


async def crash(say: Say, rest: str) -> None:
    raise RuntimeError("a bug")


DEEDS = {deed.__name__: deed for deed in (chunks, flood, large, echo, noise, hang, block, shield, crash)}


if __name__ == "__main__":
    sys.exit(run(begin()))
