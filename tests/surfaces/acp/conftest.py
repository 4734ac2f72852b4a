"""Connections in memory whose every outgoing line is checked against the protocol's schema."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from acp_agent.testing.protocol_schema import ProtocolSchema
from tests.surfaces.acp.wire import SCHEMA, WireClient
from tests.surfaces.acp.wire import wired as connected


@pytest.fixture(scope="session")
def protocol_schema() -> ProtocolSchema:
    """The protocol's JSON schema as an oracle."""
    return SCHEMA


@pytest.fixture
def wired() -> Callable[..., AbstractAsyncContextManager[WireClient]]:
    """Makes a client at a connection in memory; see `tests.surfaces.acp.wire.wired`."""
    return connected
