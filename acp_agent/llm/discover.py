"""Which models can be used on this machine, and why: what was named, the environment, local servers, in that order."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio

from acp_agent.domain.base import Frozen
from acp_agent.domain.errors import ModelError
from acp_agent.llm.client import new_client
from acp_agent.llm.demonstration import FETCH, LABEL, MODEL, PURPOSE, is_demonstration, what_is_missing
from acp_agent.llm.faults import tidy
from acp_agent.llm.http import httpx
from acp_agent.llm.lean import headers_of
from acp_agent.llm.provider import Provider, split_model
from acp_agent.llm.sources import (
    DEFAULT_OPENAI_MODEL,
    KEY_SOURCES,
    LITELLM_KEYS,
    Places,
    places_of,
    preferred,
    providers_of,
    variable,
)

_NAMED_CONNECT = 3.0
_NAMED_ANSWER = 10.0
"""Seconds for a server that the user named: it may be far away, or on this machine with all its cores busy."""


class Found(Frozen):
    """One place where a model was looked for.

    `models` are all it offers and `model` the one it stands for, each as `provider/model`; `why` is for a person.
    `final` ends the search though there is no model: falling back would send the user's code where they did not point.
    """

    source: str
    found: bool
    why: str
    base_url: str | None = None
    models: tuple[str, ...] = ()
    model: str | None = None
    chosen: bool = False
    final: bool = False


class Choice(Frozen):
    """The chain of models to use, empty where there is none, and what was looked at until it was found."""

    models: tuple[str, ...]
    rows: tuple[Found, ...]


Probe = Callable[[], Awaitable[Found]]


async def choose(
    named: Mapping[str, Sequence[str]],
    environ: Mapping[str, str],
    places: Places | None = None,
    *,
    demonstration: bool = False,
) -> Choice:
    """The models to use, looking no further than needed.

    `named` holds the chains a person named by where they did (`--model`, `ACP_MODEL`...), the strongest first. Only for
    callers that know its limits (`demonstration`) the embedded model is a last resort. Raises UsageError for a name
    that is not `provider/model`.
    """
    rows: list[Found] = []
    for source, models in named.items():
        if models:
            return Choice(models=tuple(models), rows=(*rows, _named(source, models)))
    async for row in _in_turn(_probes(environ, places or Places())):
        rows.append(row)
        if row.model is not None and (demonstration or not is_demonstration(row.model)):
            rows[-1] = row.model_copy(update={"chosen": True})
            return Choice(models=(row.model,), rows=tuple(rows))
        if row.final:
            break
    return Choice(models=(), rows=tuple(rows))


async def survey(
    named: Mapping[str, Sequence[str]], environ: Mapping[str, str], places: Places | None = None
) -> tuple[Found, ...]:
    """Every place, all asked at the same time; the one `choose` would take is marked. Raises UsageError as `choose`."""
    probes = _probes(environ, places or Places())
    rows: list[Found | None] = [None] * len(probes)

    async def ask(index: int) -> None:
        rows[index] = await probes[index]()

    async with anyio.create_task_group() as tasks:
        for index in range(len(probes)):
            tasks.start_soon(ask, index)
    found = [_named(source, models) for source, models in named.items() if models]
    found = [row.model_copy(update={"chosen": index == 0}) for index, row in enumerate(found)]
    return _marked([*found, *(row for row in rows if row is not None)])


def _marked(rows: list[Found]) -> tuple[Found, ...]:
    if not any(row.chosen for row in rows):
        for index, row in enumerate(rows):
            if row.model is not None:
                rows[index] = row.model_copy(update={"chosen": True})
            if row.model is not None or row.final:
                break
    return tuple(rows)


async def _in_turn(probes: Sequence[Probe]) -> AsyncIterator[Found]:
    for probe in probes:
        yield await probe()


def _named(source: str, models: Sequence[str]) -> Found:
    for model in models:
        split_model(model)
    why = "named by you" if len(models) == 1 else f"named by you, tried in this order: {', '.join(models)}"
    return Found(source=source, found=True, why=why, models=tuple(models), model=models[0], chosen=True)


def _probes(environ: Mapping[str, str], places: Places) -> list[Probe]:
    where = places_of(environ, places)
    providers = providers_of(environ, places)
    probes: list[Probe] = []
    if variable(environ, ["OPENAI_BASE_URL"]):
        probes.append(lambda: _openai_server(providers["openai"]))
    keys = _key_rows(environ, skip="openai" if probes else "")
    if not keys and not probes:
        names = ", ".join(source.variables[0] for source in KEY_SOURCES)
        keys = [Found(source="environment", found=False, why=f"none of OPENAI_BASE_URL, {names} is set")]
    probes += [_given(row) for row in keys]
    proxy_key = variable(environ, LITELLM_KEYS)
    probes.append(lambda: _litellm_proxy(providers["litellm_proxy"], where, proxy_key[0] if proxy_key else None))
    probes.append(lambda: _ollama(providers["ollama"], where))
    return [*probes, _embedded]


def _given(row: Found) -> Probe:
    async def give() -> Found:
        return row

    return give


def _key_rows(environ: Mapping[str, str], skip: str) -> list[Found]:
    rows = []
    for source in KEY_SOURCES:
        known = variable(environ, source.variables)
        if known is not None and source.provider != skip:
            model = f"{source.provider}/{source.model}"
            rows.append(Found(source=known[0], found=True, why="the key is set", models=(model,), model=model))
    return rows


class _Answer(Frozen):
    """What a server said: `problem` where it said nothing of use; `status` 0 where it said nothing at all."""

    status: int = 0
    problem: str = ""
    text: str = ""
    value: Any = None
    litellm: bool = False


async def _get(provider: Provider, url: str, connect: float, answer: float) -> _Answer:
    try:
        headers = {**headers_of(provider), "accept": "application/json"}
        async with new_client(secure=not url.startswith("http:")) as client:
            with anyio.fail_after(connect + answer):
                response = await client.get(url, headers=headers, timeout=httpx.Timeout(answer, connect=connect))
    except (httpx.TimeoutException, TimeoutError):
        return _Answer(problem=f"no answer from {url} in time")
    except httpx.ConnectError:
        return _Answer(problem=f"nothing answers at {url}")
    except (httpx.HTTPError, httpx.InvalidURL, ModelError) as error:
        return _Answer(problem=f"{url}: {tidy(str(error), provider.hide) or type(error).__name__}")
    try:
        value = response.json()
    except (ValueError, RecursionError):
        value = None
    text = tidy(response.text[:2000], provider.hide)
    marked = any(name.startswith("x-litellm") for name in response.headers) or "litellm" in text.lower()
    problem = "" if response.status_code == 200 else f"{url} answers HTTP {response.status_code}"
    return _Answer(status=response.status_code, problem=problem, text=text, value=value, litellm=marked)


def _ids(value: Any, provider: str) -> tuple[str, ...] | None:
    """The models of an OpenAI list, None where it is none."""
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        return None
    ids = [item.get("id") for item in data if isinstance(item, dict)]
    return tuple(f"{provider}/{name}" for name in ids if isinstance(name, str) and name)


async def _openai_server(provider: Provider) -> Found:
    """The server OPENAI_BASE_URL names; whether it can be used or not, nobody else is asked in its place."""
    source = "OPENAI_BASE_URL"
    answer = await _get(provider, f"{provider.url}/models", _NAMED_CONNECT, _NAMED_ANSWER)
    row = Found(source=source, found=False, why=answer.problem, base_url=provider.url, final=True)
    favourite = f"openai/{DEFAULT_OPENAI_MODEL}"
    if answer.status in (401, 403):
        what = "refuses the key in OPENAI_API_KEY" if provider.key else "needs a key: set OPENAI_API_KEY"
        return row.model_copy(update={"found": True, "why": f"the server {what}"})
    models = _ids(answer.value, "openai") if answer.status == 200 else None
    if models:
        model = preferred(models, favourite if provider.is_openai_itself else None)
        what = f"the server lists {len(models)} model{'s' if len(models) > 1 else ''}"
        why = what if model else f"{what}, none of which converses; name one with --model openai/NAME"
        return row.model_copy(update={"found": True, "why": why, "models": models, "model": model})
    if answer.status == 0 or answer.status >= 500:
        return row
    why = f"the server lists no models, so {DEFAULT_OPENAI_MODEL} is assumed; name another with --model openai/NAME"
    return row.model_copy(update={"found": True, "why": why, "models": (favourite,), "model": favourite})


async def _litellm_proxy(provider: Provider, where: Places, variable_name: str | None) -> Found:
    url = f"{provider.url}/models"
    answer = await _get(provider, url, where.connect, where.answer)
    row = Found(source="LiteLLM proxy", found=False, why=answer.problem, base_url=provider.url)
    if answer.status in (401, 403) and (answer.litellm or (isinstance(answer.value, dict) and "error" in answer.value)):
        known = f"it refuses the key in {variable_name}"
        why = known if variable_name else "it needs a key: set LITELLM_API_KEY"
        return row.model_copy(update={"found": True, "why": why})
    models = _ids(answer.value, "litellm_proxy")
    if answer.status != 200 or models is None:
        return row.model_copy(update={"why": answer.problem or f"what answers at {url} is no LiteLLM proxy"})
    return _listed(row, models, "it lists no model that converses")


async def _ollama(provider: Provider, where: Places) -> Found:
    root = (provider.url or "").removesuffix("/v1")
    answer = await _get(provider, f"{root}/api/tags", where.connect, where.answer)
    row = Found(source="Ollama", found=False, why=answer.problem, base_url=provider.url)
    tags = answer.value.get("models") if answer.status == 200 and isinstance(answer.value, dict) else None
    if not isinstance(tags, list):
        return row.model_copy(update={"why": answer.problem or f"what answers at {root} is no Ollama"})
    names = [tag.get("name") for tag in tags if isinstance(tag, dict)]
    models = tuple(f"ollama/{name}" for name in names if isinstance(name, str) and name)
    return _listed(row, models, "it has no model that converses: `ollama pull qwen3` gets one")


async def _embedded() -> Found:
    if missing := what_is_missing():
        return Found(source=LABEL, found=False, why=f"{missing}: `{FETCH}` gets it")
    return Found(source=LABEL, found=True, why=f"installed; {PURPOSE}", models=(MODEL,), model=MODEL)


def _listed(row: Found, models: tuple[str, ...], otherwise: str) -> Found:
    model = preferred(models)
    why = f"it lists {len(models)} model{'s' if len(models) > 1 else ''}" if model else otherwise
    return row.model_copy(update={"found": True, "why": why, "models": models, "model": model})
