"""The embedded adapter: the demonstration model, which weighs the choices of a closed schema one by one.

For each choice the model says how likely the words are after the facts of the project, and how likely they are when
every fact is a question mark; the choice whose likelihood the facts raise most is its answer. A model of 135 million
parameters prefers the same few words whatever it has read: taking the likeliest was right 21 times in 42, this 33.
"""

import json
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from acp_agent.domain.errors import ModelError, ModelFault, UsageError
from acp_agent.domain.message import AssistantMessage, Reply, Usage, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.child import Child, ChildDied
from acp_agent.llm.closed import NO_ANSWER, ClosedField, Scalar, closed_fields, words_of
from acp_agent.llm.demonstration import FETCH, LABEL, MODEL, facts_in, what_is_missing
from acp_agent.llm.draft import usage_of

_TRIES = 2
_QUESTION_CAP = 600
_FACT_CAP = 400
_FACTS_CAP = 1_600
"""Characters that are read: with them the longest prompt fits the context, and a slow machine has it in seconds."""

_MOST_KEPT = 2_000

OnWord = Callable[[Word], None]
Ask = Callable[[dict[str, Any], float], Awaitable[dict[str, Any]]]


class _Scale:
    """Weighs the choices of one reply, and counts what the engine reads and writes for it."""

    def __init__(self, ask: Ask, silence: float, blank: dict[tuple[str, str], float]) -> None:
        self._ask = ask
        self._silence = silence
        self._blank = blank
        self.usage = Usage()

    async def choose(self, asked: ClosedField, prompt: str, blank: Sequence[float | None]) -> Scalar:
        """The choice that the facts speak for most; `no answer` where the model could not be made to weigh them."""
        found = [await self._likelihood(prompt, _words(choice)) for choice in asked.choices]
        pairs = zip(found, blank, strict=True)
        weights = [own - other for own, other in pairs if own is not None and other is not None]
        return asked.choices[weights.index(max(weights))] if len(weights) == len(found) else NO_ANSWER

    async def blank(self, asked: ClosedField, facts: Sequence[tuple[str, str]], question: str) -> list[float | None]:
        """How likely the choices are when nothing is known, the same for every project of a batch."""
        if not facts:
            return [0.0] * len(asked.choices)
        prompt = _prompt([(name, "?") for name, _ in facts], question, asked.label)
        found: list[float | None] = []
        for words in map(_words, asked.choices):
            known = self._blank.get((prompt, words))
            if known is None and (known := await self._likelihood(prompt, words)) is not None:
                if len(self._blank) >= _MOST_KEPT:
                    self._blank.clear()
                self._blank[prompt, words] = known
            found.append(known)
        return found

    async def _likelihood(self, prompt: str, words: str) -> float | None:
        """The logarithm of how likely `words` follow `prompt`, None where the model does not say, asked again."""
        body = {
            "prompt": prompt,
            "grammar": f"root ::= {json.dumps(words, ensure_ascii=False)}",
            "max_tokens": len(words.encode()) + 1,
            "temperature": 0,
            "logprobs": 1,
            "cache_prompt": True,
            "stream": False,
        }
        for _ in range(_TRIES):
            answer = await self._ask(body, self._silence)
            self._count(answer)
            if (found := _likelihood_in(answer, words)) is not None:
                return found
        return None

    def _count(self, answer: dict[str, Any]) -> None:
        used = usage_of(answer.get("usage")) or Usage()
        self.usage = Usage(
            input_tokens=self.usage.input_tokens + used.input_tokens,
            output_tokens=self.usage.output_tokens + used.output_tokens,
            cached_tokens=self.usage.cached_tokens + used.cached_tokens,
        )


class EmbeddedAdapter:
    """Runs the model in a child process, started on first use; one question at a time."""

    def __init__(self, child: Callable[[], Child] | None = None) -> None:
        self._new_child = child or _installed
        self._child: Child | None = None
        self._turn = anyio.Lock()
        self._blank: dict[tuple[str, str], float] = {}

    async def reply(self, request: ModelRequest, on_word: OnWord) -> Reply:
        """The answer to a closed schema as JSON text; tools are not offered. Raises ModelError."""
        fields = _fields_of(request)
        pieces: list[str] = []

        def say(piece: str) -> None:
            pieces.append(piece)
            on_word(Word(kind="text", text=piece))

        facts, question = _read(request)
        async with self._turn:
            scale = _Scale(self._ask, request.timeout, self._blank)
            # All of them first: each change between the two prompts makes the engine read one of them again.
            blanks = [await scale.blank(each, facts, question) for each in fields]
            for index, (each, blank) in enumerate(zip(fields, blanks, strict=True)):
                value = await scale.choose(each, _prompt(facts, question, each.label), blank)
                name = json.dumps(each.name, ensure_ascii=False)
                say(f"{', ' if index else '{'}{name}: {json.dumps(value, ensure_ascii=False)}")
        say("}")
        message = AssistantMessage(text="".join(pieces))
        return Reply(message=message, stop="end_turn", model=request.model, usage=scale.usage)

    async def warm(self) -> None:
        """Load the model (about half a second). Raises ModelError."""
        async with self._turn:
            await self._running()

    async def aclose(self) -> None:
        """End the child process."""
        child, self._child = self._child, None
        if child is not None:
            await child.aclose()

    async def _ask(self, body: dict[str, Any], silence: float) -> dict[str, Any]:
        child = await self._running()
        settled = False
        try:
            with anyio.fail_after(silence):
                answer = await child.ask(body)
            settled = True
        except TimeoutError as error:
            raise ModelError(f"the {LABEL} was silent for {silence:g} s", fault=ModelFault.TIMEOUT) from error
        except ChildDied as error:
            raise ModelError(f"the {LABEL} ended: {error}", fault=ModelFault.SERVER) from error
        finally:
            if not settled:
                # It may be in the middle of an answer: the next question begins with a fresh one.
                self._child = None
                await child.kill()
        if isinstance(problem := answer.get("error"), dict):
            raise ModelError(f"the {LABEL}: {problem.get('message')}", fault=ModelFault.BAD_REQUEST)
        return answer

    async def _running(self) -> Child:
        if self._child is None:
            child = self._new_child()
            try:
                await child.start()
            except ChildDied as error:
                raise ModelError(f"the {LABEL} does not start: {error}", fault=ModelFault.BAD_REQUEST) from error
            self._child = child
        return self._child


def _installed() -> Child:
    if missing := what_is_missing():
        raise ModelError(f"the {LABEL}: {missing}; {FETCH}", fault=ModelFault.NOT_FOUND)
    return Child.of_weights()


def _fields_of(request: ModelRequest) -> tuple[ClosedField, ...]:
    """What to answer. Raises ModelError for a question that is not closed."""
    if request.model != MODEL:
        raise ModelError(f"there is no model {request.model}; the {LABEL} is {MODEL}", fault=ModelFault.NOT_FOUND)
    if request.answer_schema is None:
        what = f"the {LABEL} answers only closed schemas: enums, booleans, bounded whole numbers"
        raise ModelError(what, fault=ModelFault.BAD_REQUEST)
    try:
        return closed_fields(request.answer_schema)
    except UsageError as error:
        raise ModelError(f"{error.what}; {error.hint}", fault=ModelFault.BAD_REQUEST) from error


def _read(request: ModelRequest) -> tuple[list[tuple[str, str]], str]:
    """The facts and the question of a conversation; remarks that came later are about an answer, not about it."""
    system = next((message.text for message in request.messages if message.role == "system"), "")
    question = next((message.text for message in request.messages if message.role == "user"), "")
    facts: list[tuple[str, str]] = []
    left = _FACTS_CAP
    for name, value in facts_in(system):
        kept = value[: min(_FACT_CAP, max(0, left - len(name)))]
        left -= len(name) + len(kept)
        if left <= 0:
            break
        facts.append((name, kept))
    return facts, " ".join(question.split())[:_QUESTION_CAP]


def _words(choice: Scalar) -> str:
    return f" {words_of(choice)}"


def _prompt(facts: Sequence[tuple[str, str]], question: str, label: str) -> str:
    """A conversation in the form the model was trained on, up to the words that are weighed."""
    lines = "\n".join(f"{name}: {value}" for name, value in facts)
    said = _plain(f"{lines}\n\n{question}".strip())
    return f"<|im_start|>user\n{said}<|im_end|>\n<|im_start|>assistant\n{_plain(label)}:"


def _plain(text: str) -> str:
    """`text` without the marks that begin and end a message."""
    return text.replace("<|", "< |")


def _likelihood_in(answer: dict[str, Any], words: str) -> float | None:
    try:
        choice = answer["choices"][0]
        # The end of the reply is a token without text.
        tokens = [token for token in choice["logprobs"]["content"] if token["token"]]
        total = math.fsum(float(token["logprob"]) for token in tokens)
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return total if choice.get("text") == words and tokens and math.isfinite(total) else None
