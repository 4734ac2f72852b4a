"""Where the server listens: addresses, socket files, and what is refused."""

import socket
import stat
from pathlib import Path

import pytest

from acp_agent.config.listening import Listening, bound, listening_at
from acp_agent.domain.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4242", ("127.0.0.1", 4242)),
        ("localhost:0", ("127.0.0.1", 0)),
        ("[::1]:4242", ("::1", 4242)),
        ("127.9.9.9:1", ("127.9.9.9", 1)),
    ],
)
def test_addresses_of_this_machine(text: str, address: tuple[str, int]) -> None:
    assert listening_at(text, None, ()) == Listening(address)


@pytest.mark.parametrize(
    "text", ["", "4242", ":4242", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:80", "1:2:3"]
)
def test_what_is_no_address_is_told_so(text: str) -> None:
    with pytest.raises(UsageError, match="--http"):
        listening_at(text, None, ())


@pytest.mark.parametrize("text", ["0.0.0.0:4242", "[::]:4242", "192.0.2.1:80"])
def test_other_machines_come_by_a_proxy_or_not_at_all(text: str) -> None:
    with pytest.raises(UsageError, match="without TLS"):
        listening_at(text, None, ())
    listening = listening_at(text, None, ("agent.example.org",))
    assert "agent.example.org" in listening.hosts and listening.origins == {"https://agent.example.org"}


@pytest.mark.parametrize("name", ["", "*", "https://a.example", "a.example/", "a b", "A.example:port"])
def test_a_proxy_has_a_host_name(name: str) -> None:
    with pytest.raises(UsageError, match="--trusted-proxy"):
        listening_at("127.0.0.1:0", None, (name,))


def test_a_socket_file_is_for_this_user_alone_and_a_left_over_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    listening = listening_at(None, str(path), ())
    (first,) = bound(listening)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="somebody listens there"):
        bound(listening)
    first.close()
    assert path.exists()
    (second,) = bound(listening)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    second.close()


def test_places_that_are_taken_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is no socket"):
        bound(listening_at(None, str(path), ()))
    assert path.read_text() == "mine"
    (taken,) = bound(listening_at("127.0.0.1:0", None, ()))
    with taken, pytest.raises(UsageError, match="in use"):
        bound(listening_at(f"127.0.0.1:{taken.getsockname()[1]}", None, ()))
    with pytest.raises(UsageError, match="No such file"):
        bound(listening_at(None, str(tmp_path / "none" / "a.sock"), ()))
    with pytest.raises(UsageError, match="too long"):
        listening_at(None, str(tmp_path / ("a" * 120)), ())
