"""Cuts the connections of editors at random during turns, and holds what is replayed to what was shown before."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import Editor
from acp_agent.testing.remote import ServerProcess, Way, serving
from acp_agent.testing.tap import RawError
from acp_agent.testing.transcript import Transcript
from tests.acceptance.acp.desk import SCHEMA, Desk
from tests.campaigns.kill_sessions import ENDED, Told, answer_of, rules, twice

CUTS = 1000
RENEWED = 15
"""Cuts after which the session is a new one, so that a load stays short."""
WHOLE = 5
"""Every so many rounds one is left alone, and what was told live is held to the record too."""
TAKEN_OVER = ("outside a turn", "while tool calls are open")
"""Of a turn that another connection asked for the rest is told once it is loaded, outside any turn of this one."""
WAYS: tuple[Way, ...] = ("http", "websocket")
CUT = (ConnectionError, AssertionError, RuntimeError, OSError)
"""What the editor's side raises once its connection is cut: the SDK has no one error for it."""


class Cutter:
    """A relay to a server whose connections can all be cut at once, as a network does that goes away."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address while the block runs."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
            self.cut()

    def cut(self) -> None:
        """Cut every connection, on both sides, without a goodbye."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._writers |= {writer, back}
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def said(transcript: Transcript) -> list[tuple[str, str | None, str]]:
    """The messages of the agent: what a person said is told again, but not when it is said."""
    return [message for message in transcript.messages if message[0] != "user_message_chunk"]


def not_continued(shown: Transcript, replayed: Transcript) -> list[str]:
    """Where `shown`, up to a cut, is not how `replayed` begins: message by message, call by call."""
    problems = []
    before, after = said(shown), said(replayed)
    for number, (kind, name, text) in enumerate(before):
        is_last = number == len(before) - 1
        if name == before[-1][1] and number == len(after):
            # Words of a reply under way are no facts yet: they follow the answer to the load.
            break
        now = after[number] if number < len(after) else ("nothing", None, "")
        whole = now[2] == text or (is_last and now[2].startswith(text))
        if now[:2] != (kind, name) or not whole:
            problems.append(f"message {number} was {(kind, name, text)} and is {now}")
            break
    for call_id, card in shown.tool_cards.items():
        again = replayed.tool_cards.get(call_id)
        if again is None:
            problems.append(f"the tool call {call_id} is lost")
        elif card.status in ENDED and (card.status, card.fields) != (again.status, again.fields):
            problems.append(f"the tool call {call_id} ended as {card.fields} and is {again.fields}")
    return problems


class Owed:
    """All that was ever told of a session, and must be told again once it has come to its end.

    What streams when a connection is cut is no fact yet, so the next replay may be without it; but no process ended,
    so the reply it was of comes to the record.
    """

    def __init__(self) -> None:
        self.said: dict[tuple[str, str | None], str] = {}
        self.cards: dict[str, Any] = {}
        self.asked: list[str] = []
        self.prompts: list[str] = []
        self.heard: list[str] = []

    def add(self, shown: Transcript) -> None:
        """What a connection was told, up to its cut."""
        for kind, name, text in said(shown):
            self.said[kind, name] = max(self.said.get((kind, name), ""), text, key=len)
        self.cards |= shown.tool_cards

    def look(self, replayed: Transcript) -> list[str]:
        """Prompts that a replay has lost, has out of order, or has of nobody."""
        now = [text for kind, _, text in replayed.messages if kind == "user_message_chunk"]
        problems = []
        if now[: len(self.prompts)] != self.prompts or now != [one for one in self.asked if one in now]:
            problems.append(f"the prompts are {now}, were {self.prompts}, asked were {self.asked}")
        problems += [f"the prompt {one!r} was answered and is lost" for one in self.heard if one not in now]
        self.prompts = now
        return problems

    def not_paid(self, replayed: Transcript) -> list[str]:
        """What was told some time and is not in the last replay, as it was."""
        now = {(kind, name): text for kind, name, text in said(replayed)}
        problems = [
            f"the message {key} was {text[:200]!r} and is {now.get(key, 'lost')[:200]!r}"
            for key, text in self.said.items()
            if not now.get(key, "").startswith(text)
        ]
        for call_id, card in self.cards.items():
            again = replayed.tool_cards.get(call_id)
            if again is None or (card.status in ENDED and (card.status, card.fields) != (again.status, again.fields)):
                problems.append(f"the tool call {call_id} was {card.fields} and is {again and again.fields}")
        return problems


class Cuts:
    """One server, one session at a time, and connections that are cut."""

    def __init__(self, desk: Desk, server: ServerProcess, cutter: Cutter, seed: int) -> None:
        self.desk = desk
        self.server = server
        self.cutter = cutter
        self.random = Random(seed)
        self.session = ""
        self.shown: Transcript | None = None
        self.owed = Owed()
        self.longest = 0.3
        self.told = 0
        self.problems: list[str] = []
        self.places: Counter[str] = Counter()

    async def round(self, number: int, address: str) -> None:
        """Come back, look at what is replayed, put a prompt, and be cut off; or hear it to its end."""
        renew, whole = number % RENEWED == 0, number % WHOLE == 0
        if renew and self.session:
            await self.settle(number, address)
        way = self.random.choice(WAYS)
        async with self.server.editor(way, Consent(then="once"), address=address) as editor:
            await editor.initialize()
            if renew:
                self.session, self.shown = await self.desk.session(editor, "auto"), None
                self.owed = Owed()
            else:
                await editor.load_session(self.session, self.desk.project)
            self._look(editor, number, way)
            self.owed.asked.append(f"turn {number}.0.")
            prompt = asyncio.create_task(editor.prompt(self.session, f"turn {number}.0."))
            if whole:
                began = time.monotonic()
                await prompt
                self.owed.heard.append(f"turn {number}.0.")
                self.longest = max(self.longest, time.monotonic() - began)
                self.places["left alone"] += 1
            else:
                # How long a turn takes is measured here; it is no wait for anything.
                await asyncio.wait([prompt], timeout=self.random.uniform(0.0, self.longest))
                self.places["after the turn" if prompt.done() else "during the turn"] += 1
                self.cutter.cut()
                await asyncio.wait([prompt])
                with contextlib.suppress(RawError, *CUT):
                    prompt.result()
            self.shown = editor.transcript(self.session)
            self.owed.add(self.shown)
            self.told += len(self.shown.messages) + len(self.shown.tool_cards)
            found = complaints(editor.lines, SCHEMA)
            broken = [one for one in found if not any(words in one for words in TAKEN_OVER)]
            self.problems += [f"round {number}: {problem}" for problem in broken]

    def _look(self, editor: Editor, number: int, way: str) -> None:
        if self.shown is None:
            return
        now = editor.transcript(self.session)
        found = not_continued(self.shown, now) + twice(Told(now)) + self.owed.look(now)
        self.problems += [f"round {number} by {way}: {problem}" for problem in found]

    async def settle(self, number: int, address: str) -> None:
        """Hear what is left to its end, then hold all that was told of the session to a last replay."""
        words = f"turn {number}.0."
        async with self.server.editor("http", Consent(then="once"), address=address) as editor:
            await editor.initialize()
            await editor.load_session(self.session, self.desk.project)
            self._look(editor, number, "http")
            self.owed.asked.append(words)
            turn = await editor.prompt(self.session, words)
            self.owed.heard.append(words)
            if answer_of(words) not in turn.text():
                self.problems.append(f"round {number}: the last turn says {turn.text()[:200]!r}")
            self.shown = editor.transcript(self.session)
            self.owed.add(self.shown)
        async with self.server.editor("http", address=address) as editor:
            await editor.initialize()
            await editor.load_session(self.session, self.desk.project)
            self._look(editor, number, "http")
            found = self.owed.not_paid(editor.transcript(self.session))
            self.problems += [f"round {number}, at the end: {problem}" for problem in found]


async def cut_off(root: Path, seed: int, cuts: int, tell: Callable[[str], None] = lambda line: None) -> Cuts:
    """`cuts` rounds and a last look; `tell` is given a line now and then."""
    desk = Desk(root, rules(cuts + 2))
    with desk.server:
        async with serving(desk.environment, desk.root) as server:
            host, _, port = server.address.rpartition(":")
            cutter = Cutter(host, int(port))
            done = Cuts(desk, server, cutter, seed)
            async with cutter.listening() as address:
                for number in range(cuts):
                    await done.round(number, address)
                    if number % 100 == 99:
                        tell(f"{number + 1} rounds, {len(done.problems)} problems")
                await done.settle(cuts, address)
            if "Traceback" in server.process.errors:
                done.problems.append(server.process.errors[-2000:])
    return done


def main(n: int | None, seed: int) -> int:
    """Cut `n` times (default 1,000); returns 1 where a promise was broken."""
    began = time.monotonic()
    cuts = CUTS if n is None else n
    with tempfile.TemporaryDirectory(prefix="acp-http-cuts-") as place:
        done = asyncio.run(cut_off(Path(place), seed, cuts, lambda line: print(line, flush=True)))
    for problem in done.problems:
        print(problem)
    found = ", ".join(f"{count} {where}" for where, count in done.places.most_common())
    print(f"{cuts} rounds in {time.monotonic() - began:.0f} s: {found}")
    print(f"{done.told} messages and calls were shown, {len(done.problems)} broken promises")
    return 1 if done.problems else 0
