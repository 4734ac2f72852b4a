"""One GET over the checked network: redirects followed by hand, the body bounded. The door of httpx in this package."""

import contextlib
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from acp_agent.domain.egress import AllowList
from acp_agent.domain.errors import ToolError
from acp_agent.tools.egress.address import Address
from acp_agent.tools.egress.network import Network, Record

if TYPE_CHECKING:
    import httpx

MOST_BYTES = 2 << 20
REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
class Page:
    """What a host answered at last. `is_whole` says that `body` is all of it; `kind` is its Content-Type as sent."""

    address: Address
    status: int
    kind: str
    body: bytes
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Web:
    """The web as one call sees it: the hosts allowed to it, and the record of those it asked."""

    network: Network
    allowed: AllowList
    record: Record

    async def get(self, address: Address, headers: Mapping[str, str]) -> Page:
        """Ask for `address`, following at most five redirects, each checked as the first was.

        Raises ToolError: `egress_refused`, `no_such_host`, `no_answer`, `bad_redirect`, `unreadable`.
        """
        for _ in range(REDIRECTS + 1):
            async with self._answer(address, headers) as answer:
                location = answer.headers.get("location")
                if answer.status_code not in _REDIRECTS or location is None:
                    return await _page(address, answer)
            try:
                address = address.next(location)
            except ValueError as error:
                raise ToolError(f"{address} redirects to an address that {error}.", kind="bad_redirect") from None
        raise ToolError(f"More than {REDIRECTS} redirects, the last to {address}.", kind="bad_redirect")

    @contextlib.asynccontextmanager
    async def _answer(self, address: Address, headers: Mapping[str, str]) -> "AsyncIterator[httpx.Response]":
        """The answer of the host at one of its checked addresses, its body not read yet."""
        import httpx

        endpoint = address.endpoint
        context = await anyio.to_thread.run_sync(_trusting) if address.scheme == "https" else False
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
        async with transport:
            for ip in await self.network.addresses(endpoint, self.allowed, self.record):
                where = f"[{ip}]" if ":" in ip else ip
                request = httpx.Request(
                    "GET",
                    # The address that was checked; the name stands in the header and in TLS, and is not looked up.
                    f"{address.scheme}://{where}:{endpoint.port}{address.target}",
                    headers={"Host": address.host, **headers},
                    extensions={"sni_hostname": endpoint.host, "timeout": _timeouts(self.network.connect_time)},
                )
                try:
                    answer = await transport.handle_async_request(request)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    _check_certificate(address, error)
                    continue
                except httpx.TransportError as error:
                    raise _broken(address, error) from None
                self.record.reached(endpoint)
                try:
                    yield answer
                except httpx.TransportError as error:
                    raise _broken(address, error) from None
                finally:
                    await answer.aclose()
                return
        self.record.failed(endpoint)
        raise ToolError(f"{endpoint} does not answer.", kind="no_answer", retryable=True)


def _trusting() -> ssl.SSLContext:
    """The certificates that httpx trusts, and those of SSL_CERT_FILE and SSL_CERT_DIR."""
    import httpx

    return httpx.create_ssl_context(trust_env=True)


def _timeouts(connect: float) -> dict[str, float]:
    return {"connect": connect, "read": 30.0, "write": 30.0, "pool": connect}


def _check_certificate(address: Address, error: Exception) -> None:
    """Raise where a host answered and is not who it should be: another address of it is no better."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        raise ToolError(f"The certificate of {address.host} is not valid: {error}.", kind="no_answer") from None


def _broken(address: Address, error: Exception) -> ToolError:
    return ToolError(f"{address.host} broke off: {type(error).__name__}.", kind="no_answer", retryable=True)


async def _page(address: Address, answer: "httpx.Response") -> Page:
    encoding = answer.headers.get("content-encoding", "identity").lower()
    body = bytearray()
    async for data in answer.aiter_raw():
        body += data
        if len(body) > MOST_BYTES:
            break
    sent = len(body) <= MOST_BYTES
    content, whole = _decoded(address, bytes(body[:MOST_BYTES]), encoding)
    kind = answer.headers.get("content-type", "")
    return Page(address, answer.status_code, kind, content, sent and whole)


def _decoded(address: Address, body: bytes, encoding: str) -> tuple[bytes, bool]:
    """The content, and whether all of it fits: a few bytes can stand for gigabytes."""
    if encoding == "identity":
        return body, True
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ToolError(f"{address.host} answered in an encoding nobody asked for.", kind="unreadable")
    stream = zlib.decompressobj(wbits=47)
    try:
        content = stream.decompress(body, MOST_BYTES + 1)
    except zlib.error:
        raise ToolError(f"{address.host} answered with compressed data that is broken.", kind="unreadable") from None
    return content[:MOST_BYTES], len(content) <= MOST_BYTES
