"""The proxy: what it passes on, what it refuses, and that it holds its limits."""

import os
import stat
from collections.abc import Awaitable, Callable

import anyio
import pytest

from acp_agent.domain.egress import AllowList
from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import NetworkUse
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.proxy import Limits, Proxy, open_proxy
from tests.tools.egress.conftest import Site, exchange, read_head

Opened = Callable[..., Awaitable[Proxy]]


def status(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ", 2)[1])


async def test_a_plain_request_reaches_an_allowed_host(site: Site, opened: Opened) -> None:
    """In the form a server expects, with the host that was checked and nothing meant for the proxy."""
    where = f"index.test:{site.port}"
    proxy = await opened([where], private=(where,))
    answer = await exchange(
        proxy,
        f"GET http://index.test:{site.port}/simple?q=1 HTTP/1.1\r\nHost: evil.test\r\nX-Kept: yes\r\nX-Gone: 1\r\n"
        "Proxy-Authorization: Basic x\r\nConnection: keep-alive, x-gone\r\n\r\n".encode(),
    )
    assert (status(answer), answer.endswith(b"hello from the site\n")) == (200, True)
    assert site.heads == [f"GET /simple?q=1 HTTP/1.1\nHost: {where}\nX-Kept: yes\nConnection: close\n\n"]
    assert proxy.record.use() == NetworkUse(reached=(where,))


async def test_a_tunnel_reaches_an_allowed_host(site: Site, opened: Opened) -> None:
    """Its bytes are passed on as they are, both ways."""
    where = f"index.test:{site.port}"
    proxy = await opened([where], private=(where,))
    async with await anyio.connect_unix(proxy.socket) as stream:
        await stream.send(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        assert status(await read_head(stream)) == 200
        await stream.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join([data async for data in stream])
    assert (status(answer), answer.endswith(b"hello from the site\n")) == (200, True)


async def test_a_host_that_is_not_allowed_is_refused_and_on_record(site: Site, opened: Opened) -> None:
    """Whatever the way it is asked for; it is not even looked up."""
    looked_up: list[str] = []

    def addresses(host: str) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    proxy = await opened([f"index.test:{site.port}"], private=(f"*.test.org:{site.port}",), addresses=addresses)
    for asked in ("evil.test:443", f"index.test.evil.test:{site.port}", "index.test:22"):
        answer = await exchange(proxy, f"CONNECT {asked} HTTP/1.1\r\n\r\n".encode())
        assert (status(answer), b"is refused: not allowed" in answer) == (403, True)
    assert status(await exchange(proxy, b"GET http://evil.test/ HTTP/1.1\r\nHost: index.test\r\n\r\n")) == 403
    use = proxy.record.use()
    assert use is not None and use.reached == ()
    assert use.refused == (
        "evil.test:443 (not allowed)",
        f"index.test.evil.test:{site.port} (not allowed)",
        "index.test:22 (not allowed)",
        "evil.test:80 (not allowed)",
    )
    assert (looked_up, site.heads) == ([], [])


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"]
)
async def test_an_allowed_name_that_leads_into_a_private_network_is_refused(address: str, opened: Opened) -> None:
    """Also when a public address stands beside it."""
    proxy = await opened(["index.test"], addresses=lambda host: ["8.8.8.8", address])
    answer = await exchange(proxy, b"CONNECT index.test:443 HTTP/1.1\r\n\r\n")
    assert (status(answer), b"private address" in answer) == (403, True)
    assert proxy.record.use() == NetworkUse(refused=("index.test:443 (private address)",))


async def test_a_name_is_looked_up_once_and_that_address_dialled(site: Site, opened: Opened) -> None:
    """A name that changes its address between the check and the call gains nothing: there is no second look."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked: list[str] = []

    def addresses(host: str) -> list[str]:
        asked.append(host)
        return next(answers)

    where = f"index.test:{site.port}"
    proxy = await opened([where], private=(where,), addresses=addresses)
    # The site listens at 127.0.0.1 alone.
    answer = await exchange(proxy, f"GET http://{where}/ HTTP/1.1\r\n\r\n".encode())
    assert (status(answer), asked) == (200, ["index.test"])
    answer = await exchange(proxy, f"GET http://{where}/ HTTP/1.1\r\n\r\n".encode())
    assert (status(answer), b"does not answer" in answer) == (502, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"CONNECT index.test\0.evil.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT index.test HTTP/1.1\r\n\r\n",
        b"CONNECT me@index.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT index.test:443:80 HTTP/1.1\r\n\r\n",
        b"CONNECT 2130706433:443 HTTP/1.1\r\n\r\n",
        b"CONNECT index.test:443/x HTTP/1.1\r\n\r\n",
        b"CONNECT index.test:443  HTTP/1.1\r\n\r\n",
        b"CONNECT index.test:443 HTTP/2.0\r\n\r\n",
        b"CONNECT index.test:443\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: index.test\r\n\r\n",
        b"GET https://index.test/ HTTP/1.1\r\n\r\n",
        b"GET ftp://index.test/ HTTP/1.1\r\n\r\n",
        b"GET http://index.test@evil.test/ HTTP/1.1\r\n\r\n",
        b"GET http://index.test\\@evil.test/ HTTP/1.1\r\n\r\n",
        b"GET http://b\xc3\xbccher.test/ HTTP/1.1\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\n\r\n",
        b"GET http://index.test/#x HTTP/1.1\r\n\r\n",
        b"GET http://index.test/ HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET http://index.test/ HTTP/1.1\r\nX : a\r\n\r\n",
        b"GET http://index.test/ HTTP/1.1\r\nX: a\nHost: b\r\n\r\n",
        b"GET http://index.test/ HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"\x05\x01\x00\r\n\r\n",
    ],
)
async def test_a_request_that_two_programs_could_read_differently_is_none(sent: bytes, opened: Opened) -> None:
    """It is answered with 400, and leaves a line in the record."""
    proxy = await opened(["index.test"])
    assert status(await exchange(proxy, sent)) == 400
    use = proxy.record.use()
    assert use is not None and (use.reached, len(use.refused)) == ((), 1)


async def test_a_head_has_a_size_and_a_time(opened: Opened) -> None:
    """Who sends more, or sends it too slowly, is told so."""
    sized = await opened(["index.test"], limits=Limits(head=200))
    assert status(await exchange(sized, b"GET http://index.test/" + b"x" * 400)) == 431
    timed = await opened(["index.test"], limits=Limits(head_time=0.05))
    assert status(await exchange(timed, b"GET http://index.test/")) == 408


async def test_so_many_connections_at_once(site: Site, opened: Opened) -> None:
    """One more is refused; it is taken when another has ended."""
    where = f"index.test:{site.port}"
    ask = f"GET http://{where}/ HTTP/1.1\r\n\r\n".encode()
    proxy = await opened([where], private=(where,), limits=Limits(connections=1))
    async with await anyio.connect_unix(proxy.socket) as stream:
        await stream.send(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode())
        assert status(await read_head(stream)) == 200
        assert status(await exchange(proxy, ask)) == 503
        await stream.send(b"GET / HTTP/1.0\r\n\r\n")
        assert b"hello" in b"".join([data async for data in stream])
    assert status(await exchange(proxy, ask)) == 200


async def test_a_silent_tunnel_ends(site: Site, opened: Opened) -> None:
    """Nothing is said in it for the time given."""
    where = f"index.test:{site.port}"
    proxy = await opened([where], private=(where,), limits=Limits(idle=0.05))
    async with await anyio.connect_unix(proxy.socket) as stream:
        await stream.send(f"CONNECT {where} HTTP/1.1\r\n\r\n".encode())
        assert status(await read_head(stream)) == 200
        assert [data async for data in stream] == []


async def test_it_is_gone_with_its_block() -> None:
    """Socket, directory and open connections; only this user could have come in."""
    async with open_proxy(Network(), AllowList.of(["index.test"])) as proxy:
        folder = proxy.socket.parent
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        stream = await anyio.connect_unix(proxy.socket)
    async with stream:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await stream.receive()
    assert not folder.exists()
    with pytest.raises(ToolError, match="of the block"):
        async with open_proxy(Network(), AllowList.of(["index.test"])):
            raise ToolError("an error of the block")
