"""Stage one of `acp serve`: the protocol moves to descriptors of its own and `initialize` is answered at once.

Standard library only (os, sys, and json once the descriptors are safe): a person waits for this answer, and everything
else the agent is made of takes longer to import than the answer takes to give.
"""

import os
import sys
from collections.abc import Mapping

from acp_agent import __version__

PROTOCOL_VERSION = 1
"""The only version spoken; every other one asked for is answered with it."""

FIRST_LINE_LIMIT = 256 * 1024
"""Bytes of a first line that are looked at here; a longer one is left to the full connection."""


KEYS: dict[str, object] = {
    "id": "api-keys",
    "name": "Provider keys",
    "description": "Uses the keys of the environment or of config.toml, or a local model server",
    "type": "agent",
}
SIGN_IN: dict[str, object] = {
    "id": "login",
    "name": "Enter a provider's key",
    "description": "Asks in a terminal for a provider and its key or address, and keeps what works",
    "type": "terminal",
    "args": ["--login"],
}
"""The client runs the program it started again, with these arguments behind its own."""


class Start:
    """What stage one hands over: the protocol's descriptors, bytes read ahead, and the answered `initialize`.

    `leftover` is what was read and not consumed. `initialized` are the parameters of an `initialize` that has been
    answered, None when the first line is still among the leftover bytes.
    """

    __slots__ = ("initialized", "leftover", "reads", "writes")

    def __init__(self, reads: int, writes: int, leftover: bytes, initialized: dict[str, object] | None) -> None:
        self.reads = reads
        self.writes = writes
        self.leftover = leftover
        self.initialized = initialized


def begin() -> Start:
    """Claim the descriptors, read the first line and answer it if it is a well-formed `initialize`.

    Waits for the client without limit. Exits quietly when the client is gone before it could be answered.
    """
    reads, writes = claim_descriptors()
    if os.isatty(reads) and os.isatty(2):
        os.write(2, b"acp serve: speaking the Agent Client Protocol; it is meant to be started by an editor\n")
    data = _read_line(reads)
    line, newline, rest = data.partition(b"\n")
    asked = _initialize_in(line) if newline else None
    if asked is None:
        return Start(reads, writes, data, None)
    message_id, parameters = asked
    _write(writes, _answer(message_id, parameters))
    return Start(reads, writes, rest, parameters)


def claim_descriptors() -> tuple[int, int]:
    """Private copies of descriptors 0 and 1, for the protocol alone.

    From then on descriptor 1 is stderr, so that no print, library or subprocess can write between the messages, and
    descriptor 0 is empty, so that none can eat them.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Closed by whoever started us; the lowest free number is taken, so it becomes `number`.
            os.open(os.devnull, os.O_RDWR)
    reads, writes = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    return reads, writes


def initialize_result(parameters: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    """The one answer to `initialize`: only what is implemented is advertised.

    `parameters` are the request's as they came. The first way in, which some clients always take, asks nothing of the
    client; a sign-in in a terminal is offered to those that can show one.
    """
    terminal = [SIGN_IN] if _has_terminal_sign_in(parameters) else []
    return {
        "protocolVersion": PROTOCOL_VERSION,
        "agentInfo": {"name": "acp-agent", "title": "ACP Agent", "version": __version__},
        "authMethods": [KEYS, *terminal],
        "agentCapabilities": {
            "loadSession": True,
            "promptCapabilities": {
                "image": os.path.exists(vision_flag(environ)),
                "audio": False,
                "embeddedContext": True,
            },
            "mcpCapabilities": {"http": True, "sse": False},
            "sessionCapabilities": {
                "list": {},
                "resume": {},
                "close": {},
                "delete": {},
                "fork": {},
                "additionalDirectories": {},
            },
            "auth": {"logout": {}},
        },
    }


def _has_terminal_sign_in(parameters: Mapping[str, object]) -> bool:
    capabilities = parameters.get("clientCapabilities")
    auth = capabilities.get("auth") if isinstance(capabilities, dict) else None
    return isinstance(auth, dict) and auth.get("terminal") is True


def vision_flag(environ: Mapping[str, str]) -> str:
    """Path of the empty file that exists while the default model can see images.

    Whoever learns what the model can do makes or removes it; finding that out takes longer than this answer may.
    """
    return os.path.join(_state_dir(environ), "vision")


def _state_dir(environ: Mapping[str, str]) -> str:
    # The rule of config.paths.state_dir without its imports; a test holds the two together.
    if chosen := environ.get("ACP_HOME") or environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return os.path.abspath(os.path.expanduser(chosen))
    if sys.platform == "linux":
        chosen = environ.get("XDG_STATE_HOME", "")
        home = environ.get("HOME") or os.path.expanduser("~")
        return os.path.join(chosen if os.path.isabs(chosen) else os.path.join(home, ".local/state"), "acp-agent")
    from acp_agent.config.paths import state_dir

    return str(state_dir(environ))


def _read_line(reads: int) -> bytes:
    data = b""
    while b"\n" not in data and len(data) < FIRST_LINE_LIMIT:
        try:
            piece = os.read(reads, 65536)
        except BlockingIOError:
            _wait(reads, writing=False)
            continue
        except OSError:
            # A terminal that hung up; the full connection meets the same end.
            break
        if not piece:
            break
        data += piece
    return data


def _initialize_in(line: bytes) -> tuple[int | str | None, dict[str, object]] | None:
    """Id and parameters of the request in `line`, None for anything that is not exactly what we expect."""
    import json

    try:
        message = json.loads(line.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or message.get("method") != "initialize":
        return None
    message_id, parameters = message.get("id", False), message.get("params")
    if isinstance(message_id, bool) or not (message_id is None or isinstance(message_id, int | str)):
        return None
    if not isinstance(parameters, dict) or type(parameters.get("protocolVersion")) is not int:
        return None
    return message_id, parameters


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _answer(message_id: int | str | None, parameters: dict[str, object]) -> bytes:
    import json

    answer = {"jsonrpc": "2.0", "id": message_id, "result": initialize_result(parameters, os.environ)}
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _write(writes: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(writes, data) :]
        except BlockingIOError:
            _wait(writes, writing=True)
        except OSError:
            raise SystemExit(0) from None


def _wait(descriptor: int, *, writing: bool) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)
    poll.poll()
