"""From facts and words of a run to `session/update`s: the only place that knows how a fact looks in an editor."""

import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from acp_agent.domain.events import (
    ApprovalAsked,
    ApprovalGiven,
    Event,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolRefused,
    ToolStarted,
)
from acp_agent.domain.events_person import (
    PicturesGiven,
    PlanApproved,
    PlanEdited,
    PlanProposed,
    QuestionAnswered,
    QuestionAsked,
)
from acp_agent.domain.message import Image, ToolCall, Word
from acp_agent.domain.question import result_of, shown
from acp_agent.domain.tool import PlanStep, ToolResult
from acp_agent.domain.work_plan import plan_text
from acp_agent.surfaces.acp.diffs import diff_content

Update = dict[str, Any]

RAW_OUTPUT_CAP = 65_536
LIMITS = {
    "max_steps": "the limit of steps",
    "max_tool_calls": "the limit of tool calls",
    "max_tokens": "the limit of tokens",
    "max_cost": "the money for this run",
    "max_time": "the time for this run",
}
KINDS = {
    "read_file": "read",
    "list_files": "search",
    "search": "search",
    "edit_file": "edit",
    "write_file": "edit",
    "shell": "execute",
    "plan": "think",
    "propose_plan": "switch_mode",
    "activate_skill": "read",
    "read_skill_file": "read",
    "fetch": "fetch",
    "web_search": "fetch",
}
"""The protocol's kind of each of our tools."""


class Narrator:
    """Tells one run to an editor. `root` is where it works; `window` the context size of a model in tokens.

    `cost` is what earlier runs of the session cost, US dollars, None where a price was unknown. With `replay` the
    prompt itself is told too. `ended` are calls whose cards came to their end in an earlier turn of the same run.
    """

    def __init__(
        self, root: str, window: Callable[[str], int], cost: float | None = 0.0, *, replay: bool = False
    ) -> None:
        self._root = root
        self._window = window
        self._cost = cost
        self._replay = replay
        self._message = ""
        self._told: dict[str, list[str]] = {"text": [], "reasoning": []}
        self._open: list[str] = []
        self._asked = ""
        self._plan = ""
        self.ended: frozenset[str] = frozenset()

    @property
    def cost(self) -> float | None:
        """US dollars of the session up to the last fact told; None once a price was unknown."""
        return self._cost

    @property
    def open_calls(self) -> tuple[str, ...]:
        """Calls whose cards have not come to an end."""
        return tuple(self._open)

    @property
    def plan_call(self) -> str:
        """The call that proposed the last plan."""
        return self._plan

    def word(self, word: Word) -> Update:
        """A piece of the reply under way."""
        # In pieces: a text that grows by each word would be copied whole for every one of them.
        self._told[word.kind].append(word.text)
        return self._chunk(word.kind, word.text)

    def fact(self, event: Event) -> list[Update]:
        """What an editor is shown of a fact; most facts are nobody's business there."""
        match event.data:
            case RunStarted(request=request):
                said = request.said or request.prompt
                pictures = [_picture(image, event.stream_id) for image in request.images]
                return [_text("user_message_chunk", said, event.stream_id), *pictures] if self._replay else []
            case PicturesGiven(images=images):
                return [_picture(image, f"{event.stream_id}-{event.seq}") for image in images if self._replay]
            case ModelCalled(call_id=call_id):
                self._message, self._told = call_id, {"text": [], "reasoning": []}
                return []
            case ModelReplied() as fact:
                return self._replied(fact)
            case ModelFailed(cost=cost, partial=partial):
                self._charge(cost)
                rest = self._untold("text", partial) if partial else ""
                return [self._chunk("text", rest)] if rest else []
            case ToolStarted() | ToolFinished() | ToolRefused() | ApprovalAsked() as fact:
                return self._acted(fact)
            case QuestionAsked() | QuestionAnswered() as fact:
                return self._questioned(fact)
            case PlanProposed() | PlanEdited() | PlanApproved() | ApprovalGiven() as fact:
                return self._planned(fact)
            case RunEnded() as fact:
                words, self._asked = ending(fact), ""
                last = [_text("agent_message_chunk", words, f"{event.stream_id}-end")] if words else []
                return [*self.close(), *last]
            case _:
                return []

    def catch_up(self, other: "Narrator") -> list[Update]:
        """The words of a reply under way that `other` told and this one did not."""
        if other._message != self._message:
            return []
        words = []
        for kind in ("reasoning", "text"):
            told = "".join(self._told[kind])
            if rest := "".join(other._told[kind])[len(told) :]:
                words.append(self._chunk(kind, rest))
                self._told[kind] = [told, rest]
        return words

    def close(self) -> list[Update]:
        """What an end leaves of calls that never came to one: their cards fail, but for a question that still waits."""
        still_open, self._open = self._open, []
        return [
            {
                "sessionUpdate": "tool_call_update",
                "toolCallId": call_id,
                "status": "completed" if call_id == self._asked else "failed",
            }
            for call_id in still_open
        ]

    def _replied(self, fact: ModelReplied) -> list[Update]:
        message = fact.reply.message
        rest = (("reasoning", message.reasoning), ("text", message.text))
        updates = [self._chunk(kind, text) for kind, whole in rest if (text := self._untold(kind, whole))]
        updates += [self._proposed(call) for call in message.calls]
        self._charge(fact.cost)
        usage = fact.reply.usage
        if usage is not None:
            used = usage.input_tokens + usage.output_tokens
            size = max(self._window(fact.reply.model), used)
            money = {} if self._cost is None else {"cost": {"amount": round(self._cost, 6), "currency": "USD"}}
            updates.append({"sessionUpdate": "usage_update", "used": used, "size": size, **money})
        return updates

    def _charge(self, cost: float | None) -> None:
        self._cost = None if cost is None or self._cost is None else self._cost + cost

    def _untold(self, kind: str, whole: str) -> str:
        """What of a reply the words have not told: a slow reader may have lost some. From then on all of it is told."""
        told, self._told[kind] = "".join(self._told[kind]), [whole]
        if whole.startswith(told):
            return whole[len(told) :]
        self._message += "-whole"
        return whole

    def _chunk(self, kind: str, text: str) -> Update:
        return _text("agent_message_chunk" if kind == "text" else "agent_thought_chunk", text, self._message)

    def _proposed(self, call: ToolCall) -> Update:
        arguments = _arguments(call)
        self._open.append(call.call_id)
        update: Update = {
            "sessionUpdate": "tool_call",
            "toolCallId": call.call_id,
            "title": call.name,
            "kind": KINDS.get(call.name, "other"),
            "status": "pending",
            "rawInput": arguments,
        }
        path = arguments.get("path") if isinstance(arguments, Mapping) else None
        if isinstance(path, str) and path:
            update["locations"] = [{"path": self._absolute(path)}]
        return update

    def _acted(self, fact: ToolStarted | ToolFinished | ToolRefused | ApprovalAsked) -> list[Update]:
        update: Update = {"sessionUpdate": "tool_call_update", "toolCallId": fact.call_id}
        if fact.call_id in self.ended:
            # Its card has come to its end with an earlier turn.
            return _plan(fact.result.plan) if isinstance(fact, ToolFinished) else []
        match fact:
            case ToolStarted(intent=intent):
                update |= {"status": "in_progress", "title": intent.title or fact.tool}
                if intent.after:
                    update["locations"] = [{"path": self._absolute(path)} for path in intent.after]
                return [update]
            case ApprovalAsked(title=title) if fact.call_id == self._plan:
                return [update | {"title": title}]
            case ApprovalAsked(title=title):
                return [update | {"title": title, "content": self.preview(fact)}]
            case ToolFinished(result=result) | ToolRefused(result=result):
                self._open = [call_id for call_id in self._open if call_id != fact.call_id]
                update |= {
                    "status": "completed" if result.status == "ok" else "failed",
                    "rawOutput": raw_output(result),
                }
                update["content"] = self._content(fact.tool, result)
                return [update, *_plan(result.plan)]

    def _questioned(self, fact: QuestionAsked | QuestionAnswered) -> list[Update]:
        """The question is said, for an answer may come by the next prompt; in a replay that answer is told too."""
        update: Update = {"sessionUpdate": "tool_call_update", "toolCallId": fact.call_id}
        match fact:
            case QuestionAsked():
                self._asked = fact.call_id
                said = _text("agent_message_chunk", shown(fact), f"{fact.call_id}-question")
                return [update | {"title": fact.question, "content": []}, said]
            case QuestionAnswered():
                told = result_of(fact).output
                update |= {"status": "completed", "content": [_content(told)], "rawOutput": {"output": told}}
                # The turn that asked has closed the card where the next prompt was the answer.
                closing = [update] if fact.call_id in self._open else []
                self._asked, self._open = "", [call_id for call_id in self._open if call_id != fact.call_id]
                again = self._replay and fact.by == "person"
                retold = [_text("user_message_chunk", fact.text, f"{fact.call_id}-answer")] if again else []
                return [*retold, *closing]

    def _planned(self, fact: PlanProposed | PlanEdited | PlanApproved | ApprovalGiven) -> list[Update]:
        """A plan stands in its card until it is decided about; an approved one is the plan of the conversation."""
        update: Update = {"sessionUpdate": "tool_call_update", "toolCallId": fact.call_id}
        match fact:
            case ApprovalGiven(decision="deny", note=note) if fact.call_id == self._plan and self._replay and note:
                return [_text("user_message_chunk", note, f"{fact.call_id}-words")]
            case ApprovalGiven():
                return []
            case PlanProposed() | PlanEdited():
                self._plan = self._asked = fact.call_id
                return [update | {"content": [_content(plan_text(fact.plan))]}]
            case PlanApproved():
                closing = [update | {"status": "completed", "content": [_content(plan_text(fact.plan))]}]
                closing = closing if fact.call_id in self._open else []
                self._asked, self._open = "", [call_id for call_id in self._open if call_id != fact.call_id]
                entries = tuple(PlanStep(text=step.text) for step in fact.plan.steps)
                mode = {"sessionUpdate": "current_mode_update", "currentModeId": fact.mode.value}
                return [*closing, *_plan(entries), *([] if self._replay else [mode])]

    def preview(self, asked: ApprovalAsked) -> list[Update]:
        """What a person sees before a call is approved: why it is asked, and its diff, dry run or command."""
        why = [_content("; ".join(asked.reasons))] if asked.reasons else []
        if asked.preview:
            return [*why, *diff_content(asked.preview, self._root)]
        told = [_content(f"Dry run:\n{_fenced(asked.dry_run)}")] if asked.dry_run else []
        return [*why, *([_content(_fenced(asked.title))] if asked.tool == "shell" else []), *told]

    def _content(self, tool: str, result: ToolResult) -> list[Update]:
        if result.diff and result.status == "ok":
            return diff_content(result.diff, self._root)
        text = result.output + (f"\nHint: {result.hint}" if result.hint else "")
        if not text:
            return []
        return [_content(_fenced(text) if tool in ("shell", "search", "list_files") else text)]

    def _absolute(self, path: str) -> str:
        return str(PurePath(self._root) / path)


def ending(fact: RunEnded) -> str:
    """The visible words about an end that the model did not choose; empty where there is nothing to explain."""
    if fact.reason in LIMITS:
        return f"\n\n*Stopped: {LIMITS[fact.reason]} is used up. Send another message to go on.*"
    if fact.reason in ("error", "stalled"):
        return f"\n\n**The run ended with an error:** {fact.message}"
    if fact.reason == "refusal":
        return "\n\n*The model refused to go on.*"
    return ""


def stop_reason(reason: str) -> str:
    """The protocol's stop reason for a run's; an error ended visibly, so that the session stays usable."""
    if reason in ("max_steps", "max_tool_calls", "max_cost", "max_time"):
        return "max_turn_requests"
    return reason if reason in ("end_turn", "max_tokens", "refusal", "cancelled") else "end_turn"


def raw_output(result: ToolResult) -> Update:
    """A result for machines, without what the content shows already."""
    raw = result.model_dump(mode="json", exclude={"diff", "seen", "plan"}, exclude_none=True)
    output = raw["output"]
    if len(output) > RAW_OUTPUT_CAP:
        raw["output"] = f"{output[:RAW_OUTPUT_CAP]}\n[... {len(output) - RAW_OUTPUT_CAP} characters more in the record]"
    return raw


def _plan(steps: tuple[PlanStep, ...] | None) -> list[Update]:
    if steps is None:
        return []
    entries = [{"content": step.text, "priority": "medium", "status": step.status} for step in steps]
    return [{"sessionUpdate": "plan", "entries": entries}]


def _arguments(call: ToolCall) -> Any:
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {"arguments": call.arguments}


def _text(kind: str, text: str, message_id: str) -> Update:
    return {"sessionUpdate": kind, "messageId": message_id, "content": {"type": "text", "text": text}}


def _picture(image: Image, message_id: str) -> Update:
    content = {"type": "image", "mimeType": image.mime_type, "data": image.data}
    return {"sessionUpdate": "user_message_chunk", "messageId": message_id, "content": content}


def _content(text: str) -> Update:
    return {"type": "content", "content": {"type": "text", "text": text}}


def _fenced(text: str) -> str:
    """`text` as it is, in a fence that it cannot close."""
    longest = max((len(run) for run in text.split("\n") if run and set(run) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"
