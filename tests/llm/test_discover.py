"""Where models are found, in which order, and what a person is told about each place."""

import http.server
import json
import threading
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pytest

from acp_agent.domain.errors import UsageError
from acp_agent.llm.discover import Choice, Found, choose, survey
from acp_agent.llm.sources import Places, ollama_url, preferred, providers_of
from acp_agent.testing.model_server import ModelServer

NOWHERE = Places(litellm_proxy="http://127.0.0.1:9/v1", ollama="http://127.0.0.1:9/v1")
KEY = "sk-test-1234567890"
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Generator[Serve]:
    """Serves JSON (or text) by path, 404 elsewhere; gives the root URL. A `key` is asked for with 401."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(pages: Mapping[str, Any], *, key: str | None = None, headers: Mapping[str, str] | None = None) -> str:
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, page = (200, pages[self.path]) if self.path in pages else (404, {"detail": "Not Found"})
                if key is not None and self.headers.get("authorization") != f"Bearer {key}":
                    status, page = 401, {"error": {"message": "No api key passed in.", "type": "auth_error"}}
                body = page.encode() if isinstance(page, str) else json.dumps(page).encode()
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *rest: Any) -> None:
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def listing(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


def tags(*names: str) -> dict[str, Any]:
    return {"models": [{"name": name} for name in names]}


async def test_what_a_person_named_goes_first_and_nobody_is_asked() -> None:
    named = {"--model": (), "ACP_MODEL": ("ollama/a", "openai/b"), "config": ("x/y",)}
    row = Found(
        source="ACP_MODEL",
        found=True,
        why="named by you, tried in this order: ollama/a, openai/b",
        models=("ollama/a", "openai/b"),
        model="ollama/a",
        chosen=True,
    )
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    assert await choose(named, environ, NOWHERE) == Choice(models=("ollama/a", "openai/b"), rows=(row,))


async def test_a_name_without_a_provider_is_refused() -> None:
    with pytest.raises(UsageError, match="'gpt-5' names no provider"):
        await choose({"--model": ("gpt-5",)}, {}, NOWHERE)


async def test_a_base_url_gives_the_models_its_server_lists() -> None:
    with ModelServer(models=("text-embedding-3", "qwen-coder", "other"), api_key=KEY) as server:
        environ = {"OPENAI_BASE_URL": server.url + "/", "OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
        choice = await choose({}, environ, NOWHERE)
        assert [request.path for request in server.requests] == ["/v1/models"]
    assert choice.models == ("openai/qwen-coder",)
    assert choice.rows == (
        Found(
            source="OPENAI_BASE_URL",
            found=True,
            why="the server lists 3 models",
            base_url=server.url,
            models=("openai/text-embedding-3", "openai/qwen-coder", "openai/other"),
            model="openai/qwen-coder",
            chosen=True,
            final=True,
        ),
    )


async def test_a_base_url_needs_no_key() -> None:
    with ModelServer() as server:
        choice = await choose({}, {"OPENAI_BASE_URL": server.url}, NOWHERE)
        assert "authorization" not in server.requests[0].headers
    assert choice.models == ("openai/test-model",)


@pytest.mark.parametrize(
    ("key", "why"),
    [("", "the server needs a key: set OPENAI_API_KEY"), ("wrong", "the server refuses the key in OPENAI_API_KEY")],
)
async def test_a_base_url_whose_server_refuses_us_ends_the_search(key: str, why: str) -> None:
    with ModelServer(api_key=KEY) as server:
        environ = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": key, "ANTHROPIC_API_KEY": KEY}
        choice = await choose({}, environ, NOWHERE)
    assert (choice.models, [(row.found, row.why) for row in choice.rows]) == ((), [(True, why)])


async def test_a_base_url_where_nobody_answers_ends_the_search() -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "ANTHROPIC_API_KEY": KEY}
    choice = await choose({}, environ, NOWHERE)
    rows = [(row.found, row.why) for row in choice.rows]
    assert (choice.models, rows) == ((), [(False, "nothing answers at http://127.0.0.1:9/v1/models")])
    surveyed = await survey({}, environ, NOWHERE)
    assert [row.source for row in surveyed if row.chosen] == []


async def test_a_server_that_lists_nothing_is_asked_for_the_usual_model(serve: Serve) -> None:
    choice = await choose({}, {"OPENAI_BASE_URL": serve({})}, NOWHERE)
    assert choice.models == ("openai/gpt-5-mini",)
    assert choice.rows[0].why == (
        "the server lists no models, so gpt-5-mini is assumed; name another with --model openai/NAME"
    )


@pytest.mark.parametrize(
    ("variable", "model"),
    [
        ("OPENAI_API_KEY", "openai/gpt-5-mini"),
        ("ANTHROPIC_API_KEY", "anthropic/claude-sonnet-4-5"),
        ("GEMINI_API_KEY", "gemini/gemini-2.5-flash"),
        ("GOOGLE_API_KEY", "gemini/gemini-2.5-flash"),
        ("DEEPSEEK_API_KEY", "deepseek/deepseek-chat"),
    ],
)
async def test_a_key_stands_for_a_model(variable: str, model: str) -> None:
    choice = await choose({}, {variable: KEY, "OPENAI_BASE_URL": "", "MISTRAL_API_KEY": ""}, NOWHERE)
    row = Found(source=variable, found=True, why="the key is set", models=(model,), model=model, chosen=True)
    assert choice == Choice(models=(model,), rows=(row,))


async def test_a_litellm_proxy_goes_before_ollama(serve: Serve) -> None:
    places = Places(
        litellm_proxy=serve({"/v1/models": listing("*", "openai/*", "glm-5")}, key="k-123456") + "/v1",
        ollama=serve({"/api/tags": tags("nomic-embed-text:latest", "qwen3:8b")}) + "/v1",
    )
    choice = await choose({}, {"LITELLM_KEY": "k-123456"}, places)
    assert (choice.models, [row.found for row in choice.rows]) == (("litellm_proxy/glm-5",), [False, True])
    locked = await choose({}, {}, places)
    assert locked.models == ("ollama/qwen3:8b",)
    assert [(row.source, row.found, row.why) for row in locked.rows[1:]] == [
        ("LiteLLM proxy", True, "it needs a key: set LITELLM_API_KEY"),
        ("Ollama", True, "it lists 2 models"),
    ]
    refused = await choose({}, {"LITELLM_MASTER_KEY": "wrong-key"}, places)
    assert refused.rows[1].why == "it refuses the key in LITELLM_MASTER_KEY"


@pytest.mark.parametrize(
    "pages", [{}, {"/v1/models": "<html>Phoenix</html>"}, {"/v1/models": {"data": 7}}, {"/v1/models": []}]
)
async def test_what_is_no_litellm_proxy_is_not_taken_for_one(serve: Serve, pages: Mapping[str, Any]) -> None:
    places = NOWHERE.model_copy(update={"litellm_proxy": serve(pages) + "/v1"})
    rows = (await choose({}, {}, places)).rows
    assert [(row.source, row.found, row.model) for row in rows[1:-1]] == [
        ("LiteLLM proxy", False, None),
        ("Ollama", False, None),
    ]
    assert rows[1].why.endswith(("is no LiteLLM proxy", "answers HTTP 404"))


async def test_ollama_is_found_where_its_variable_says_and_told_when_empty(serve: Serve) -> None:
    root = serve({"/api/tags": tags("qwen3:8b")})
    choice = await choose({}, {"OLLAMA_HOST": root.removeprefix("http://")}, NOWHERE)
    assert choice.models == ("ollama/qwen3:8b",)
    assert choice.rows[-1].base_url == f"{root}/v1"
    empty = await choose({}, {"OLLAMA_HOST": serve({"/api/tags": tags()})}, NOWHERE)
    assert (empty.models, empty.rows[-2].found) == ((), True)
    assert empty.rows[-2].why == "it has no model that converses: `ollama pull qwen3` gets one"


async def test_a_survey_shows_every_place_and_marks_the_one_that_is_used(serve: Serve) -> None:
    places = NOWHERE.model_copy(update={"ollama": serve({"/api/tags": tags("qwen3:8b")}) + "/v1"})
    environ = {"ANTHROPIC_API_KEY": KEY, "GROQ_API_KEY": KEY}
    rows = await survey({}, environ, places)
    assert [(row.source, row.found, row.chosen) for row in rows[:-1]] == [
        ("ANTHROPIC_API_KEY", True, True),
        ("GROQ_API_KEY", True, False),
        ("LiteLLM proxy", False, False),
        ("Ollama", True, False),
    ]
    named = await survey({"--model": ("openai/x",)}, environ, places)
    assert [(row.source, row.chosen) for row in named][:2] == [("--model", True), ("ANTHROPIC_API_KEY", False)]
    bare = await survey({}, {}, NOWHERE)
    assert [(row.source, row.found, row.chosen) for row in bare[:-1]] == [
        ("environment", False, False),
        ("LiteLLM proxy", False, False),
        ("Ollama", False, False),
    ]
    assert (rows[-1].source, bare[-1].source) == ("demonstration model", "demonstration model")
    assert bare[0].why.startswith("none of OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_API_KEY")


async def test_a_place_that_never_answers_does_not_hold_us_up() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        rows = await survey({}, {}, Places(litellm_proxy=url, ollama=url, connect=0.1, answer=0.1))
    assert [row.why for row in rows[1:-1]] == [
        f"no answer from {url}/models in time",
        f"no answer from {url.removesuffix('/v1')}/api/tags in time",
    ]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
        ("box:1234", "http://box:1234/v1"),
        ("http://box", "http://box:80/v1"),
        ("https://box/", "https://box:443/v1"),
        ("http://box:1/base/", "http://box:1/base/v1"),
        ("[::1]:5", "http://[::1]:5/v1"),
        ("box:port", "http://box:11434/v1"),
        (":7", "http://127.0.0.1:7/v1"),
    ],
)
def test_ollama_host_may_be_written_in_many_ways(host: str, url: str) -> None:
    assert ollama_url(host) == url


def test_the_environment_describes_the_providers() -> None:
    environ = {
        "OPENAI_BASE_URL": "http://h/v1",
        "OPENAI_API_KEY": " k1 ",
        "ANTHROPIC_API_KEY": "",
        "GOOGLE_API_KEY": "k2",
        "LITELLM_PROXY_API_BASE": "http://p:4000/",
        "LITELLM_MASTER_KEY": "k3",
        "OLLAMA_HOST": "box",
    }
    providers = providers_of(environ)
    assert {name: (provider.url, provider.key) for name, provider in providers.items()} == {
        "openai": ("http://h/v1", "k1"),
        "litellm_proxy": ("http://p:4000", "k3"),
        "ollama": ("http://box:11434/v1", None),
        "gemini": (None, "k2"),
    }


def test_the_model_taken_from_a_list_is_one_that_converses() -> None:
    assert preferred(["m/text-embedding-3-large", "m/whisper-1", "m/gpt-4o-audio", "m/*", "m/glm"]) == "m/glm"
    assert preferred(["m/a", "m/b"], "m/b") == "m/b"
    assert preferred(["m/bge-m3"]) is None
