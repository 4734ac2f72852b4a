"""The tool `fetch`: a GET of an allowed page, as text."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import anyio.to_thread
from pydantic import Field, field_validator

from acp_agent import __version__
from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.domain.weight import Weight
from acp_agent.tools.egress.address import Address
from acp_agent.tools.egress.content import part_of, readable
from acp_agent.tools.egress.http import Page, Web
from acp_agent.tools.egress.network import Record
from acp_agent.tools.egress.outlet import Outlet
from acp_agent.tools.registry import Arguments, Ready, Seen, Tool, other_names, prepared_tool
from acp_agent.tools.workspace import Workspace

TIMEOUT = 30.0
AGENT = f"acp-agent/{__version__}"
ACCEPTED = "text/html, application/json;q=0.9, text/*;q=0.8, */*;q=0.5"


class Fetch(Arguments):
    OTHER_NAMES = other_names(url="uri address link href", pointer="json_pointer path")

    url: str = Field(min_length=1, description="An http or https address.")
    pointer: str | None = Field(
        None, description='Of a JSON answer only the part at this pointer, such as "/info/version".'
    )

    @field_validator("pointer")
    @classmethod
    def _begins_with_a_slash(cls, pointer: str | None) -> str | None:
        return pointer if not pointer or pointer.startswith("/") else f"/{pointer}"

    def title(self) -> str:
        return f"Fetch {self.url}"


def fetch_tool(outlet: Outlet, secret: Callable[[str], bool]) -> Tool:
    """The tool for the hosts of `outlet`; an address in which `secret` finds one is refused."""

    def weigh(arguments: Fetch, workspace: Workspace) -> Weight:
        return Weight(risk=Risk.READ, traits=frozenset(("untrusted", "outward")))

    @prepared_tool(Risk.READ, kind="fetch", repeatable=True, timeout=None, weigh=weigh)
    def fetch(arguments: Fetch, workspace: Workspace, seen: Seen) -> Ready:
        """Read a page of the web by GET: its text, or JSON as it is."""
        if secret(arguments.url):
            raise ToolError("The address holds a secret; it stays here.", kind="egress_refused")
        try:
            address = Address.parse(arguments.url)
        except ValueError as error:
            raise ToolError(f"The address {error}.", kind="invalid_arguments") from None

        async def ask(web: Web) -> Page:
            return await web.get(address, {"User-Agent": AGENT, "Accept": ACCEPTED, "Accept-Encoding": "gzip"})

        read = functools.partial(_told, pointer=arguments.pointer)
        return Ready(
            Intent(title=arguments.title()), lambda key: asked(Web(outlet.network, outlet.allowed, Record()), ask, read)
        )

    hosts = f"These hosts can be reached and no others: {outlet.hosts()}."
    return replace(fetch, description=f"{fetch.description} {hosts}")


async def asked(web: Web, ask: Callable[[Web], Awaitable[Page]], read: Callable[[Page], ToolResult]) -> ToolResult:
    """What came of one question to the web, with the hosts it met. It takes at most 30 seconds."""
    result = ToolResult(
        status="error", output=f"No answer within {TIMEOUT:g} seconds.", kind="timeout", retryable=True, origin="web"
    )
    with anyio.move_on_after(TIMEOUT):
        try:
            page = await ask(web)
            result = await anyio.to_thread.run_sync(read, page, abandon_on_cancel=True)
        except ToolError as error:
            result = ToolResult(
                status="error",
                output=error.message,
                kind=error.kind,
                retryable=error.retryable,
                hint=error.hint,
                origin="web",
            )
    return result.model_copy(update={"network": web.record.use()})


def _told(page: Page, pointer: str | None) -> ToolResult:
    """The page behind a line that says whose words follow."""
    failed = page.status >= 400
    text = readable(page) if failed or not pointer else part_of(page, pointer)
    cut = "" if page.is_whole else "\n[... the page is longer than what is read of one ...]"
    size = f"{len(page.body):,} bytes"
    head = f"{page.address} answered {page.status} ({page.kind or 'no content type'}, {size}). It says:"
    return ToolResult(
        status="error" if failed else "ok",
        kind="http_status" if failed else None,
        retryable=page.status in (429, 502, 503, 504),
        output=f"{head}\n{text}{cut}",
        origin="web",
    )
