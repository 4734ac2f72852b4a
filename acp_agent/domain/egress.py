"""Which hosts may be reached: names compared parsed and label by label, and which addresses are nobody's own.

A name that is matched is the name that is looked up: whatever two programs could read differently (NUL, user names,
numbers that are addresses in disguise) is no name here.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Self

from acp_agent.domain.base import Frozen

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
LONGEST_NAME = 253
USUAL_PORTS = (80, 443)
NO_NETWORK = "unknown: no network"
"""The answer of a run that must look something up and could not."""
NOT_LOOKED_UP = "nothing was looked up"
"""What is wrong with an answer that should rest on a look-up."""
PRESETS: Mapping[str, tuple[str, ...]] = {
    "registries": (
        "pypi.org",
        "files.pythonhosted.org",
        "registry.npmjs.org",
        "crates.io",
        "index.crates.io",
        "static.crates.io",
        "proxy.golang.org",
        "sum.golang.org",
    ),
}
"""What may be asked for by name: `registries` is PyPI, npm, crates.io and Go, with the hosts they download from."""

# Standards of internationalised names disagree about these letters, so that two programs would look up two names.
_DISPUTED = frozenset("\u00df\u03c2\u200c\u200d")
_NAT64 = IPv6Network("64:ff9b::/96")
_TUNNELS = tuple(IPv6Network(text) for text in ("2001::/32", "2002::/16", "::/96", "64:ff9b:1::/48", "fec0::/10"))


class Endpoint(Frozen):
    """A host and a port. `host` is in its one written form: lower case, ASCII, no dot at its end; or an IP address."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, authority: str, port: int | None = None) -> Self:
        """`host`, `host:port` or `[address]:port`; `port` stands in where none is given.

        Raises ValueError that says what is wrong with it.
        """
        host, given = _split(authority)
        if given is None and port is None:
            raise ValueError("names no port")
        return cls(host=host_of(host), port=_port(given) if given is not None else port or 0)


class Pattern(Frozen):
    """An allowed host: itself, or with `subdomains` every name below it but not itself. `ports` are those allowed."""

    host: str
    subdomains: bool = False
    ports: tuple[int, ...] = USUAL_PORTS

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.ports == USUAL_PORTS else ":" + ",".join(map(str, self.ports))
        return ("*." if self.subdomains else "") + host + port

    @classmethod
    def parse(cls, text: str) -> Self:
        """`example.org`, `*.example.org`, each with `:port` for that port alone. Raises ValueError in plain words."""
        if "://" in text or "/" in text:
            raise ValueError("should be a host without scheme and path, such as pypi.org")
        subdomains = text.startswith("*.")
        host, given = _split(text[2:] if subdomains else text)
        host = host_of(host)
        if subdomains and (is_address(host) or "." not in host):
            raise ValueError("is too wide: name at least two labels, such as *.example.org")
        return cls(host=host, subdomains=subdomains, ports=USUAL_PORTS if given is None else (_port(given),))

    def matches(self, endpoint: Endpoint) -> bool:
        """Whether `endpoint` is meant."""
        if endpoint.port not in self.ports:
            return False
        if not self.subdomains:
            return endpoint.host == self.host
        own, other = self.host.split("."), endpoint.host.split(".")
        return len(other) > len(own) and other[-len(own) :] == own


class AllowList(Frozen):
    """The hosts that may be reached; an empty one is a closed network."""

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """From patterns as they are written. Raises ValueError."""
        return cls(patterns=tuple(Pattern.parse(text) for text in texts))

    def allows(self, endpoint: Endpoint) -> bool:
        """Whether one of the patterns means `endpoint`."""
        return any(pattern.matches(endpoint) for pattern in self.patterns)


def host_of(text: str) -> str:
    """A host name or address in its one written form. Raises ValueError that says why it is none."""
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    name = text if text.isascii() else _ascii_name(text)
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > LONGEST_NAME or not all(LABEL.match(label) for label in labels):
        raise ValueError("is no host name")
    if NUMBER.match(labels[-1]):
        # 127.1, 0x7f.0.0.1 and 2130706433 are addresses to some programs and names to others.
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise ValueError("is no address: write it as four decimal numbers") from None
    return name


def is_address(host: str) -> bool:
    """Whether a host in its one written form is an IP address."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def is_public(address: str) -> bool:
    """Whether an IP address lies on the public internet.

    Not: this machine, private and shared networks, link-local (cloud metadata), multicast, reserved; nor an IPv6
    address that carries such an IPv4 address inside.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif parsed in _NAT64:
            # Networks without IPv4 reach it this way; what counts is where the gateway leads to.
            parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
        elif any(parsed in network for network in _TUNNELS):
            return False
    closed = parsed.is_private or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast
    return parsed.is_global and not (closed or parsed.is_reserved or parsed.is_unspecified)


def _split(authority: str) -> tuple[str, str | None]:
    """The host and the port as written."""
    if "@" in authority:
        raise ValueError("holds a user name")
    if authority.startswith("["):
        address, closed, rest = authority.partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError("is no host name")
        return address + closed, rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    if ":" in port:
        raise ValueError("is no host name: an IPv6 address stands in brackets")
    return host, port if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ValueError("has no such port")
    return int(text)


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise ValueError("is no IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("has a zone, which is an interface of this machine")
    # An IPv4 address in IPv6's clothes is that address, and reads alike in every version of Python.
    return str(address.ipv4_mapped or address)


def _ascii_name(text: str) -> str:
    if len(text) > LONGEST_NAME or _DISPUTED & set(text):
        raise ValueError("is no host name that all programs read alike: write its xn-- form")
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        raise ValueError("is no host name") from None
