"""What each configured server answers now, for a person who asks: started, listed, ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from acp_agent.domain.servers import ToolServer
from acp_agent.tools.egress.network import Network
from acp_agent.tools.mcp.link import START_TIME, Link
from acp_agent.tools.mcp.servers import opened_servers
from acp_agent.tools.sandbox.model import Sandbox


class Answer(NamedTuple):
    """One server: whether it answered, what it offers or what is wrong, and what to do about it."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None


async def survey_servers(
    servers: Sequence[ToolServer], root: Path, state: Path, sandbox: Sandbox, network: Network
) -> list[Answer]:
    """Start all servers at once, wait for each at most as long as a run would, and end them."""
    async with opened_servers(state, sandbox, network) as started:
        offer = started.hub.open(servers, root)
        await offer.settled(START_TIME)
        found = {link.server.name: _answer(link, withheld) for link, withheld in offer.standing()}
        offer.release()
    return [found.get(one.name) or Answer(one.name, False, one.problem or "it was not asked") for one in servers]


def _answer(link: Link, withheld: Sequence[str]) -> Answer:
    name = link.server.name
    if link.status != "ready":
        how = "start it by hand" if link.server.url is None else "ask its address"
        return Answer(name, False, link.problem or "it did not answer in time", f"{how} and see what happens")
    offered = f"{len(link.definitions) - len(withheld)} tools"
    if withheld:
        detail = f"{offered}; {len(withheld)} withheld, since they changed: {', '.join(withheld)[:300]}"
        return Answer(name, False, detail, f"acp trust ls shows them, acp trust mcp:{name} agrees")
    return Answer(name, True, offered)
