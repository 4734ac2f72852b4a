"""The Model port over all providers: which adapter asks, how many at once, and what it costs."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from acp_agent.domain.budget import Quote
from acp_agent.domain.errors import ModelError, ModelFault, UsageError
from acp_agent.domain.message import Reply, Usage, UserMessage, Word
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.demonstration import is_demonstration
from acp_agent.llm.lean import LeanAdapter
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import ModelPrice, Provider, split_model
from acp_agent.llm.slots import Slots
from acp_agent.llm.tokens import cost_of, quote_of
from acp_agent.llm.wire import without_images

if TYPE_CHECKING:
    from acp_agent.llm.embedded import EmbeddedAdapter
    from acp_agent.llm.litellm_adapter import LitellmAdapter
    from acp_agent.llm.shared import SharedLimits


class Gateway:
    """Implements `Model`. A provider that is not in `providers` is asked the way its name says.

    `redact` masks secrets in what providers complain about; `shared` are limits over all processes. Belongs to one
    event loop; `aclose` it there.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        prices: PriceTable,
        redact: Callable[[str], str] = str,
        shared: "SharedLimits | None" = None,
    ) -> None:
        masked = {"redact": redact}
        self._providers = {name: provider.model_copy(update=masked) for name, provider in providers.items()}
        self._redact = redact
        self._prices = prices
        self._shared = shared
        self._lean = LeanAdapter()
        self._made = AsyncExitStack()
        self._slots: dict[str, Slots] = {}

    async def reply(self, request: ModelRequest, on_word: Callable[[Word], None]) -> Reply:
        """The whole reply; `on_word` sees it as it streams. Raises ModelError. Waits for a slot of the provider."""
        try:
            provider, model = self._resolve(request.model)
        except UsageError as error:
            raise ModelError(f"{error.what}. {error.hint}", fault=ModelFault.NOT_FOUND) from error
        if is_demonstration(request.model):
            return await self._embedded.reply(request, on_word)
        pictured = any(isinstance(message, UserMessage) and message.images for message in request.messages)
        if pictured and not self.sees(request.model):
            request = request.model_copy(update={"messages": without_images(request.messages)})
        adapter = self._lean if provider.is_lean else self._litellm
        async with self._slot(provider).one(request.urgency):
            if self._shared is None:
                return await adapter.reply(provider, model, request, on_word)
            async with self._shared.one(provider.name, request):
                return await adapter.reply(provider, model, request, on_word)

    def quote(self, request: ModelRequest) -> Quote:
        """The most `request` can cost if it is sent with the quote's `max_output`. Raises UsageError for a bad name."""
        provider, model = self._resolve(request.model)
        return quote_of(request, self._prices.price(provider, model), provider.max_output)

    def cost(self, model: str, usage: Usage) -> float | None:
        """What `usage` of `model` cost in US dollars, None where the price is unknown."""
        price = self.price(model)
        return cost_of(usage, price) if price is not None else None

    def price(self, model: str) -> ModelPrice | None:
        """Price and sizes of `provider/model`; None where the price is unknown."""
        provider, name = self._resolve(model)
        return self._prices.price(provider, name)

    def sees(self, model: str) -> bool:
        """Whether `provider/model` is known to see pictures."""
        provider, name = self._resolve(model)
        listed = self._prices.listed(provider.name, name)
        return name in provider.vision or "*" in provider.vision or (listed is not None and listed.vision)

    async def warm(self, model: str) -> None:
        """Load what asking `model` needs, while a person still types; a first call does it otherwise."""
        provider, _ = self._resolve(model)
        if is_demonstration(model):
            await self._embedded.warm()
        elif not provider.is_lean:
            await self._litellm.warm()

    async def aclose(self) -> None:
        """Close all connections, and end the demonstration model."""
        async with self._made:
            await self._lean.aclose()

    # Most processes never ask these two, and what they need takes its time to import.
    @cached_property
    def _litellm(self) -> "LitellmAdapter":
        from acp_agent.llm.litellm_adapter import LitellmAdapter

        adapter = LitellmAdapter()
        self._made.push_async_callback(adapter.aclose)
        return adapter

    @cached_property
    def _embedded(self) -> "EmbeddedAdapter":
        from acp_agent.llm.embedded import EmbeddedAdapter

        adapter = EmbeddedAdapter()
        self._made.push_async_callback(adapter.aclose)
        return adapter

    def _resolve(self, model: str) -> tuple[Provider, str]:
        name, rest = split_model(model)
        if name not in self._providers:
            self._providers[name] = Provider(name=name, redact=self._redact)
        return self._providers[name], rest

    def _slot(self, provider: Provider) -> Slots:
        if provider.name not in self._slots:
            self._slots[provider.name] = Slots(provider.max_concurrent)
        return self._slots[provider.name]
