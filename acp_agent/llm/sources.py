"""What the environment says about models: keys, addresses, and the model each of them stands for. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr

from acp_agent.domain.base import Frozen
from acp_agent.llm.provider import LITELLM_PROXY_URL, OLLAMA_URL, OPENAI_URL, Provider

DEFAULT_OPENAI_MODEL = "gpt-5-mini"
LITELLM_KEYS = ("LITELLM_API_KEY", "LITELLM_MASTER_KEY", "LITELLM_KEY", "LITELLM_PROXY_API_KEY")

_OLLAMA_PORT = 11434
_NO_CHAT = re.compile(
    r"(?i)embed|whisper|\btts\b|rerank|moderation|dall-e|image|audio|realtime|transcri|speech|\bbge\b|guard|sora|babbage"
    r"|davinci|\*"
)
"""Names of models that do not converse, and the wildcards of a proxy's list."""


class KeySource(Frozen):
    """A provider known by its key: the variables that may hold it, and the model to take when nobody names one."""

    provider: str
    variables: tuple[str, ...]
    model: str


KEY_SOURCES = (
    KeySource(provider="openai", variables=("OPENAI_API_KEY",), model=DEFAULT_OPENAI_MODEL),
    KeySource(provider="anthropic", variables=("ANTHROPIC_API_KEY",), model="claude-sonnet-4-5"),
    KeySource(provider="gemini", variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"), model="gemini-2.5-flash"),
    KeySource(provider="mistral", variables=("MISTRAL_API_KEY",), model="devstral-medium-latest"),
    KeySource(provider="groq", variables=("GROQ_API_KEY",), model="openai/gpt-oss-120b"),
    KeySource(provider="openrouter", variables=("OPENROUTER_API_KEY",), model="anthropic/claude-sonnet-4.5"),
    KeySource(provider="deepseek", variables=("DEEPSEEK_API_KEY",), model="deepseek-chat"),
    KeySource(provider="xai", variables=("XAI_API_KEY",), model="grok-code-fast-1"),
)
"""In the order they are looked at."""


class Places(Frozen):
    """Where local servers are looked for, as base URLs of their OpenAI-compatible APIs, and how long, in seconds."""

    litellm_proxy: str = LITELLM_PROXY_URL
    ollama: str = OLLAMA_URL
    connect: float = 0.3
    answer: float = 2.0


def variable(environ: Mapping[str, str], names: Iterable[str]) -> tuple[str, str] | None:
    """The first of `names` that is set, with its value; an empty one counts as unset."""
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), None)


def places_of(environ: Mapping[str, str], places: Places) -> Places:
    """`places` with what OLLAMA_HOST and LITELLM_PROXY_API_BASE say."""
    ollama = variable(environ, ["OLLAMA_HOST"])
    proxy = variable(environ, ["LITELLM_PROXY_API_BASE"])
    return places.model_copy(
        update={
            "ollama": ollama_url(ollama[1]) if ollama else places.ollama,
            "litellm_proxy": proxy[1].rstrip("/") if proxy else places.litellm_proxy,
        }
    )


def ollama_url(host: str) -> str:
    """OLLAMA_HOST, which may lack scheme and port and may be an address to listen on, as a base URL."""
    scheme, mark, rest = host.strip().partition("://")
    parts = urlsplit(host.strip() if mark else f"http://{host.strip()}")
    name = parts.hostname or "127.0.0.1"
    if name in ("0.0.0.0", "::"):
        name = "127.0.0.1"
    try:
        port = parts.port
    except ValueError:
        port = None
    default = {"http": 80, "https": 443}.get(scheme, _OLLAMA_PORT) if mark and rest else _OLLAMA_PORT
    shown = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown}:{port or default}{parts.path.rstrip('/')}/v1"


def providers_of(environ: Mapping[str, str], places: Places | None = None) -> dict[str, Provider]:
    """The providers the environment describes, by name; what a person configured goes over them."""
    where = places_of(environ, places or Places())
    base_url = variable(environ, ["OPENAI_BASE_URL"])
    providers = {
        "openai": Provider(name="openai", base_url=base_url[1] if base_url else OPENAI_URL),
        "litellm_proxy": Provider(
            name="litellm_proxy", base_url=where.litellm_proxy, keys=_keys(variable(environ, LITELLM_KEYS))
        ),
        "ollama": Provider(name="ollama", base_url=where.ollama, keys=_keys(variable(environ, ["OLLAMA_API_KEY"]))),
    }
    for source in KEY_SOURCES:
        known = providers.get(source.provider, Provider(name=source.provider))
        keys = _keys(variable(environ, source.variables))
        if keys or source.provider in providers:
            providers[source.provider] = known.model_copy(update={"keys": keys})
    return providers


def _keys(found: tuple[str, str] | None) -> tuple[SecretStr, ...]:
    return (SecretStr(found[1]),) if found else ()


def preferred(models: Sequence[str], favourite: str | None = None) -> str | None:
    """The model to take from a server's list: `favourite` if it is there, else the first that converses."""
    if favourite in models:
        return favourite
    return next((model for model in models if not _NO_CHAT.search(model)), None)
