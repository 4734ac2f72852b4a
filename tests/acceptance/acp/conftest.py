"""The desk of each test: a model server that runs for its duration."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acp_agent.testing.script import Scriptable
from tests.acceptance.acp.desk import CONFIG, Desk

DeskOf = Callable[..., Desk]


@pytest.fixture
def desk_of(tmp_path: Path) -> Generator[DeskOf]:
    """Makes a desk with a model that follows the script given."""
    with ExitStack() as stack:

        def make(*script: Scriptable, config: str = CONFIG) -> Desk:
            desk = Desk(tmp_path, list(script), config)  # type: ignore[arg-type]
            stack.enter_context(desk.server)
            return desk

        yield make
