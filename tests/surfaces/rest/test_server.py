"""What a server takes from its environment when it begins to listen."""

import os
from pathlib import Path

import pytest

from acp_agent.config.listening import listening_at
from acp_agent.config.tokens import VARIABLE
from acp_agent.surfaces.rest.server import Server


def test_the_token_of_the_environment_is_taken_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "a-token-of-this-machine")
    server = Server.at(listening_at(None, str(tmp_path / "acp.sock"), ()))
    for one in server.sockets:
        one.close()
    assert (server.token, server.token_file) == ("a-token-of-this-machine", None)
    assert VARIABLE not in os.environ
