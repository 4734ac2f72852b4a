"""Where `acp serve` listens when it does not speak over stdin and stdout, and what it believes of who asks there."""

import errno
import ipaddress
import os
import re
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acp_agent.domain.errors import UsageError

DEFAULT = "127.0.0.1:4242"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Hosts by which a program on this machine asks."""
_BACKLOG = 512
_LONGEST_PATH = 100
"""Bytes of the path of a socket file that every kernel takes."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Listening:
    """An address, the path of a socket file, or both; `names` are those of a proxy in front that speaks TLS."""

    address: tuple[str, int] | None = None
    unix: Path | None = None
    names: tuple[str, ...] = ()

    @property
    def hosts(self) -> frozenset[str]:
        """What the header Host may name, without a port: a page that rebinds a name of its own names that one."""
        own = {_bracketed(self.address[0])} if self.address else set()
        return LOOPBACK | own | {name.partition(":")[0] for name in self.names}

    @property
    def origins(self) -> frozenset[str]:
        """What the header Origin may be: no page but those of the proxy's own name."""
        return frozenset(f"https://{name}" for name in self.names)


def listening_at(http: str | None, unix: str | None, names: Sequence[str]) -> Listening:
    """What a person asked for. Raises UsageError, also for an address off this machine without a proxy in front."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(f"--trusted-proxy: {name!r} is no host name", hint="such as agent.example.org")
    address = None if http is None else _address(http)
    if address is not None and not ipaddress.ip_address(address[0]).is_loopback and not names:
        hint = "listen on 127.0.0.1; behind a proxy that speaks TLS also --trusted-proxy NAME, its public host name"
        raise UsageError(f"--http: {address[0]} can be reached from other machines, without TLS", hint=hint)
    return Listening(address, None if unix is None else _socket_path(unix), tuple(names))


def bound(listening: Listening) -> list[socket.socket]:
    """Sockets that listen; a socket file is readable by this user alone. Raises UsageError for a place that is taken.

    Call it while the process has one thread: the mode of a file that is made is the whole process's.
    """
    sockets: list[socket.socket] = []
    try:
        if listening.address is not None:
            sockets.append(_bound_to_address(*listening.address))
        if listening.unix is not None:
            sockets.append(_bound_to_file(listening.unix))
    except BaseException:
        for one in sockets:
            one.close()
        raise
    return sockets


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
        number = int(port) if colon and port.isascii() and port.isdigit() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise UsageError(f"--http: {text!r} is no HOST:PORT", hint=f"an IP address or localhost, such as {DEFAULT}")
    return host, number


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _socket_path(text: str) -> Path:
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if len(os.fsencode(path)) > _LONGEST_PATH:
        hint = f"at most {_LONGEST_PATH} bytes, such as $XDG_RUNTIME_DIR/acp.sock"
        raise UsageError(f"--unix: the path is too long for a socket: {path}", hint=hint)
    return path


def _bound_to_address(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        hint = "another port, or stop what listens there" if error.errno == errno.EADDRINUSE else None
        raise UsageError(f"--http: {host}:{port}: {error.strerror}", hint=hint) from None
    return made


def _bound_to_file(path: Path) -> socket.socket:
    _remove_left_over(path)
    made = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise UsageError(f"--unix: {path}: {error.strerror}", hint="a folder of your own that exists") from None
    finally:
        os.umask(before)
    return made


def _remove_left_over(path: Path) -> None:
    """Remove a socket file that nobody listens at; anything else in the place is not ours to remove."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"--unix: {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"--unix: {path} exists and is no socket", hint="another path")
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise UsageError(f"--unix: {path}: {error.strerror}", hint="another path") from None
    raise UsageError(f"--unix: {path}: somebody listens there", hint="another path, or stop that one")
