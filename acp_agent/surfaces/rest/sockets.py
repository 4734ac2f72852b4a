"""WebSockets of the server we use, with limits where it has none: how much waits, in how many pieces, how long."""

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

MOST_PIECES = 8192
"""Frames of one message: each costs time, an empty one too, and a message may be cut into any number."""
MOST_UNREAD = 16 * 1024 * 1024
"""Bytes that wait for a client which asks for answers to its pings and reads none; a line of ours has half of it."""
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_log = logging.getLogger(__name__)


class SocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket, which began as a request at the door."""

    def data_received(self, data: bytes) -> None:
        """Something came; an upgrade that is none ends the connection, where the library would wait for ever."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_initiated = self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_REQUEST)
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """A piece more of a message."""
        if len(self.frames) < MOST_PIECES:
            super().handle_cont(event)
        else:
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {MOST_PIECES} frames")

    def handle_ping(self) -> None:
        """A ping, which is answered unless nothing of what was said is read."""
        if self.transport.is_closing():
            return
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            _log.info("a client reads none of what it asks for: its connection ends")
            self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """A message is whole; text that is none ends the connection, and is no error of ours."""
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self._fail(CloseCode.INVALID_DATA, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        """Something for the client."""
        await super().send(message)
        if self.initial_response is not None:
            # It was refused, with all that belongs to it: else a line of the log says that something is missing.
            self.handshake_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.app_state["visitor"].leave()
        super().connection_lost(exc)

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        if not self.transport.is_closing():
            self.conn.fail(code, reason)
            self.handle_parser_exception()


def _is_text(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
