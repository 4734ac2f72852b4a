"""A whole agent over a scripted model, for tests of the life of runs."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acp_agent.app import App, open_app
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.testing.model_server import ModelServer

PRICED = """\
[providers.openai.prices.test-model]
input = 1.0
output = 2.0
[providers.openai.prices.other-model]
input = 0.0
output = 0.0
"""

OpenAgent = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture
def open_agent(tmp_path: Path) -> OpenAgent:
    """`async with open_agent(server) as app`: state in the test's own directory, prices configured."""
    config = tmp_path / "config.toml"

    @asynccontextmanager
    async def opened(server: ModelServer, config_text: str = PRICED) -> AsyncIterator[App]:
        config.write_text(config_text, encoding="utf-8")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "ACP_HOME": str(tmp_path / "state"),
            "ACP_CONFIG": str(config),
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "sk-test-0123456789",
        }
        async with open_app(environ, tmp_path) as app:
            yield app

    return opened


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with two small files."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha\n", encoding="utf-8")
    (folder / "b.txt").write_text("beta\n", encoding="utf-8")
    return folder


@pytest.fixture
def request_in(project: Path) -> Callable[..., RunRequest]:
    """A request that works in place in `project`."""

    def made(prompt: str = "do it", models: Sequence[str] = ("openai/test-model",), **changes: Any) -> RunRequest:
        place = Workplace(kind="inplace", root=str(project))
        return RunRequest(prompt=prompt, workplace=place, models=tuple(models), project="project", **changes)

    return made
