"""Where a model is asked: a provider as `app` describes it to this package, and the names of models."""

from collections.abc import Callable
from typing import Literal

from pydantic import Field, SecretStr

from acp_agent.domain.base import Frozen
from acp_agent.domain.errors import UsageError
from acp_agent.domain.redact import MASK

OPENAI_URL = "https://api.openai.com/v1"
LITELLM_PROXY_URL = "http://127.0.0.1:4000/v1"
OLLAMA_URL = "http://127.0.0.1:11434/v1"

_LEAN_URLS = {"openai": OPENAI_URL, "litellm_proxy": LITELLM_PROXY_URL, "ollama": OLLAMA_URL}
"""Providers that speak OpenAI's wire wherever they are, and where they are unless somebody says otherwise."""

_OWN_WIRES = frozenset(
    {
        "anthropic",
        "azure",
        "azure_ai",
        "bedrock",
        "cohere",
        "cohere_chat",
        "gemini",
        "sagemaker",
        "vertex_ai",
        "watsonx",
    }
)
"""Providers with a wire of their own: a base URL alone does not make them OpenAI-compatible."""


class ModelPrice(Frozen):
    """US dollars per token. `cached` is for input read from the provider's cache (None: as `input`).

    `reasoning` is for output that is reasoning (None: as `output`); `above` holds dearer prices of long prompts, by
    their least size. `max_output` and `context_window` are in tokens; None where nobody says.
    """

    input: float
    output: float
    cached: float | None = None
    reasoning: float | None = None
    above: tuple[tuple[int, "ModelPrice"], ...] = ()
    max_output: int | None = None
    context_window: int | None = None
    vision: bool = False
    tools: bool = True


class Provider(Frozen):
    """One provider. `keys` are values (their `env:NAME` is resolved by the caller); the first is used.

    `kind` None chooses by name and base URL: `lean` for OpenAI-compatible servers, `litellm` for the rest. `prices` are
    the user's own, by model name, `*` for all others. `max_output` and `context_window` overrule the table, in tokens.
    `vision` names models that see pictures, `*` all of them, beside those of which the table says so.
    `redact` masks the other secrets of this process in what it says.
    """

    name: str
    base_url: str | None = None
    keys: tuple[SecretStr, ...] = ()
    kind: Literal["lean", "litellm"] | None = None
    max_concurrent: int = Field(default=16, ge=1)
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    vision: tuple[str, ...] = ()
    max_output: int | None = Field(default=None, ge=1)
    context_window: int | None = Field(default=None, ge=1)
    redact: Callable[[str], str] = Field(default=str, exclude=True, repr=False)

    @property
    def is_lean(self) -> bool:
        """True when the provider is asked over httpx, without litellm."""
        if self.kind is not None:
            return self.kind == "lean"
        return self.name in _LEAN_URLS or (self.base_url is not None and self.name not in _OWN_WIRES)

    @property
    def url(self) -> str | None:
        """The base URL without a slash at its end; None where litellm knows it."""
        url = self.base_url or (_LEAN_URLS.get(self.name) if self.is_lean else None)
        return url.rstrip("/") if url else None

    @property
    def key(self) -> str | None:
        """The key to use; white space around it, as files and shells leave it, is no part of it."""
        return next((key.get_secret_value().strip() for key in self.keys if key.get_secret_value().strip()), None)

    def hide(self, text: str) -> str:
        """`text` as it was said, without the keys, however short they are, and without other secrets."""
        text = self.redact(text)
        for secret in sorted((key.get_secret_value().strip() for key in self.keys), key=len, reverse=True):
            text = text.replace(secret, MASK) if secret else text
        return text

    def output_limit(self, asked: int | None) -> int | None:
        """The tokens a reply may have: the lesser of what was asked and what the provider is set to."""
        return min((limit for limit in (asked, self.max_output) if limit is not None), default=None)

    @property
    def is_openai_itself(self) -> bool:
        """True for OpenAI's own servers, which refuse parameters that others need."""
        return self.is_lean and (self.url or "").startswith("https://api.openai.com/")


def split_model(model: str) -> tuple[str, str]:
    """`provider/model` as its two parts; the model may itself hold slashes. Raises UsageError."""
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise UsageError(
            f"model {model!r} names no provider",
            hint="Write provider/model, for example openai/gpt-5-mini or ollama/qwen3; `acp models ls` shows some.",
        )
    return provider, name
