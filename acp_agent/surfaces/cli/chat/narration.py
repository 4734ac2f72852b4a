"""From facts and words of a run to what a person sees: the only place that knows how a fact looks in a chat."""

import json
from collections.abc import Mapping
from typing import Any

from acp_agent.domain.events import (
    ApprovalAsked,
    CancelAsked,
    Event,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolRefused,
    ToolStarted,
)
from acp_agent.domain.events_person import PlanApproved, QuestionAnswered, QuestionAsked
from acp_agent.domain.message import ToolCall, Word
from acp_agent.domain.tool import PlanStep, ToolResult
from acp_agent.surfaces.cli.chat import diffs
from acp_agent.surfaces.cli.chat.diffs import Line
from acp_agent.surfaces.cli.chat.screen import Act, Screen, State
from acp_agent.surfaces.cli.formats import duration
from acp_agent.surfaces.cli.text import one_line

TAIL = 6
"""Lines shown of what a failed command printed."""
LIMITS = {
    "max_steps": "the limit of steps",
    "max_tool_calls": "the limit of tool calls",
    "max_tokens": "the limit of tokens",
    "max_cost": "the money for this turn",
    "max_time": "the time for this turn",
}
_ENDS: dict[str, tuple[State, str]] = {
    "cancelled": ("cancelled", "cancelled; what was done until then stays"),
    "refusal": ("failed", "the model refused to go on"),
    "stalled": ("failed", "ended: nothing moved any more"),
}


class Narration:
    """Tells the runs of one session to `screen`. With `replay` they are over: prompts are told too, diffs are not."""

    def __init__(self, screen: Screen, *, replay: bool = False) -> None:
        self._screen = screen
        self._replay = replay
        self._calls: dict[str, ToolCall] = {}
        self._titles: dict[str, str] = {}
        self._decided: set[str] = set()
        self._told = {"text": "", "reasoning": ""}
        self._cancelled = False
        self._failure = ""

    def word(self, word: Word) -> None:
        """A piece of the reply under way."""
        self._told[word.kind] += word.text
        self._show(word.kind, word.text)

    def fact(self, event: Event) -> None:
        """A fact as it happens; most are nobody's business here."""
        match event.data:
            case RunStarted(request=request):
                self._cancelled, self._failure = False, ""
                if self._replay:
                    self._screen.said(request.said or request.prompt)
            case ModelCalled() | ModelReplied() | ModelFailed() as fact:
                self._thought(fact)
            case ToolStarted() | ToolFinished() | ToolRefused() | ApprovalAsked() as fact:
                self._acted(fact)
            case QuestionAsked() | QuestionAnswered() as fact:
                self._inquired(fact)
            case PlanApproved(plan=plan):
                self._screen.plan(tuple(PlanStep(text=step.text) for step in plan.steps))
            case CancelAsked():
                self._cancelled = True
            case RunEnded() | Parked() as fact:
                self._stopped(fact)
            case _:
                pass

    def arguments(self, call_id: str) -> Mapping[str, Any]:
        """The arguments of a call of the last reply; empty where they are no JSON object."""
        call = self._calls.get(call_id)
        try:
            parsed = json.loads(call.arguments) if call else {}
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    def _show(self, kind: str, text: str) -> None:
        if kind == "text":
            self._screen.words(text)
            if text:
                self._screen.busy("writing")
        else:
            self._screen.thought(text)

    def _thought(self, fact: ModelCalled | ModelReplied | ModelFailed) -> None:
        match fact:
            case ModelCalled():
                self._told = {"text": "", "reasoning": ""}
                self._screen.busy("thinking")
            case ModelReplied():
                message, self._failure = fact.reply.message, ""
                for kind, whole in (("reasoning", message.reasoning), ("text", message.text)):
                    self._show(kind, self._untold(kind, whole))
                self._calls = {call.call_id: call for call in message.calls}
                self._screen.end_message()
            case ModelFailed():
                self._screen.end_message()
                failure = f"{fact.model} failed ({fact.fault}): {fact.message}"
                if not self._cancelled and failure != self._failure:
                    self._screen.note(failure)
                self._failure = failure

    def _untold(self, kind: str, whole: str) -> str:
        """What of a reply the words have not told: a slow reader may have lost some."""
        told = self._told[kind]
        if whole.startswith(told):
            return whole[len(told) :]
        self._screen.end_message()
        return whole

    def _acted(self, fact: ToolStarted | ToolFinished | ToolRefused | ApprovalAsked) -> None:
        match fact:
            case ToolStarted():
                self._titles[fact.call_id] = titled(fact.tool, fact.intent.title)
                self._screen.busy(self._titles[fact.call_id])
            case ApprovalAsked():
                self._titles[fact.call_id] = titled(fact.tool, fact.title)
                self._decided.add(fact.call_id)
            case ToolFinished(result=result) | ToolRefused(result=result):
                title = self._titles.get(fact.call_id) or self._guessed(fact.tool, fact.call_id)
                lines = [] if self._replay else self._below(fact.call_id, fact.tool, result)
                self._screen.act(Act(_state(result), title, detail_of(result)), lines)
                if result.plan is not None:
                    self._screen.plan(result.plan)
                self._screen.busy("thinking")

    def _inquired(self, fact: QuestionAsked | QuestionAnswered) -> None:
        match fact:
            case QuestionAsked():
                self._screen.end_message()
                self._titles[fact.call_id] = f"asked: {fact.question}"
            case QuestionAnswered():
                words = fact.text or "no answer"
                title = self._titles.get(fact.call_id) or "asked"
                self._screen.act(Act("running", title, words if fact.by == "person" else f"{fact.by}: {words}"), [])
                self._screen.busy("thinking")

    def _guessed(self, tool: str, call_id: str) -> str:
        """The title of a call that never began."""
        arguments = self.arguments(call_id)
        what = next((arguments[name] for name in ("command", "path") if isinstance(arguments.get(name), str)), "")
        return f"$ {what}" if tool == "shell" and what else f"{tool} {what}".strip()

    def _below(self, call_id: str, tool: str, result: ToolResult) -> list[Line]:
        if result.diff and result.status == "ok" and call_id not in self._decided:
            return diffs.shown(result.diff)
        if tool == "shell" and result.status == "error":
            return [Line("output", line) for line in result.output.rstrip().split("\n")[1:][-TAIL:]]
        return []

    def _stopped(self, fact: RunEnded | Parked) -> None:
        self._screen.end_message()
        match fact:
            case Parked(waiting="approval" | "answer"):
                return
            case Parked():
                self._screen.note(f"waits ({fact.waiting}): {fact.detail}", "waiting")
            case RunEnded():
                if told := ending(fact):
                    self._screen.note(told[1], told[0])
        self._screen.busy(None)


def titled(tool: str, title: str) -> str:
    """The title of a call: for a command the command itself, after a `$`."""
    return f"$ {title}" if tool == "shell" else title or tool


def ending(fact: RunEnded) -> tuple[State, str] | None:
    """What to say about an end; nothing about the one the model chose."""
    if fact.reason == "end_turn":
        return None
    if fact.reason in LIMITS:
        return "limit", f"stopped: {LIMITS[fact.reason]} is used up; what was done stays, another message goes on"
    return _ENDS.get(fact.reason) or ("failed", fact.message or str(fact.reason))


def detail_of(result: ToolResult) -> str:
    """How a call went: lines changed, the exit status, or what was wrong."""
    parts = []
    if result.exit_status is not None:
        parts.append(f"exit {result.exit_status}")
    elif result.kind == "denied":
        parts.append("denied")
    elif result.status != "ok":
        said = next((line for line in result.output.splitlines() if line.strip()), "")
        parts.append(f"{result.kind or result.status}: {one_line(said)}")
    elif result.diff:
        parts.append(diffs.counts(result.diff))
    if result.seconds is not None:
        parts.append(duration(result.seconds))
    if result.sandbox in ("none", "client terminal"):
        parts.append("not confined")
    return ", ".join(parts)


def _state(result: ToolResult) -> State:
    match result.status:
        case "ok":
            return "running"
        case "error":
            return "failed"
        case _:
            return "cancelled"
