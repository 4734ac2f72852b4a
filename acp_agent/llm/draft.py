"""A reply as it grows out of deltas: text, reasoning, tool calls in pieces, why it stopped and what it used. Pure."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import AssistantMessage, Reply, StopReason, ToolCall, Usage, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.domain.progress import moved

_STOPS: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "max_tokens",
    "content_filter": "refusal",
    "refusal": "refusal",
    "safety": "refusal",
}
"""Whatever is not named here ends the turn."""
_MOST = 10**15
"""Tokens: more than this are not counted, and the record could not hold much more."""


@dataclass(slots=True)
class _Call:
    """A tool call in pieces."""

    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True when nothing can follow: what there is parses."""
        try:
            json.loads("".join(self.arguments))
        except (ValueError, RecursionError):
            return False
        return True


@dataclass(slots=True)
class _Speech:
    """Text in pieces; a UTF-16 surrogate, which JSON escapes may tear from its other half, waits for it."""

    kind: Literal["text", "reasoning"]
    pieces: list[str] = field(default_factory=list)
    half: str = ""

    def add(self, piece: str) -> Word | None:
        whole = self.half + piece
        self.half = ""
        if not whole.isascii():
            if "\ud800" <= whole[-1] <= "\udbff":
                self.half, whole = whole[-1], whole[:-1]
            whole = mended(whole)
        if not whole:
            return None
        self.pieces.append(whole)
        return Word(kind=self.kind, text=whole)

    def text(self) -> str:
        return "".join(self.pieces) + mended(self.half)


class Draft:
    """Collects the chunks of one reply. Anything that is no chunk raises ModelError(MALFORMED)."""

    def __init__(self) -> None:
        self._text = _Speech("text")
        self._reasoning = _Speech("reasoning")
        self._calls: list[_Call] = []
        self._latest: dict[int, _Call] = {}
        self._finish: str | None = None
        self._refused = False
        self._usage: Usage | None = None

    @property
    def finished(self) -> bool:
        """True once the provider has said why the reply ends; only usage may follow."""
        return self._finish is not None

    def add(self, chunk: Any) -> Iterator[Word]:
        """Take in a parsed chunk, or a whole completion; yields what a person can read."""
        if not isinstance(chunk, dict):
            raise malformed(f"a chunk that is no object: {str(chunk)[:80]}")
        self._usage = usage_of(chunk.get("usage")) or self._usage
        choices = chunk.get("choices") or ()
        if not isinstance(choices, list | tuple):
            raise malformed("choices that are no list")
        for choice in choices:
            # One reply was asked for; what a server may say beside it is not ours.
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                yield from self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> Iterator[Word]:
        delta = choice.get("delta") or choice.get("message") or {}
        if not isinstance(delta, dict):
            raise malformed("a delta that is no object")
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought and (word := self._reasoning.add(thought)):
            yield word
        for speech, piece in self._spoken(delta.get("content")):
            if word := speech.add(piece):
                yield word
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            self._refused = True
            if word := self._text.add(refusal):
                yield word
        self._take_calls(delta)
        if isinstance(finish := choice.get("finish_reason"), str) and finish:
            self._finish = finish.lower()

    def _spoken(self, content: Any) -> Iterable[tuple[_Speech, str]]:
        """Content is text, or a list of parts of which some are thoughts."""
        if isinstance(content, str):
            return ((self._text, content),) if content else ()
        return self._parts(content) if isinstance(content, list) else ()

    def _parts(self, content: list[Any]) -> Iterator[tuple[_Speech, str]]:
        for part in content:
            if not isinstance(part, dict):
                continue
            thought = part.get("thinking")
            if thought is not None:
                yield from ((self._reasoning, piece) for _, piece in self._spoken(thought))
            elif isinstance(text := part.get("text"), str) and text:
                yield self._text, text

    def _take_calls(self, delta: dict[str, Any]) -> None:
        calls = delta.get("tool_calls") or ()
        if not isinstance(calls, list | tuple):
            raise malformed("tool_calls that are no list")
        for piece in calls:
            if not isinstance(piece, dict):
                raise malformed("a tool call that is no object")
            self._take_call(piece)
        if isinstance(only := delta.get("function_call"), dict):
            self._take_call({"index": 0, "function": only})

    def _take_call(self, piece: dict[str, Any]) -> None:
        function = piece.get("function") or {}
        if not isinstance(function, dict):
            raise malformed("a tool call whose function is no object")
        call_id, name = _string(piece.get("id")), _string(function.get("name"))
        index = piece.get("index")
        call = self._by_index(index, call_id, name) if type(index) is int else self._by_order(call_id, name)
        call.call_id = call.call_id or call_id
        # A name may come in pieces before the arguments, and some servers repeat it with every piece of them.
        if name and not call.arguments and name != call.name:
            call.name += name
        arguments = function.get("arguments")
        if arguments or name:
            moved()
        if arguments:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    def _by_index(self, index: int, call_id: str, name: str) -> _Call:
        """The call at `index`; a new one when a server that numbers all calls alike begins the next."""
        call = self._latest.get(index)
        if call is not None and name:
            other_id = bool(call_id and call.call_id and call_id != call.call_id)
            other_name = bool(call.arguments) and name != call.name
            if other_id or other_name:
                call = None
        return call if call is not None else self._open(index)

    def _by_order(self, call_id: str, name: str) -> _Call:
        """Without an index: by id, else the last call, until a name begins the next."""
        if call_id and (known := next((call for call in self._calls if call.call_id == call_id), None)):
            return known
        last = self._calls[-1] if self._calls else None
        if last is None or (call_id and name):
            return self._open(len(self._calls))
        if name and (name != last.name or not last.arguments or last.complete):
            return self._open(len(self._calls))
        return last

    def _open(self, index: int) -> _Call:
        call = self._latest[index] = _Call()
        self._calls.append(call)
        return call

    def reply_to(self, request: ModelRequest) -> Reply:
        """The whole reply. Raises ModelError(EMPTY) for one that says and does nothing."""
        calls = tuple(self._closed(request))
        text = self._text.text()
        stop = _STOPS.get(self._finish or "", "end_turn")
        if self._refused:
            stop = "refusal"
        if calls:
            stop = "tool_calls"
        elif not text.strip() and stop != "refusal":
            why = "the output limit came before any text" if stop == "max_tokens" else "neither text nor a tool call"
            raise ModelError(f"empty reply: {why}", fault=ModelFault.EMPTY)
        message = AssistantMessage(text=text, reasoning=self._reasoning.text(), calls=calls)
        return Reply(message=message, stop=stop, model=request.model, usage=self._usage)

    def _closed(self, request: ModelRequest) -> Iterator[ToolCall]:
        said = [message for message in request.messages if isinstance(message, AssistantMessage)]
        used = {call.call_id for message in said for call in message.calls}
        for position, call in enumerate(self._calls):
            if not (call.name or call.arguments):
                continue
            call_id = _unique(mended(call.call_id) or f"call_{len(said)}_{position}", used)
            used.add(call_id)
            arguments = mended("".join(call.arguments))
            yield ToolCall(call_id=call_id, name=mended(call.name), arguments=arguments if arguments.strip() else "{}")


def _unique(call_id: str, used: set[str]) -> str:
    """Servers number the calls of each reply anew; the record needs an id that is one in the conversation."""
    candidate, number = call_id, 1
    while candidate in used:
        number += 1
        candidate = f"{call_id}_{number}"
    return candidate


def usage_of(value: Any) -> Usage | None:
    """Usage as OpenAI and its relatives report it; None where there is none."""
    if not isinstance(value, dict) or value.get("prompt_tokens") is value.get("completion_tokens") is None:
        return None
    prompt, completion = value.get("prompt_tokens_details"), value.get("completion_tokens_details")
    cached = prompt.get("cached_tokens") if isinstance(prompt, dict) else value.get("prompt_cache_hit_tokens")
    reasoning = completion.get("reasoning_tokens") if isinstance(completion, dict) else None
    return Usage(
        input_tokens=_count(value.get("prompt_tokens")),
        output_tokens=_count(value.get("completion_tokens")),
        cached_tokens=_count(cached),
        reasoning_tokens=_count(reasoning),
    )


def _count(value: Any) -> int:
    countable = isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))
    if not countable or isinstance(value, bool):
        return 0
    return int(min(max(0, value), _MOST))


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def mended(text: str) -> str:
    """`text` with torn surrogate pairs joined, and lone ones, which UTF-8 cannot carry, replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def malformed(what: str) -> ModelError:
    """The error for a server that does not speak the wire."""
    return ModelError(f"the server sent {what}", fault=ModelFault.MALFORMED)
