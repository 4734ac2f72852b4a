"""The tool `fetch`, called as a run calls it, against a real server on loopback."""

import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.egress import AllowList
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import NetworkUse, Risk, ToolResult
from acp_agent.tools.egress.fetch import fetch_tool
from acp_agent.tools.egress.http import MOST_BYTES
from acp_agent.tools.egress.network import Network
from acp_agent.tools.egress.outlet import Outlet
from acp_agent.tools.guard import Guard
from acp_agent.tools.workspace import Workspace
from tests.tools.egress.conftest import CERTIFICATES, Site

SECRET = "hunter2-hunter2"
Fetch = Callable[..., Awaitable[ToolResult]]


@pytest.fixture
def fetching(root: Path) -> Callable[..., Fetch]:
    """`fetching(allowed, private)` is a fetch over a name service in which every name is this machine."""

    def tool_of(
        allowed: list[str], private: list[str] | None = None, addresses: Callable[[str], list[str]] | None = None
    ) -> Fetch:
        async def resolve(host: str, port: int) -> list[str]:
            return addresses(host) if addresses else ["127.0.0.1"]

        network = Network(private=AllowList.of(allowed if private is None else private), resolve=resolve)
        redactor = Redactor([SECRET])
        tool = fetch_tool(Outlet(network, AllowList.of(allowed)), lambda text: redactor(text) != text)
        guard = Guard({"fetch": tool}, Workspace.at(root), redactor)

        async def fetch(url: str, **more: Any) -> ToolResult:
            call = ToolCall(call_id="c1", name="fetch", arguments=json.dumps({"url": url, **more}))
            weight = await guard.weigh(call)
            assert (weight.risk, weight.traits) == (Risk.READ, {"untrusted", "outward"})
            prepared = await guard.prepare(call, {})
            return prepared if isinstance(prepared, ToolResult) else await prepared.run()

        return fetch

    return tool_of


async def test_a_page_is_read_as_text(site: Site, fetching: Callable[..., Fetch]) -> None:
    """Marked as text of strangers, with where it came from and what it was."""
    site.pages["/a?b=c"] = (200, {"Content-Type": "text/html; charset=iso-8859-1"}, b"<h1>Caf\xe9</h1><p>open")
    where = f"index.test:{site.port}"
    result = await fetching([where])(f"http://{where}/a?b=c#part")
    assert result == ToolResult(
        status="ok",
        output=(
            f"http://{where}/a?b=c answered 200 (text/html; charset=iso-8859-1, 20 bytes). It says:"
            "\n# Caf\u00e9\n\nopen"
        ),
        origin="web",
        network=NetworkUse(reached=(where,)),
    )
    assert [head.split(" HTTP")[0] for head in site.heads] == ["GET /a?b=c"]
    assert f"Host: {where}" in site.heads[0]


async def test_json_is_read_as_it_is_and_in_parts(site: Site, fetching: Callable[..., Fetch]) -> None:
    """A pointer finds the one fact in a long answer; where there is none, it says what there is."""
    data = {"info": {"version": "1.2.3", "a/b": {"m~n": [1, {"x": None}]}}}
    site.pages["/j"] = (200, {"Content-Type": "application/json"}, json.dumps(data).encode())
    where = f"index.test:{site.port}"
    fetch = fetching([where])
    whole = await fetch(f"http://{where}/j")
    assert json.loads(whole.output.split("\n", 1)[1]) == data
    told = [
        (await fetch(f"http://{where}/j", pointer=pointer)).output.split("\n", 1)[1]
        for pointer in ("/info/version", "info/version", "/info/a~1b/m~0n/1/x")
    ]
    assert told == ['"1.2.3"', '"1.2.3"', "null"]
    missing = await fetch(f"http://{where}/j", pointer="/info/name")
    assert (missing.kind, missing.hint) == ("not_found", "There is version, a/b.")
    no_json = await fetch(f"http://{where}/", pointer="/x")
    assert (no_json.kind, no_json.network) == ("not_json", NetworkUse(reached=(where,)))


@pytest.mark.parametrize(
    ("headers", "body", "status", "told"),
    [
        ({"Content-Type": "image/png"}, b"\x89PNG\r\n\x1a\n\0\0", "error", "binary"),
        ({"Content-Type": "application/octet-stream"}, b"plain words", "ok", "plain words"),
        ({"Content-Type": "application/zip"}, b"PK\x03\x04\0\xff", "error", "binary"),
        ({}, b"\0\1\2", "error", "binary"),
        ({"Content-Type": "text/plain"}, "\ufeffwith a mark".encode(), "ok", "with a mark"),
        ({"Content-Type": "text/plain; charset=punycode"}, b"caf\xc3\xa9", "ok", "caf\u00e9"),
        ({"Content-Type": "text/html"}, b'<meta charset="windows-1252">\x93quoted\x94', "ok", "\u201cquoted\u201d"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(b"packed", mtime=0), "ok", "packed"),
        ({"Content-Type": "text/plain", "Content-Encoding": "gzip"}, b"not packed", "error", "unreadable"),
        ({"Content-Type": "text/plain", "Content-Encoding": "br"}, b"x", "error", "unreadable"),
        ({"Content-Type": f"text/plain; {'x' * 100}=1"}, b"odd", "ok", "odd"),
    ],
)
async def test_text_is_read_whatever_it_is_called_and_the_rest_refused(
    site: Site, fetching: Callable[..., Fetch], headers: dict[str, str], body: bytes, status: str, told: str
) -> None:
    """By its type, its charset, and in doubt by its bytes."""
    site.pages["/p"] = (200, headers, body)
    where = f"index.test:{site.port}"
    result = await fetching([where])(f"http://{where}/p")
    assert (result.status, result.kind or result.output.split("\n", 1)[1]) == (status, told)


async def test_an_answer_of_failure_is_told_as_one(site: Site, fetching: Callable[..., Fetch]) -> None:
    """With what the host said."""
    site.pages["/gone"] = (404, {"Content-Type": "text/plain"}, b"no such package")
    where = f"index.test:{site.port}"
    result = await fetching([where])(f"http://{where}/gone")
    assert (result.status, result.kind, result.output.endswith("no such package")) == ("error", "http_status", True)
    assert result.network == NetworkUse(reached=(where,))


@pytest.mark.parametrize("packed", [False, True])
async def test_no_more_than_two_mebibytes_are_read(site: Site, fetching: Callable[..., Fetch], packed: bool) -> None:
    """Also of what a few bytes unpack to."""
    body = b"x" * (MOST_BYTES + 100_000)
    headers = {"Content-Type": "text/plain"} | ({"Content-Encoding": "gzip"} if packed else {})
    site.pages["/long"] = (200, headers, gzip.compress(body) if packed else body)
    where = f"index.test:{site.port}"
    result = await fetching([where])(f"http://{where}/long")
    assert (result.status, "the page is longer" in result.output) == ("ok", True)
    assert result.omitted < MOST_BYTES
    site.pages["/long.json"] = (200, headers | {"Content-Type": "application/json"}, site.pages["/long"][2])
    assert (await fetching([where])(f"http://{where}/long.json", pointer="/a")).kind == "too_large"


async def test_a_redirect_is_checked_as_the_first_address_was(site: Site, fetching: Callable[..., Fetch]) -> None:
    """To another host, into a private network, to another scheme, in a circle."""
    here = f"index.test:{site.port}"
    other = f"other.test:{site.port}"
    redirects = {
        "/ok": "final",
        "/other": f"http://{other}/final",
        "/evil": "http://evil.test/",
        "/name": f"http://index.test@evil.test:{site.port}/",
        "/metadata": "http://169.254.169.254/latest/meta-data/",
        "/decimal": "http://2130706433/",
        "/file": "file:///etc/passwd",
        "/circle": "/circle",
    }
    site.pages |= {path: (302, {"Location": target}, b"") for path, target in redirects.items()}
    # `inside.test` is allowed and leads into a private network, which nobody allowed.
    site.pages["/inside"] = (307, {"Location": f"http://inside.test:{site.port}/"}, b"")
    site.pages["/final"] = (200, {}, b"the end")
    fetch = fetching([here, other, f"inside.test:{site.port}"], private=[here, other])
    told = {path: await fetch(f"http://{here}{path}") for path in (*redirects, "/inside")}
    assert {path: result.kind or result.output.split("\n")[0] for path, result in told.items()} == {
        "/ok": f"http://{here}/final answered 200 (no content type, 7 bytes). It says:",
        "/other": f"http://{other}/final answered 200 (no content type, 7 bytes). It says:",
        "/evil": "egress_refused",
        "/name": "bad_redirect",
        "/metadata": "egress_refused",
        "/decimal": "bad_redirect",
        "/file": "bad_redirect",
        "/circle": "bad_redirect",
        "/inside": "egress_refused",
    }
    assert len([head for head in site.heads if head.startswith("GET /circle ")]) == 6
    assert told["/inside"].network == NetworkUse(
        reached=(here,), refused=(f"inside.test:{site.port} (private address)",)
    )


@pytest.mark.parametrize(
    "url",
    [
        "ftp://index.test/",
        "index.test",
        "http://",
        "http://index.test\\@evil.test/",
        "http://me:pw@index.test/",
        "http://index.test/ HTTP/1.1\r\nX: y",
        "http://0x7f.1/",
        "http://index.test:0/",
        "http://fa\u00df.test/",
        "http://index.test/" + "x" * 5000,
    ],
)
async def test_an_address_that_is_none_is_said_to_be_none(site: Site, fetching: Callable[..., Fetch], url: str) -> None:
    """Before anything is asked of anybody."""
    result = await fetching(["index.test"], addresses=lambda host: pytest.fail(host))(url)
    assert (result.status, result.kind, result.network) == ("error", "invalid_arguments", None)


async def test_other_hosts_and_secrets_stay_out(site: Site, fetching: Callable[..., Fetch]) -> None:
    """A host that is not allowed is not looked up; an address that would carry a secret away is not asked."""
    where = f"index.test:{site.port}"
    fetch = fetching([where], addresses=lambda host: pytest.fail(host))
    refused = await fetch("https://evil.test/")
    assert (refused.kind, refused.network) == ("egress_refused", NetworkUse(refused=("evil.test:443 (not allowed)",)))
    masked = await fetch(f"https://{SECRET}.evil.test/")
    assert (masked.kind, masked.network) == ("egress_refused", None)
    assert SECRET not in masked.output and site.heads == []


async def test_a_certificate_is_checked_against_the_name(
    secure_site: Site, fetching: Callable[..., Fetch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although an address is dialled: the name of another, or an unknown authority, is refused."""
    here, other = f"index.test:{secure_site.port}", f"other.test:{secure_site.port}"
    assert "certificate" in (await fetching([here])(f"https://{here}/")).output
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    assert (await fetching([here])(f"https://{here}/")).output.endswith("hello from the site\n")
    result = await fetching([other])(f"https://{other}/")
    assert (result.kind, "certificate of other.test" in result.output) == ("no_answer", True)
    secure_site.pages["/down"] = (302, {"Location": f"http://{here}/"}, b"")
    assert (await fetching([here])(f"https://{here}/down")).kind == "bad_redirect"


async def test_the_next_address_is_tried_and_nobody_answering_is_said(
    site: Site, fetching: Callable[..., Fetch]
) -> None:
    """All of them were checked by the one look-up."""
    where = f"index.test:{site.port}"
    looked_up: list[str] = []

    def addresses(host: str) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.2", "127.0.0.1"]

    assert (await fetching([where], addresses=addresses)(f"http://{where}/")).status == "ok"
    assert looked_up == ["index.test"]
    nobody = await fetching([where], addresses=lambda host: ["127.0.0.2"])(f"http://{where}/")
    assert (nobody.kind, nobody.network) == ("no_answer", NetworkUse(failed=(where,)))
    unknown = await fetching([where], addresses=lambda host: [])(f"http://{where}/")
    assert (unknown.kind, unknown.output) == ("no_such_host", "index.test has no address here.")
