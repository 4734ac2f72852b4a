"""Kills an editor's agent at random while five sessions are in a turn, and holds what is replayed to what was shown."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from acp_agent.testing.conformance import complaints
from acp_agent.testing.consent import Consent
from acp_agent.testing.editor import Editor, started
from acp_agent.testing.script import Rule, Step
from acp_agent.testing.transcript import Transcript
from tests.acceptance.acp.desk import COMMAND, SCHEMA, Desk

KILLS = 200
SESSIONS = 5
RENEWED = 20
"""Kills after which the sessions are new ones, so that a load stays short."""
ENDED = ("completed", "failed")
NAME = re.compile(r"turn \d+\.\d+\.")
BEGINS = re.compile(r"t?|tu|tur|turn|turn (\d+(\.\d*)?)?")
WORDS = "the answer, 答え, 📎 "


def answer_of(name: str) -> str:
    """What the model says at the end of the turn of that name."""
    return f"{name}: {WORDS * 20}"


def rules(kills: int) -> list[Rule]:
    """A turn of several steps for each session and each kill: a plan, a file of its own, and words that stream."""
    return [_rule(f"turn {kill}.{session}.") for kill in range(kills + 1) for session in range(SESSIONS)]


def _rule(name: str) -> Rule:
    steps = [{"text": name, "status": "completed"}]
    return Rule(
        contains=name,
        since="prompt",
        turns=[
            Step(tools=[("plan", {"steps": steps})], reasoning=f"{name} thinks", chunk=4, gap=0.002),
            Step(text=f"{name} writes", tools=[("write_file", {"path": f"{name}txt", "content": name})], chunk=4),
            Step(text=answer_of(name), reasoning=f"{name} is done", chunk=8, gap=0.004),
        ],
    )


class Told:
    """What a person saw of one session in one process, replay and turn alike; `begun`: anything of the last turn."""

    def __init__(self, transcript: Transcript, *, begun: bool = False) -> None:
        self.transcript = transcript
        self.begun = begun
        self.cards = transcript.tool_cards
        self.prompts = [text for kind, _, text in transcript.messages if kind == "user_message_chunk"]
        self.said = {(kind, name): text for kind, name, text in transcript.messages if kind != "user_message_chunk"}

    @property
    def under_way(self) -> str | None:
        """The message that nothing followed: its reply may have been cut off before it was on record."""
        for update in reversed(self.transcript.updates):
            if update["sessionUpdate"] in ("agent_message_chunk", "agent_thought_chunk"):
                return str(update["messageId"])
            if update["sessionUpdate"] in ("tool_call", "tool_call_update", "usage_update", "user_message_chunk"):
                return None
        return None


def lost(before: Told, after: Told, prompts: Sequence[str]) -> list[str]:
    """What of `before`, which was shown, is not in `after`, which was replayed, exactly once and as it was."""
    problems = []
    for key, text in before.said.items():
        if key not in after.said:
            if key[1] != before.under_way:
                problems.append(f"the message {key} is lost: {text[:80]!r}")
        elif not after.said[key].startswith(text):
            problems.append(f"the message {key} was {text[:80]!r} and is {after.said[key][:80]!r}")
    for call_id, card in before.cards.items():
        replayed = after.cards.get(call_id)
        if replayed is None:
            problems.append(f"the tool call {call_id} is lost")
        elif card.status in ENDED and (card.status, card.fields) != (replayed.status, replayed.fields):
            problems.append(f"the tool call {call_id} ended as {card.fields} and is {replayed.fields}")
    if before.transcript.plan is not None and before.transcript.plan not in _plans(after):
        problems.append(f"the plan {before.transcript.plan} is lost")
    # A prompt of which nothing was shown may not have come to its record.
    if after.prompts != list(prompts) and (before.begun or after.prompts != list(prompts[:-1])):
        problems.append(f"the prompts are {after.prompts[-2:]}, asked were {list(prompts)[-2:]}")
    return problems + twice(after)


def twice(told: Told) -> list[str]:
    """What a replay tells more than once, or tells that nobody ever said."""
    calls = Counter(str(update["toolCallId"]) for update in told.transcript.of("tool_call"))
    problems = [f"the tool call {call_id} is announced {times} times" for call_id, times in calls.items() if times > 1]
    problems += [f"the message {key} says {text[:200]!r}" for key, text in told.said.items() if not _is_said(text)]
    more = Counter(told.prompts).items()
    return problems + [f"{prompt!r} is told {times} times" for prompt, times in more if times > 1]


def _is_said(text: str) -> bool:
    """Whether it is what the script says, or the beginning of it: what is told twice in one message is not."""
    turn = NAME.match(text)
    if turn is None:
        return BEGINS.fullmatch(text) is not None
    whole = (answer_of(turn[0]), f"{turn[0]} thinks", f"{turn[0]} writes", f"{turn[0]} is done")
    return any(one.startswith(text) for one in whole)


def _plans(told: Told) -> list[Any]:
    return [list(update["entries"]) for update in told.transcript.of("plan")]


class Siege:
    """Five sessions of one desk, whose agent is killed again and again."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = Random(seed)
        self.sessions: list[str] = []
        self.prompts: dict[str, list[str]] = {}
        self.seen: dict[str, Told] = {}
        self.longest = 0.0
        self.facts = 0
        self.problems: list[str] = []
        self.places: Counter[str] = Counter()

    async def round(self, number: int, *, kill: bool) -> None:
        """Load every session in a new process, hold it to what was shown, begin five turns, and kill."""
        async with started(COMMAND, self.desk.environment, self.desk.root, Consent()) as editor:
            await editor.initialize()
            await self._open(editor, renew=number % RENEWED == 0)
            turns = [asyncio.create_task(self._turn(editor, session, number)) for session in self.sessions]
            first = len(editor.lines)
            began = time.monotonic()
            if kill:
                await asyncio.sleep(self.random.uniform(0.0, self.longest))
                editor.kill()
            else:
                await asyncio.wait(turns)
                self.longest = time.monotonic() - began
                await editor.close_stdin()
            await editor.exited()
            await asyncio.gather(*turns, return_exceptions=True)
            for session in self.sessions:
                shown = set(editor.transcript(session, after=first - 1).kinds)
                told = Told(editor.transcript(session), begun=bool(shown & {"agent_thought_chunk", "tool_call"}))
                self.seen[session] = told
                self.facts += len(told.said) + len(told.cards) + len(told.prompts)
                self.places["in the middle of a reply" if told.under_way else "elsewhere"] += kill
            # The last line of a killed process may be cut.
            whole = [line for line in editor.lines if line.message is not None]
            self.problems += [f"round {number}: {problem}" for problem in complaints(whole, SCHEMA)]

    async def _open(self, editor: Editor, *, renew: bool) -> None:
        for session in self.sessions:
            await editor.load_session(session, self.desk.project)
            after = Told(editor.transcript(session))
            found = lost(self.seen[session], after, self.prompts[session])
            self.problems += [f"{session}: {problem}" for problem in found]
            self.prompts[session] = after.prompts
        if renew or not self.sessions:
            self.sessions = [await self.desk.session(editor, "auto") for _ in range(SESSIONS)]
            self.prompts = {session: [] for session in self.sessions}

    async def _turn(self, editor: Editor, session: str, number: int) -> None:
        text = f"turn {number}.{self.sessions.index(session)}."
        self.prompts[session].append(text)
        await editor.request("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": text}]})


async def besiege(root: Path, seed: int, kills: int) -> Siege:
    """An undisturbed round, `kills` killed ones, and a last look at what is replayed."""
    desk = Desk(root, rules(kills + 1))
    siege = Siege(desk, seed)
    with desk.server:
        for number in range(kills + 1):
            await siege.round(number, kill=number > 0)
        await siege.round(kills + 1, kill=False)
    return siege


def main(n: int | None, seed: int) -> int:
    """Kill `n` times (default 200), each during turns of five sessions; returns 1 where a promise was broken."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="acp-kill-sessions-") as place:
        siege = asyncio.run(besiege(Path(place), seed, KILLS if n is None else n))
    for problem in siege.problems:
        print(problem)
    found = ", ".join(f"{count} {where}" for where, count in siege.places.most_common())
    kills = KILLS if n is None else n
    print(f"{kills} kills of {SESSIONS} sessions in {time.monotonic() - began:.0f} s: found {found}")
    print(f"{siege.facts} messages, calls and prompts were shown, {len(siege.problems)} broken promises")
    return 1 if siege.problems else 0
