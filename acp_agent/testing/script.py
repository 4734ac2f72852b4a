"""What the scripted model says: steps, the rules that choose them, and the script that holds both.

All of it is frozen data; `Player` is the only thing that remembers, and only what the stateful forms need (ordered
steps, `times`, `times_each`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from acp_agent.testing.request import Request

ToolCall = tuple[str, Mapping[str, Any] | str]
_CLOSED = {"extra": "forbid"}


@dataclass(frozen=True)
class Step:
    """One reply of the model, or one way to fail. Chunks are counted from 0; the first one carries only the role.

    What is said: `text`, `reasoning` (sent as `reasoning_content`), `tools` as (name, arguments), where arguments
    given as a string go out raw (malformed JSON). `finish_reason` defaults to `tool_calls` or `stop`. `usage` is
    computed from lengths (4 characters a token) unless a mapping is given; None leaves it out; `cached_tokens` is added
    to it. `model` defaults to the model asked for.

    How it is sent: `delay` seconds before the first byte, `gap` seconds after each chunk, `chunk` characters per delta,
    `interleave` mixes the argument deltas of parallel tool calls.

    How it fails: `status` of 400 and above, or an `error` ({message, type, code}; status 500 if none is given), with
    `headers` such as Retry-After. `hang_up` closes without a byte; `cut_after` N chunks closes the socket (past the
    end: after [DONE], before the end of the body); `garbage_at` breaks the JSON of chunk N; `error_at` sends `error`
    in place of chunk N and ends; `stall_at` waits `stall_for` seconds before chunk N, with a comment line every
    `heartbeat` seconds where that is given, as servers send to keep a connection. Without streaming, a cut sends half
    the body, garbage is a body that is no JSON and a stall comes between head and body.
    """

    __pydantic_config__ = _CLOSED

    text: str = ""
    reasoning: str = ""
    tools: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | Literal["computed"] | None = "computed"
    cached_tokens: int = 0
    model: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    delay: float = 0.0
    gap: float = 0.0
    chunk: int = 16
    interleave: bool = False
    hang_up: bool = False
    cut_after: int | None = None
    garbage_at: int | None = None
    error_at: int | None = None
    stall_at: int | None = None
    stall_for: float = 3600.0
    heartbeat: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (
            ("chunk", 1),
            ("status", 200),
            ("delay", 0),
            ("gap", 0),
            ("stall_for", 0),
            ("heartbeat", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: must be at least {least}, not {getattr(self, name)}")
        for name in ("cut_after", "garbage_at", "error_at", "stall_at", "cached_tokens"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name}: must not be negative, not {getattr(self, name)}")

    @property
    def fails(self) -> bool:
        """True when the whole reply is an error."""
        return self.status >= 400 or (self.error is not None and self.error_at is None)

    @property
    def is_plain(self) -> bool:
        """True when the chunks of a stream may leave in one write."""
        faults = (self.cut_after, self.garbage_at, self.error_at, self.stall_at)
        return not self.gap and all(fault is None for fault in faults)


@dataclass(frozen=True)
class Rule:
    """Answers the requests that meet all its conditions. Give `turns` or `reply`.

    `turns` are chosen by the conversation's own turn index: the number of assistant messages in the request (with
    `since="prompt"`: after its last user message). So the server needs no memory: it can be restarted, and any number
    of conversations can run side by side. Past the last of them the rule no longer applies, unless `repeat_last`.
    `reply` is one step for every turn.

    Conditions: `model` (a name or a pattern like `gpt-*`), `api_key`; substrings and regular expressions of the last
    user message (`contains`, `matches`), of any system message (`system`, `system_matches`), of the whole conversation
    (`anywhere`, `anywhere_matches`) and of the newest tool result (`result`); `turn` (the turn index), `tool_results`
    (how many there are), `has_tool_result`. `times` and `times_each` (per conversation) let a rule answer only so
    often, which is how a retry gets another reply than the call before; they alone are forgotten at a restart.
    """

    __pydantic_config__ = _CLOSED

    turns: Sequence[Step] = ()
    reply: Step | None = None
    model: str | None = None
    api_key: str | None = None
    contains: str | None = None
    matches: str | None = None
    system: str | None = None
    system_matches: str | None = None
    anywhere: str | None = None
    anywhere_matches: str | None = None
    result: str | None = None
    turn: int | None = None
    tool_results: int | None = None
    has_tool_result: bool | None = None
    since: Literal["start", "prompt"] = "start"
    repeat_last: bool = False
    times: int | None = None
    times_each: int | None = None

    def __post_init__(self) -> None:
        if bool(self.turns) == (self.reply is not None):
            raise ValueError("turns: a rule needs either turns or reply")
        for name in ("matches", "system_matches", "anywhere_matches"):
            try:
                re.compile(getattr(self, name) or "")
            except re.error as error:
                raise ValueError(f"{name}: not a regular expression: {error}") from error

    def applies(self, request: Request) -> bool:
        """True when the request meets every condition but `times` and `times_each`."""
        return all(self._conditions(request)) and self.step_for(request) is not None

    def step_for(self, request: Request) -> Step | None:
        """The step of the request's turn, None past the last one."""
        if self.reply is not None:
            return self.reply
        index = self._turn_of(request)
        if index >= len(self.turns):
            return self.turns[-1] if self.repeat_last else None
        return self.turns[index]

    def _turn_of(self, request: Request) -> int:
        return request.turn if self.since == "start" else request.turn_since_prompt

    def _conditions(self, request: Request) -> Iterator[bool]:
        yield self.model is None or fnmatchcase(request.model, self.model)
        yield self.api_key is None or self.api_key == request.api_key
        yield self.turn is None or self.turn == self._turn_of(request)
        yield self.tool_results is None or self.tool_results == len(request.tool_results)
        yield self.has_tool_result is None or self.has_tool_result == bool(request.tool_results)
        yield self.contains is None or self.contains in request.prompt
        yield self.matches is None or bool(re.search(self.matches, request.prompt))
        yield self.system is None or any(self.system in text for text in request.system)
        yield self.system_matches is None or any(re.search(self.system_matches, text) for text in request.system)
        yield self.result is None or any(self.result in text for text in request.tool_results[-1:])
        yield self.anywhere is None or self.anywhere in request.everything
        yield self.anywhere_matches is None or bool(re.search(self.anywhere_matches, request.everything))


Answer = Callable[[Request], Step | None]


@dataclass(frozen=True)
class Script:
    """Asked in this order: the first of `rules` that applies, `answer` (any callable), the next of `steps`.

    `repeat_last_step` keeps the last of `steps` for ever. When nothing answers, the reply is 500 "no rule matched".
    """

    __pydantic_config__ = _CLOSED

    rules: Sequence[Rule] = ()
    steps: Sequence[Step] = ()
    repeat_last_step: bool = False
    answer: Answer | None = None


Scriptable = Script | Sequence[Step | Rule] | Answer


def as_script(source: Scriptable) -> Script:
    """A script from what a test has at hand: a script, a list of rules and steps, or a callable."""
    if isinstance(source, Script):
        return source
    if callable(source):
        return Script(answer=source)
    return Script(
        rules=[item for item in source if isinstance(item, Rule)],
        steps=[item for item in source if isinstance(item, Step)],
    )


class Player:
    """Chooses the step of each request of one server. Not thread-safe: the server's loop owns it."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._position = 0
        self._uses: Counter[int] = Counter()
        self._uses_each: Counter[tuple[int, str]] = Counter()
        self._unmatched: list[str] = []

    def complaints(self) -> list[str]:
        """What did not go as scripted: the calls that nothing answered, the ordered steps that nobody asked for."""
        unused = len(self._script.steps) - self._position
        return self._unmatched + ([f"{unused} of {len(self._script.steps)} steps were not used"] if unused else [])

    def choose(self, request: Request) -> Step:
        """The step that answers this request; counts the use of what is limited."""
        for index, rule in enumerate(self._script.rules):
            if rule.applies(request) and self._may_use(index, rule, request.conversation):
                return rule.step_for(request) or self._no_match(request)
        if self._script.answer is not None and (step := self._script.answer(request)) is not None:
            return step
        return self._next_step() or self._no_match(request)

    def _may_use(self, index: int, rule: Rule, conversation: str) -> bool:
        if rule.times is not None and self._uses[index] >= rule.times:
            return False
        if rule.times_each is not None and self._uses_each[index, conversation] >= rule.times_each:
            return False
        self._uses[index] += 1
        self._uses_each[index, conversation] += 1
        return True

    def _next_step(self) -> Step | None:
        steps = self._script.steps
        if self._position < len(steps):
            self._position += 1
            return steps[self._position - 1]
        return steps[-1] if steps and self._script.repeat_last_step else None

    def _no_match(self, request: Request) -> Step:
        message = (
            f"no rule matched: model {request.model!r}, turn {request.turn}, {len(request.tool_results)} tool results, "
            f"last user message {request.prompt[:200]!r}"
        )
        self._unmatched.append(message)
        return Step(status=500, error={"message": message, "type": "no_rule_matched", "code": "no_rule_matched"})
