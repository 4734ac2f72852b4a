"""Which hosts are meant by a pattern, which spellings are names at all, and which addresses are nobody's own."""

import pytest

from acp_agent.domain.egress import PRESETS, AllowList, Endpoint, Pattern, host_of, is_public

ONE = AllowList.of(["example.org"])
BELOW = AllowList.of(["*.example.org"])

NO_NAMES = [
    "",
    ".",
    "..",
    "example.org..",
    ".example.org",
    "exa mple.org",
    "example.org\0",
    "evil.test\0.example.org",
    "example.org\r\nHost: evil.test",
    "example.org%2eevil.test",
    "example.org\\.evil.test",
    "example.org/evil.test",
    "example.org#evil.test",
    "user@example.org",
    "user:pass@example.org",
    "example_org.test",
    "-example.org",
    "example-.org",
    "a" * 64 + ".org",
    "a." * 127 + "org",
    "fa\u00df.de",
    "exam\u200dple.org",
    "\u2100.org",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "1.2.3.4.5",
    "256.1.1.1",
    "example.123",
    "::1",
    "[::1",
    "[::1%eth0]",
    "[127.0.0.1]",
    "[::ffff:127.0.0.1.]",
]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_programs_could_read_differently_is_no_name(text: str) -> None:
    """Neither is asked for nor can be allowed."""
    with pytest.raises(ValueError):
        host_of(text)
    with pytest.raises(ValueError):
        Endpoint.parse(f"{text}:443")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("\uff45xample.org", "example.org"),
        ("example\u3002org", "example.org"),
        ("127.0.0.1", "127.0.0.1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::FFFF:10.0.0.1]", "10.0.0.1"),
        ("localhost", "localhost"),
    ],
)
def test_a_name_has_one_written_form(text: str, host: str) -> None:
    """Whatever it looked like, what is compared is what is looked up."""
    assert host_of(text) == host


@pytest.mark.parametrize(
    ("asked", "one", "below"),
    [
        ("example.org:443", True, False),
        ("example.org:80", True, False),
        ("EXAMPLE.org.:443", True, False),
        ("example.org:8443", False, False),
        ("a.example.org:443", False, True),
        ("a.b.example.org:80", False, True),
        ("notexample.org:443", False, False),
        ("example.org.evil.test:443", False, False),
        ("example.orgg:443", False, False),
        ("xexample.org:443", False, False),
        ("evil.test:443", False, False),
        ("org:443", False, False),
        ("[::1]:443", False, False),
    ],
)
def test_names_are_compared_label_by_label(asked: str, one: bool, below: bool) -> None:
    """Never by how they begin or end."""
    endpoint = Endpoint.parse(asked)
    assert (ONE.allows(endpoint), BELOW.allows(endpoint)) == (one, below)


def test_a_port_in_a_pattern_allows_that_port_alone() -> None:
    """Also for addresses, of both kinds."""
    allowed = AllowList.of(["index.test:8080", "127.0.0.1:9", "[::1]:9"])
    asked = ["index.test:8080", "index.test:443", "127.0.0.1:9", "127.0.0.1:80", "[::1]:9", "[::1]:443"]
    assert [allowed.allows(Endpoint.parse(each)) for each in asked] == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://pypi.org", "without scheme"),
        ("pypi.org/simple", "without scheme"),
        ("*", "no host name"),
        ("*.org", "too wide"),
        ("*.10.0.0.1", "too wide"),
        ("a.*.org", "no host name"),
        ("pypi.org:0", "no such port"),
        ("pypi.org:65536", "no such port"),
        ("pypi.org:http", "no such port"),
        ("pypi.org:\u0664\u0664", "no such port"),
        ("me@pypi.org", "user name"),
    ],
)
def test_a_pattern_that_is_none_says_why(text: str, why: str) -> None:
    """In words that go into a configuration error."""
    with pytest.raises(ValueError, match=why):
        Pattern.parse(text)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.8.8.8",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
    ],
)
def test_an_address_that_is_not_on_the_public_internet(address: str) -> None:
    """Of this machine, of somebody's network, or with such an address inside."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "151.101.0.223", "2606:4700::6810:1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
)
def test_a_public_address(address: str) -> None:
    """Also one that carries a public address inside."""
    assert is_public(address)


def test_the_presets_are_hosts() -> None:
    """Every one in its one written form, reachable on the usual ports."""
    for hosts in PRESETS.values():
        assert [pattern.host for pattern in AllowList.of(hosts).patterns] == list(hosts)
