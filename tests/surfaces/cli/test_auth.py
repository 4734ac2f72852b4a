"""`acp auth`: where one is signed in, and what is said about servers that are not there."""

import os
from pathlib import Path

import pytest

from acp_agent.config.paths import state_dir
from acp_agent.domain.servers import ToolServer
from acp_agent.tools.mcp.signed_in import tokens_file
from tests.surfaces.cli.conftest import Acp

CONFIG = '[mcp.docs]\nurl = "https://docs.example.org/mcp"\n[mcp.local]\ncommand = "x"\n'


@pytest.fixture(autouse=True)
def servers() -> None:
    Path(os.environ["ACP_CONFIG"]).write_text(CONFIG)


def test_a_sign_in_is_listed_and_forgotten(acp: Acp) -> None:
    assert acp("auth", "status").stdout == "mcp:docs: not signed in\n"
    file = tokens_file(state_dir(os.environ), ToolServer(name="docs", url="https://docs.example.org/mcp"))
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert acp("auth", "status").stdout == "mcp:docs: signed in\n"
    assert acp("auth", "logout", "mcp:docs").code == 0
    assert not file.exists()
    assert acp("auth", "logout", "mcp:docs").code == 5


@pytest.mark.parametrize("words", [("login", "mcp:local"), ("login", "mcp:nope"), ("logout",), ("frob",)])
def test_words_that_lead_nowhere_are_a_usage_error(acp: Acp, words: tuple[str, ...]) -> None:
    said = acp("auth", *words)
    assert said.code == 2
    assert "hint: " in said.stderr
