"""The tool `web_search`, against a real server that speaks SearXNG's JSON form."""

import json
from pathlib import Path
from typing import Any

from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import NetworkUse, Risk, ToolResult
from acp_agent.tools.egress.search import engine_at, web_search_tool
from acp_agent.tools.guard import Guard
from acp_agent.tools.workspace import Workspace
from tests.tools.egress.conftest import Site

KEY = "search-key-of-mine"


async def searched(root: Path, site: Site, **arguments: Any) -> ToolResult:
    """What a call of the tool returns."""
    redactor = Redactor([KEY])
    engine = engine_at(f"http://127.0.0.1:{site.port}/search?language=en")
    tool = web_search_tool(engine, KEY, lambda text: redactor(text) != text)
    guard = Guard({"web_search": tool}, Workspace.at(root), redactor)
    call = ToolCall(call_id="c1", name="web_search", arguments=json.dumps(arguments))
    weight = await guard.weigh(call)
    assert (weight.risk, weight.traits) == (Risk.READ, {"untrusted", "outward"})
    prepared = await guard.prepare(call, {})
    return prepared if isinstance(prepared, ToolResult) else await prepared.run()


async def test_results_are_numbered_with_their_addresses(root: Path, site: Site) -> None:
    """The question goes to the endpoint that is configured, with its key."""
    results = [{"title": f"Page {n}", "url": f"https://x.test/{n}", "content": "some\n words"} for n in range(30)]
    answer = json.dumps({"results": results}).encode()
    site.pages["/search?language=en&q=a+%26+b&format=json"] = (200, {"Content-Type": "application/json"}, answer)
    assert await searched(root, site, query="a & b", limit=2) == ToolResult(
        status="ok",
        output="1. Page 0\n   https://x.test/0\n   some words\n2. Page 1\n   https://x.test/1\n   some words",
        origin="web",
        network=NetworkUse(reached=(f"127.0.0.1:{site.port}",)),
    )
    assert f"Authorization: Bearer {KEY}" in site.heads[0]


async def test_an_engine_that_says_something_else(root: Path, site: Site) -> None:
    """Is no answer; a redirect of it goes nowhere, least of all with the key."""
    assert (await searched(root, site, query="a")).kind == "unreadable"
    site.pages["/search?language=en&q=b&format=json"] = (429, {}, b"")
    limited = await searched(root, site, query="b")
    assert (limited.kind, limited.retryable) == ("http_status", True)
    site.pages["/search?language=en&q=c&format=json"] = (302, {"Location": "http://evil.test/"}, b"")
    assert (await searched(root, site, query="c")).kind == "egress_refused"
    site.pages["/search?language=en&q=d&format=json"] = (200, {}, b'{"results": []}')
    assert (await searched(root, site, query="d")).output == "Nothing was found."


async def test_a_secret_is_not_searched_for(root: Path, site: Site) -> None:
    """The question stays here."""
    result = await searched(root, site, query=f"what is {KEY}")
    assert (result.kind, KEY in result.output, site.heads) == ("egress_refused", False, [])
