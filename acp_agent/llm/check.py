"""Whether a model works: one tiny real call, and one that must use a tool (the demonstration model: a closed one)."""

import time
from collections.abc import Callable

from acp_agent.domain.base import Frozen
from acp_agent.domain.errors import ModelError, ModelFault
from acp_agent.domain.message import Reply, SystemMessage, UserMessage, Word
from acp_agent.domain.ports import Model, ModelRequest
from acp_agent.domain.tool import Risk, ToolSpec
from acp_agent.llm.closed import NO_ANSWER
from acp_agent.llm.demonstration import PURPOSE, is_demonstration, role_text

_TOOL = ToolSpec(
    name="report",
    description="Report the result. Always use it to answer.",
    parameters={
        "type": "object",
        "properties": {"result": {"type": "string", "description": "The word ok."}},
        "required": ["result"],
        "additionalProperties": False,
    },
    risk=Risk.READ,
)

_MAX_OUTPUT = 1024
"""Tokens; models that think need room before they can say ok."""

_HINTS = {
    ModelFault.AUTH: "Check the provider's key: it is missing, wrong, or not allowed to use this model.",
    ModelFault.QUOTA: "The account has no credit or quota left; add some, or name another model.",
    ModelFault.NOT_FOUND: "Check the model's name and the base URL; `acp models ls` shows what was found.",
    ModelFault.NETWORK: "Is the server running, and its base URL right? `acp models ls` shows what answers.",
    ModelFault.TIMEOUT: "The server took too long; a local model may still be loading. Try again.",
    ModelFault.RATE_LIMIT: "Too many requests for now; try again later or lower max_concurrent.",
    ModelFault.OVERLOADED: "The provider is overloaded; try again later or put another model into the chain.",
    ModelFault.SERVER: "The provider failed; try again later or put another model into the chain.",
    ModelFault.BAD_REQUEST: "The provider refuses the request; is this model one that converses?",
}
_ODD = "What answers does not speak OpenAI's chat completions properly; check the base URL and the server's version."
_CLOSED = f"It is for a first look: {PURPOSE}."
_NO_TOOL = "It answers but did not use the tool it was given: it can talk, but not work on files."


class ModelCheck(Frozen):
    """How one model did. `tools` is None where the call with a tool was not reached; `cost` is in US dollars.

    `cost` and `tokens` are None where nobody says; `seconds` are of both calls.
    """

    model: str
    ok: bool
    seconds: float
    tokens: int | None = None
    cost: float | None = None
    tools: bool | None = None
    error: str | None = None
    hint: str | None = None


async def check_model(
    gateway: Model, model: str, *, silence: float = 60.0, clock: Callable[[], float] = time.monotonic
) -> ModelCheck:
    """Ask `model` for one word and for one tool call; `silence` in seconds. A failure is a row, not an exception."""
    started = clock()
    replies: list[Reply] = []
    question = ModelRequest(
        model=model,
        messages=(UserMessage(text="Reply with the single word: ok"),),
        max_output=_MAX_OUTPUT,
        timeout=silence,
    )
    errand = question.model_copy(
        update={"messages": (UserMessage(text="Call the tool `report` with result ok."),), "tools": (_TOOL,)}
    )
    closed = is_demonstration(model)
    error: ModelError | None = None
    try:
        for request in (_closed_question(model, silence),) if closed else (question, errand):
            replies.append(await gateway.reply(request, _unheard))
    except ModelError as failure:
        error = failure
    used_tool = any(call.name == _TOOL.name for call in replies[1].message.calls) if len(replies) > 1 else None
    works = used_tool is True or (closed and any(NO_ANSWER not in reply.message.text for reply in replies))
    usages = [reply.usage for reply in replies if reply.usage is not None]
    complete = bool(replies) and len(usages) == len(replies)
    costs = [gateway.cost(model, usage) for usage in usages]
    return ModelCheck(
        model=model,
        ok=error is None and works,
        seconds=clock() - started,
        tokens=sum(usage.input_tokens + usage.output_tokens for usage in usages) if complete else None,
        cost=sum(cost for cost in costs if cost is not None) if complete and None not in costs else None,
        tools=used_tool,
        error=error.message if error is not None else None,
        hint=_hint(error, used_tool, closed),
    )


def _hint(error: ModelError | None, used_tool: bool | None, closed: bool) -> str | None:
    if error is not None:
        return _HINTS.get(error.fault, _ODD)
    if closed:
        return _CLOSED
    return _NO_TOOL if used_tool is False else None


def _closed_question(model: str, silence: float) -> ModelRequest:
    facts = (("Project", "hello"), ("README", "A command line tool that greets people."), ("Main language", "Python"))
    return ModelRequest(
        model=model,
        messages=(SystemMessage(text=role_text(facts)), UserMessage(text="What is this project?")),
        answer_schema={"type": "object", "properties": {"language": {"enum": ["python", "go", "rust"]}}},
        timeout=silence,
    )


def _unheard(word: Word) -> None:
    """Nobody listens to a check."""
