"""The entry of the ACP registry: its check of an agent, replayed on the program that the entry starts."""

import json
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from acp_agent.testing.protocol_schema import ProtocolSchema

ROOT = Path(__file__).parents[3]
ENTRY = ROOT / "registry" / "acp-agent"
AGENT = json.loads((ENTRY / "agent.json").read_text())
PASSED_ON = ("PATH", "TMPDIR", "LANG", "SSL_CERT_FILE")
"""Of the environment, what the registry's check leaves: no key of any provider, no home."""
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": 1,
        "clientInfo": {"name": "ACP Registry Validator", "version": "1.0.0"},
        "clientCapabilities": {
            "terminal": True,
            "fs": {"readTextFile": True, "writeTextFile": True},
            "_meta": {"terminal_output": True, "terminal-auth": True},
        },
    },
}


def test_the_entry_is_that_of_this_version_and_starts_a_program_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert AGENT["id"] == ENTRY.name and re.fullmatch("[a-z][a-z0-9-]*", AGENT["id"])
    assert AGENT["version"] == project["version"] and re.fullmatch(r"\d+\.\d+\.\d+", AGENT["version"])
    assert AGENT["license"] == project["license"]
    (kind, how), *others = AGENT["distribution"].items()
    assert (kind, others) == ("uvx", []) and set(how) == {"package", "args"}
    # Without a command of its own uvx starts the script that is called like the package.
    assert how["package"] == f"{project['name']}=={project['version']}" and project["name"] in project["scripts"]


def test_the_icon_is_small_square_and_takes_the_colour_of_its_place() -> None:
    icon = ElementTree.parse(ENTRY / "icon.svg").getroot()
    assert (icon.get("width"), icon.get("height"), icon.get("viewBox")) == ("16", "16", "0 0 16 16")
    colours = {value for element in icon.iter() for name in ("fill", "stroke") if (value := element.get(name))}
    assert colours == {"none", "currentColor"} and not any(element.get("style") for element in icon.iter())


def test_the_check_of_the_registry_passes_in_an_empty_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    program = Path(sys.executable).with_name(AGENT["id"])
    if not program.exists():
        pytest.fail(f"{program} is not installed: the entry would start nothing")
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    command = [str(program), *AGENT["distribution"]["uvx"]["args"]]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**environment, "HOME": str(home), "TERM": "dumb"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(HELLO) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait() == 0
    assert (answer["id"], rest) == (1, "")
    schema = ProtocolSchema(ROOT / "tests" / "data" / "acp-schema-v1.json")
    assert schema.problem("initialize", "Response", answer["result"]) is None
    methods = answer["result"]["authMethods"]
    assert any(method.get("type", "agent") in ("agent", "terminal") for method in methods)
    # CodeCompanion authenticates with the first one, which must need no terminal.
    assert methods[0].get("type", "agent") == "agent"
