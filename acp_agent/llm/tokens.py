"""Bounds and sums: the most tokens a request can be, and what tokens cost at a price. Pure."""

import json

from acp_agent.domain.budget import Quote
from acp_agent.domain.message import Message, Usage, UserMessage
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.provider import ModelPrice
from acp_agent.llm.wire import function_of, message_of

PER_MESSAGE = 16
"""Tokens a chat template may put around a message, and around a tool."""

PER_TOOL_SET = 1024
"""Tokens a provider may add to explain tool calling to the model."""

PER_IMAGE = 8192
"""Tokens of one picture, well above what the large providers say that one can cost (they scale larger ones down)."""

DEFAULT_MAX_OUTPUT = 8192


def input_bound(request: ModelRequest) -> int:
    """At least the tokens of `request`: no tokenizer makes more than one token of a byte.

    The first `known_messages` count what the provider counted; tools always count, they may have changed since.
    """
    known = min(request.known_messages, len(request.messages)) if request.known_tokens else 0
    rest = sum(_bound_of(message) for message in request.messages[known:])
    tools = sum(_size(function_of(tool)) + PER_MESSAGE for tool in request.tools)
    schema = _size(request.answer_schema) if request.answer_schema is not None else 0
    overhead = PER_TOOL_SET if request.tools or schema else 0
    return (request.known_tokens if known else 0) + rest + tools + schema + overhead


def _bound_of(message: Message) -> int:
    images = message.images if isinstance(message, UserMessage) else ()
    words = message.model_copy(update={"images": ()}) if images else message
    return _size(message_of(words)) + PER_MESSAGE + len(images) * PER_IMAGE


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def quote_of(request: ModelRequest, price: ModelPrice | None, limit: int | None) -> Quote:
    """The most `request` can cost; `limit` is the provider's own on a reply, in tokens."""
    listed = price.max_output if price is not None else None
    ceilings = [ceiling for ceiling in (request.max_output, limit) if ceiling is not None]
    max_output = min(ceilings) if ceilings else listed or DEFAULT_MAX_OUTPUT
    if price is None:
        return Quote(worst=None, max_output=max_output)
    size = input_bound(request)
    tiers = [price, *(tier for least, tier in price.above if size > least)]
    dearest_in = max(tier.input for tier in tiers)
    dearest_out = max(max(tier.output, tier.reasoning or 0.0) for tier in tiers)
    return Quote(worst=size * dearest_in + max_output * dearest_out, max_output=max_output)


def cost_of(usage: Usage, price: ModelPrice) -> float:
    """What `usage` cost in US dollars."""
    tier = price
    for least, dearer in price.above:
        if usage.input_tokens > least:
            tier = dearer
    cached = min(usage.cached_tokens, usage.input_tokens)
    reasoning = min(usage.reasoning_tokens, usage.output_tokens)
    return (
        (usage.input_tokens - cached) * tier.input
        + cached * (tier.input if tier.cached is None else tier.cached)
        + (usage.output_tokens - reasoning) * tier.output
        + reasoning * (tier.output if tier.reasoning is None else tier.reasoning)
    )
