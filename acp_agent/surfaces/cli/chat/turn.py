"""One turn from the terminal's side: draws what happens, asks for approvals, and turns Ctrl-C into a cancellation."""

import contextlib
import os
import queue
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from types import FrameType
from typing import Any, Literal

import anyio

from acp_agent.domain.errors import ExitCode
from acp_agent.domain.events import ApprovalAsked, Event
from acp_agent.domain.events_person import QuestionAsked
from acp_agent.domain.message import Word
from acp_agent.domain.run import RunState
from acp_agent.domain.work_plan import WorkPlan
from acp_agent.runs.people import Person, PlanVerdict, Turn, Verdict
from acp_agent.surfaces.cli.chat.consent import Cancelled, Consent
from acp_agent.surfaces.cli.chat.echo import Echo
from acp_agent.surfaces.cli.chat.narration import Narration
from acp_agent.surfaces.cli.chat.room import Room
from acp_agent.surfaces.cli.chat.screen import Screen

TICK = 0.05
"""Seconds to wait for news before the screen is drawn again."""
News = Literal["interrupt", "over"]


class Left(Exception):
    """A person left in the middle of a turn; the session is on record and can be continued."""


class Question:
    """An approval, a question or a plan of the agent, on its way from the agent's thread to the person and back."""

    def __init__(self, asked: ApprovalAsked | QuestionAsked | WorkPlan) -> None:
        self.asked = asked
        self.verdict: Verdict = "deny"
        self.reply: str | None = None
        self.judged: PlanVerdict | None = None
        self.answered = anyio.Event()


class Conduct:
    """Carries one prompt out and shows it.

    The main thread runs everything here but `_prompt`, `_ask`, `_reply` and `_judge`.
    """

    def __init__(self, room: Room, screen: Screen, narration: Narration, consent: Consent, echo: Echo) -> None:
        self._room = room
        self._screen = screen
        self._narration = narration
        self._consent = consent
        self._echo = echo
        self._turn = Turn()
        self._scope: anyio.CancelScope | None = None
        # The one queue whose `put` may interrupt another `put`: the signal handler uses it too.
        self._news: queue.SimpleQueue[Event | Word | Question | News] = queue.SimpleQueue()
        self._presses = 0
        self._is_cancelled = False

    @property
    def was_interrupted(self) -> bool:
        """Whether a person pressed Ctrl-C."""
        return self._presses > 0

    def carry_out(self, text: str) -> RunState:
        """The state in which the turn ended. Raises Left, and what `Conversations.prompt` raises."""
        with handled(self._interrupt), self._echo.off():
            future = self._room.portal.start_task_soon(self._prompt, text)
            future.add_done_callback(lambda _: self._news.put("over"))
            try:
                self._screen.busy("thinking")
                self._follow()
            finally:
                self._let_go(future)
                self._screen.rest()
        state = future.result()
        if state is None:
            raise Left
        return state

    async def _prompt(self, text: str) -> RunState | None:
        with anyio.CancelScope() as self._scope:
            return await self._room.app.conversations.prompt(
                self._room.session, text, self._turn, self._news.put, Person(self._ask, self._reply, self._judge)
            )
        return None

    async def _ask(self, asked: ApprovalAsked) -> Verdict:
        question = Question(asked)
        self._news.put(question)
        await question.answered.wait()
        return question.verdict

    async def _reply(self, asked: QuestionAsked) -> str | None:
        question = Question(asked)
        self._news.put(question)
        await question.answered.wait()
        return question.reply

    async def _judge(self, plan: WorkPlan) -> PlanVerdict | None:
        question = Question(plan)
        self._news.put(question)
        await question.answered.wait()
        return question.judged

    def _follow(self) -> None:
        """Show what happens until the turn is over."""
        while True:
            try:
                news = self._news.get(timeout=TICK)
            except queue.Empty:
                self._screen.tick()
                continue
            match news:
                case "over":
                    return
                case "interrupt":
                    self._cancel()
                case Question():
                    self._decide(news)
                case Word():
                    self._narration.word(news)
                    self._screen.tick()
                case Event():
                    self._narration.fact(news)

    def _decide(self, question: Question) -> None:
        with handled(signal.default_int_handler), self._echo.on():
            try:
                match question.asked:
                    case ApprovalAsked() as asked:
                        question.verdict = self._consent.decide(asked)
                    case QuestionAsked() as asked:
                        question.reply = self._consent.reply(asked)
                    case WorkPlan() as plan:
                        question.judged = self._consent.judge(plan)
            except Cancelled:
                self._cancel()
                return
        self._room.portal.start_task_soon(question.answered.set)

    def _cancel(self) -> None:
        if self._is_cancelled:
            raise Left
        self._is_cancelled = True
        self._screen.note("cancelling; Ctrl-C once more leaves")
        self._screen.busy("cancelling")
        self._room.portal.start_task_soon(self._room.app.conversations.cancel, self._turn)

    def _let_go(self, future: "Future[RunState | None]") -> None:
        """Whatever happened, the agent has left the run in a state to go on from before the terminal goes on."""
        if future.done():
            return
        self._room.portal.start_task_soon(self._stop)
        # Waited for without raising: what made us leave must not be hidden behind what the stopped turn says.
        wait([future])
        if (error := future.exception()) is not None:
            self._screen.note(f"the stopped turn ended with an error: {type(error).__name__}: {error}", "failed")

    def _stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C is news like any other; the third one in a turn ends the process at once."""
        self._presses += 1
        if self._presses > 2:
            self._screen.pause()
            self._echo.restore()
            os._exit(int(ExitCode.INTERRUPTED))
        self._news.put("interrupt")


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Ctrl-C goes to `handler` while the block runs."""
    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
