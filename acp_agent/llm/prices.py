"""What models cost: litellm's table of prices, read without importing litellm, one model at a time."""

import json
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acp_agent.llm.provider import ModelPrice, Provider

TABLE_FILE = "model_prices_and_context_window_backup.json"

_FREE = ModelPrice(input=0.0, output=0.0, cached=0.0)
_LOCAL = frozenset({"demo", "ollama", "ollama_chat", "llamafile", "lm_studio", "lemonade"})
"""Providers that run on the user's machines: nobody sends a bill."""

_WRITES_ITS_CACHE = frozenset({"openai"})
"""Providers that fill their cache unasked and charge for it; which tokens they do not say."""


def litellm_table() -> Path | None:
    """Where the installed litellm keeps its table; None without it."""
    spec = find_spec("litellm")
    places = spec.submodule_search_locations if spec is not None else None
    paths = (Path(place) / TABLE_FILE for place in places or ())
    return next((path for path in paths if path.is_file()), None)


class PriceTable:
    """Prices by model. Nothing is read before the first question; a model nobody knows has None, never 0.

    `path` is a table in litellm's form (default: litellm's own).
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, ModelPrice | None] = {}

    def price(self, provider: Provider, model: str) -> ModelPrice | None:
        """The user's own price for `model` of `provider`, else the table's; the provider's limits overrule both."""
        configured = provider.prices.get(model) or provider.prices.get("*")
        listed = self.listed(provider.name, model)
        found = configured or listed or (_FREE if provider.name in _LOCAL else None)
        if found is None:
            return None
        known = listed or found
        return found.model_copy(
            update={
                "max_output": provider.max_output or found.max_output or known.max_output,
                "context_window": provider.context_window or found.context_window or known.context_window,
            }
        )

    def listed(self, provider: str, model: str) -> ModelPrice | None:
        """The table's price of `provider/model`."""
        name = f"{provider}/{model}"
        if name not in self._known:
            self._known[name] = self._look_up(provider, model)
        return self._known[name]

    def _look_up(self, provider: str, model: str) -> ModelPrice | None:
        if provider == "litellm_proxy":
            return None  # its names are its owner's, whatever they look like
        entry = self._text.entry(f"{provider}/{model}")
        if entry is None:
            entry = self._text.entry(model)
            if entry is None or not _sells(entry.get("litellm_provider"), provider):
                return None
        return _price_of(entry, provider)

    @cached_property
    def _text(self) -> "_TableText":
        path = self._path or litellm_table()
        return _TableText(path.read_text("utf-8") if path is not None else "{}")


class _TableText:
    """The table as text: 3 MB take 30 ms to parse and 2 ms to search, and a run asks for one or two models."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._indented = text.startswith('{\n    "') and text.rstrip().endswith("\n    }\n}")

    def entry(self, name: str) -> Mapping[str, Any] | None:
        """The entry of one model; of several, the last, as in JSON."""
        if not self._indented:
            value = self._parsed.get(name)
        else:
            head = f"\n    {json.dumps(name)}: "
            start = self._text.rfind(head)
            value = json.JSONDecoder().raw_decode(self._text, start + len(head))[0] if start >= 0 else None
        return value if isinstance(value, dict) else None

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        table = json.loads(self._text)
        return table if isinstance(table, dict) else {}


def _sells(seller: Any, provider: str) -> bool:
    """True when an entry without a provider in its name is that provider's (`cohere_chat` is `cohere`)."""
    return isinstance(seller, str) and (seller == provider or seller.startswith((f"{provider}_", f"{provider}-")))


def _price_of(entry: Mapping[str, Any], provider: str) -> ModelPrice | None:
    price = _tier(entry, provider, "")
    if price is None:
        return None
    if not (price.input or price.output) and provider not in _LOCAL:
        return None  # the table's zero means that nobody has written the price down
    sizes = {
        int(size): suffix
        for name in entry
        for prefix, mark, suffix in [name.partition("_above_")]
        if mark and prefix == "input_cost_per_token" and (size := suffix.removesuffix("k_tokens")).isdigit()
    }
    tiers = [(size * 1000, _tier(entry, provider, f"_above_{suffix}")) for size, suffix in sorted(sizes.items())]
    return price.model_copy(
        update={
            "above": tuple((size, tier) for size, tier in tiers if tier is not None),
            "max_output": _whole(entry.get("max_output_tokens") or entry.get("max_tokens")),
            "context_window": _whole(entry.get("max_input_tokens") or entry.get("max_tokens")),
            "vision": bool(entry.get("supports_vision")),
            "tools": bool(entry.get("supports_function_calling")),
        }
    )


def _tier(entry: Mapping[str, Any], provider: str, suffix: str) -> ModelPrice | None:
    """The prices of one tier; what a dearer tier leaves out costs what it costs below."""

    def dollars(name: str) -> float | None:
        return _dollars(entry.get(name + suffix, entry.get(name)))

    incoming, outgoing = dollars("input_cost_per_token"), dollars("output_cost_per_token")
    if incoming is None or outgoing is None:
        return None
    if provider in _WRITES_ITS_CACHE:
        incoming = max(incoming, dollars("cache_creation_input_token_cost") or 0.0)
    return ModelPrice(
        input=incoming,
        output=outgoing,
        cached=dollars("cache_read_input_token_cost"),
        reasoning=_dollars(entry.get("output_cost_per_reasoning_token")) if not suffix else None,
    )


def _dollars(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
