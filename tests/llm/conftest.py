"""What the tests of the model layer share: requests, gateways over a scripted server, and one that sends raw bytes."""

import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator

import pytest
from pydantic import SecretStr

from acp_agent.domain.message import UserMessage
from acp_agent.domain.ports import ModelRequest
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.prices import PriceTable
from acp_agent.llm.provider import Provider

KEY = "sk-test-1234567890"

GatewayOf = Callable[..., Gateway]
RawServer = Callable[..., str]


@pytest.fixture
def request_of() -> Callable[..., ModelRequest]:
    """A request of one prompt; everything else as given."""

    def make(model: str = "openai/test-model", prompt: str = "hi", **fields: object) -> ModelRequest:
        return ModelRequest.model_validate({"model": model, "messages": (UserMessage(text=prompt),), **fields})

    return make


@pytest.fixture
async def gateway_of() -> AsyncGenerator[GatewayOf]:
    """A gateway whose provider `openai` is at `url`; closed after the test."""
    made: list[Gateway] = []

    def make(url: str, **fields: object) -> Gateway:
        values = {"name": "openai", "base_url": url, "keys": (SecretStr(KEY),), **fields}
        gateway = Gateway({"openai": Provider.model_validate(values)}, PriceTable())
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        await gateway.aclose()


@pytest.fixture
def raw_server() -> Generator[RawServer]:
    """Serves each connection the same bytes and closes it; gives the base URL."""
    sockets: list[socket.socket] = []

    def serve(body: bytes, *, head: str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream") -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)
        reply = head.encode() + b"\r\nconnection: close\r\n\r\n" + body

        def loop() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # the test is over
                with connection:
                    received = b""
                    while b"\r\n\r\n" not in received and (data := connection.recv(65536)):
                        received += data
                    connection.sendall(reply)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield serve
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
