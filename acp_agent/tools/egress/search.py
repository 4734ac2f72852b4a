"""The tool `web_search`: a question to the search engine that the user's configuration names."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from pydantic import Field

from acp_agent.domain.egress import AllowList, Pattern
from acp_agent.domain.errors import ToolError, UsageError
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.egress.address import Address
from acp_agent.tools.egress.fetch import AGENT, asked
from acp_agent.tools.egress.http import Page, Web
from acp_agent.tools.egress.network import Network, Record
from acp_agent.tools.registry import Arguments, Ready, Seen, Tool, other_names, prepared_tool
from acp_agent.tools.workspace import Workspace

MOST_RESULTS = 20
LONGEST = 400


class WebSearch(Arguments):
    OTHER_NAMES = other_names(query="q search text keywords", limit="count max_results num_results")

    query: str = Field(min_length=1, max_length=500, description="What to look for.")
    limit: int = Field(8, ge=1, le=MOST_RESULTS, description="Results to return, at most 20.")

    def title(self) -> str:
        return f"Search the web for {self.query!r}"


def engine_at(url: str) -> Address:
    """The endpoint of a search engine. Raises UsageError where a person wrote an address that is none."""
    try:
        return Address.parse(url)
    except ValueError as error:
        what = f"config.toml: web_search.url: {url} {error}"
        raise UsageError(what, hint='such as url = "http://127.0.0.1:8888/search"') from None


def web_search_tool(engine: Address, key: str | None, secret: Callable[[str], bool]) -> Tool:
    """The tool over one SearXNG endpoint, `key` sent as a bearer token. A query in which `secret` finds one is refused.

    The endpoint is the one host it reaches; a person configured it, so it may lie in a private network.
    """
    endpoint = engine.endpoint
    allowed = AllowList(patterns=(Pattern(host=endpoint.host, ports=(endpoint.port,)),))
    network = Network(private=allowed)
    headers = {"User-Agent": AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"

    def weigh(arguments: WebSearch, workspace: Workspace) -> Weight:
        return Weight(risk=Risk.READ, traits=frozenset(("untrusted", "outward")))

    @prepared_tool(Risk.READ, kind="fetch", repeatable=True, timeout=None, weigh=weigh)
    def web_search(arguments: WebSearch, workspace: Workspace, seen: Seen) -> Ready:
        """Search the web: titles, addresses and a few words of each result."""
        if secret(arguments.query):
            raise ToolError("The query holds a secret; it stays here.", kind="egress_refused")
        sign = "&" if "?" in engine.target else "?"
        asks = urlencode({"q": arguments.query, "format": "json"})
        address = engine.model_copy(update={"target": f"{engine.target}{sign}{asks}"})

        async def ask(web: Web) -> Page:
            return await web.get(address, headers)

        read = functools.partial(_told, limit=arguments.limit)
        return Ready(Intent(title=arguments.title()), lambda key: asked(Web(network, allowed, Record()), ask, read))

    return web_search


def _told(page: Page, limit: int) -> ToolResult:
    if page.status != 200:
        raise ToolError(f"The search engine answered {page.status}.", kind="http_status", retryable=page.status >= 429)
    found = _results(page)[:limit]
    entries = (
        f"{number}. {_line(entry, 'title')}\n   {_line(entry, 'url')}\n   {_line(entry, 'content')}"
        for number, entry in enumerate(found, 1)
    )
    return ToolResult(status="ok", output="\n".join(entries) or "Nothing was found.", origin="web")


def _results(page: Page) -> list[Mapping[str, Any]]:
    try:
        answer = json.loads(page.body)
    except (ValueError, RecursionError):
        answer = None
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise ToolError(
            "The search engine did not answer in SearXNG's JSON form.",
            kind="unreadable",
            hint="Its settings may leave out the format json; go on without it.",
        )
    return [entry for entry in results if isinstance(entry, dict)]


def _line(entry: Mapping[str, Any], name: str) -> str:
    text = " ".join(str(entry.get(name) or "").split())
    return text if len(text) <= LONGEST else text[:LONGEST] + " [...]"
