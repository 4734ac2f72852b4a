"""The head of a request to the proxy, read strictly: what two programs could read differently is no request."""

import re
from dataclasses import dataclass

from acp_agent.domain.egress import Endpoint

METHOD = re.compile(rb"[A-Z]{1,32}\Z")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)\Z")
TARGET = re.compile(rb"[\x21-\x7e]+\Z")
ABSOLUTE = re.compile(rb"http://([^/?#]*)([^#]*)\Z", re.IGNORECASE)
OF_THE_CONNECTION = frozenset(
    (b"connection", b"host", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"te", b"upgrade")
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Where a request goes; `head` is what to send there first, empty for a tunnel."""

    endpoint: Endpoint
    head: bytes = b""


def read_request(head: bytes) -> Asked:
    """The request whose head, with its empty line, is given. Raises ValueError in plain words."""
    first, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or not METHOD.match(words[0]) or words[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise ValueError("no request line that could be read")
    method, target, version = words
    fields = [_field(line) for line in headers]
    if not TARGET.match(target):
        raise ValueError("a target with characters no address has")
    if method == b"CONNECT":
        return Asked(Endpoint.parse(target.decode("ascii")))
    found = ABSOLUTE.match(target)
    if found is None:
        raise ValueError("a proxy takes CONNECT, or an http:// address")
    endpoint = Endpoint.parse(found[1].decode("ascii"), 80)
    return Asked(endpoint, _forwarded(method, found[2], version, endpoint, fields))


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = HEADER.match(line)
    if found is None:
        raise ValueError("a header that could not be read")
    return found[1], found[2]


def _forwarded(
    method: bytes, path: bytes, version: bytes, endpoint: Endpoint, fields: list[tuple[bytes, bytes]]
) -> bytes:
    """The same request to the host itself. One request a connection: the next may go elsewhere and is checked anew."""
    named = b",".join(value for name, value in fields if name.lower() == b"connection").lower().split(b",")
    dropped = OF_THE_CONNECTION | {name.strip() for name in named}
    kept = [name + b": " + value for name, value in fields if name.lower() not in dropped]
    host = (endpoint.host if endpoint.port == 80 and ":" not in endpoint.host else str(endpoint)).encode()
    path = path if path.startswith(b"/") else b"/" + path
    lines = [b" ".join((method, path, version)), b"Host: " + host, *kept, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n"
