"""Stage one: the descriptors are safe and `initialize` is answered before anything is imported."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from acp_agent import __version__
from acp_agent.config.paths import state_dir
from acp_agent.surfaces.acp import first
from tests.surfaces.acp.wire import SCHEMA

ROOT = Path(__file__).parents[3]
PROBE = """
import sys
before = set(sys.modules)
from acp_agent.surfaces.acp import first
start = first.begin()
print("on stdout, which is stderr by now")
import json, os
own = sorted(name for name in set(sys.modules) - before if not name.startswith("acp_agent"))
left, inheritable = start.leftover.decode("latin-1"), os.get_inheritable(start.writes)
print(json.dumps([start.initialized, left, own, sys.stdin.read(), inheritable]))
"""
STANDARD = sys.stdlib_module_names
HEAVY = ("asyncio", "anyio", "pydantic", "logging", "pathlib", "dataclasses", "typing", "socket", "subprocess")


def begun(data: bytes, **environment: str) -> tuple[bytes, list[Any]]:
    """What stage one answers to `data`, and what it hands over."""
    ended = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=data,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    line, report = ended.stderr.splitlines()
    assert line == b"on stdout, which is stderr by now"
    return ended.stdout, json.loads(report)


def line(message_id: Any = 0, **changes: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": message_id, "method": "initialize", "params": {"protocolVersion": 1}, **changes}
    return json.dumps({key: value for key, value in message.items() if value != "absent"}).encode() + b"\n"


def test_initialize_is_answered_with_nothing_imported_but_json() -> None:
    params = {"protocolVersion": 65535, "clientCapabilities": {"auth": {"terminal": True}}}
    answer, (initialized, leftover, imported, stdin, inheritable) = begun(line(params=params) + b'{"next"')
    assert (initialized, leftover, stdin, inheritable) == (params, '{"next"', "", False)
    assert [name for name in imported if name.partition(".")[0] not in STANDARD or name in HEAVY] == []
    message = json.loads(answer)
    assert message == {
        "jsonrpc": "2.0",
        "id": 0,
        "result": {
            "protocolVersion": 1,
            "agentInfo": {"name": "acp-agent", "title": "ACP Agent", "version": __version__},
            "authMethods": [
                {
                    "id": "api-keys",
                    "name": "Provider keys",
                    "description": "Uses the keys of the environment or of config.toml, or a local model server",
                    "type": "agent",
                },
                {
                    "id": "login",
                    "name": "Enter a provider's key",
                    "description": "Asks in a terminal for a provider and its key or address, and keeps what works",
                    "type": "terminal",
                    "args": ["--login"],
                },
            ],
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
                "mcpCapabilities": {"http": True, "sse": False},
                "sessionCapabilities": {"list": {}, "resume": {}, "close": {}, "delete": {}, "fork": {}}
                | {"additionalDirectories": {}},
                "auth": {"logout": {}},
            },
        },
    }
    assert SCHEMA.problem("initialize", "Response", message["result"]) is None


@pytest.mark.parametrize(
    "capabilities", [{}, {"auth": {}}, {"auth": {"terminal": False}}, {"auth": {"terminal": 1}}, 7]
)
def test_a_client_without_a_terminal_is_offered_none(capabilities: Any) -> None:
    answer, _ = begun(line(params={"protocolVersion": 1, "clientCapabilities": capabilities}))
    assert [method["type"] for method in json.loads(answer)["result"]["authMethods"]] == ["agent"]


@pytest.mark.parametrize("message_id", [0, -7, 2**70, "0", 'ünï "quoted" 👋', "\ud800", None])
def test_the_id_comes_back_exactly(message_id: Any) -> None:
    answer, (initialized, *_) = begun(line(message_id))
    assert json.loads(answer)["id"] == message_id
    assert type(json.loads(answer)["id"]) is type(message_id)
    assert initialized == {"protocolVersion": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"nonsense\n",
        line()[:-1],
        b"[" + line()[:-1] + b"]\n",
        b"[" * 100_000 + b"\n",
        b"\xff" + line(),
        line(jsonrpc="1.0"),
        line(method="session/new"),
        line("absent"),
        line(1.0),
        line(True),
        line([1]),
        line(params="absent"),
        line(params=None),
        line(params=[1]),
        line(params={}),
        line(params={"protocolVersion": "1"}),
        line(params={"protocolVersion": 1.0}),
        line(params={"protocolVersion": True}),
        line(params={"protocolVersion": 1, "x": float("nan")}),
        b" " * (first.FIRST_LINE_LIMIT + 100_000) + line(),
    ],
)
def test_anything_else_is_handed_over_untouched(data: bytes) -> None:
    answer, (initialized, leftover, *_) = begun(data)
    assert (answer, initialized) == (b"", None)
    assert data.decode("latin-1").startswith(leftover)
    assert len(leftover) >= min(len(data), first.FIRST_LINE_LIMIT)


def test_the_model_that_sees_is_known_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "vision").touch()
    answer, _ = begun(line(), ACP_HOME=str(tmp_path))
    assert json.loads(answer)["result"]["agentCapabilities"]["promptCapabilities"]["image"] is True


@pytest.mark.parametrize(
    "environ",
    [
        {"ACP_HOME": "/a/b"},
        {"ACP_HOME": "~/b"},
        {"ACP_HOME": "b/../c"},
        {"ACP_HOME": "", "STATE_DIRECTORY": "/var/lib/acp:/other"},
        {"XDG_STATE_HOME": "/state", "HOME": "/home/me"},
        {"XDG_STATE_HOME": "state", "HOME": "/home/me"},
        {"HOME": "/home/me"},
        {"HOME": ""},
        {},
    ],
)
def test_the_state_directory_is_that_of_the_settings(environ: dict[str, str]) -> None:
    assert first.vision_flag(environ) == str(state_dir(environ) / "vision")


def test_a_client_that_leaves_at_once_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROBE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(line())
        process.stdin.close()
        assert (process.wait(60), process.stderr.read()) == (0, b"")


def test_descriptors_that_do_not_block_are_waited_for() -> None:
    asked, tell = os.pipe()
    heard, told = os.pipe()
    os.set_blocking(asked, False)
    os.set_blocking(told, False)
    with subprocess.Popen(
        [sys.executable, "-c", PROBE],
        stdin=asked,
        stdout=told,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        # Long enough to be waited for; the test holds without it.
        time.sleep(0.1)
        os.write(tell, line())
        assert json.loads(os.read(heard, 65536))["id"] == 0
        assert process.wait(60) == 0
    for descriptor in (asked, tell, heard, told):
        os.close(descriptor)
