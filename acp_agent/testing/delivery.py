"""Sends one scripted step over a connection, with the faults it asks for."""

from __future__ import annotations

from collections.abc import Mapping

from acp_agent.testing.connection import Connection
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from acp_agent.testing.wire import END_OF_BODY, HEARTBEAT, completion, error_body, frame, stream_events

_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}


def write_json(connection: Connection, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole JSON reply."""
    length = {"content-type": "application/json", "content-length": str(len(body))}
    connection.write_head(status, {**length, **(headers or {})})
    connection.write(body)


async def deliver(connection: Connection, request: Request, step: Step) -> bool:
    """Send the step; false when the connection is gone afterwards, as the step wanted."""
    if step.delay:
        await connection.pause(step.delay)
    if step.hang_up:
        connection.abort()
        return False
    if step.fails:
        status = step.status if step.status >= 400 else 500
        write_json(connection, status, error_body(step.error or {}), step.headers)
        await connection.flush()
        return True
    if request.streams:
        return await _stream(connection, request, step)
    return await _whole(connection, request, step)


async def _whole(connection: Connection, request: Request, step: Step) -> bool:
    body = completion(request, step)
    if step.garbage_at is not None:
        body = body[: len(body) // 2]
    length = {"content-type": "application/json", "content-length": str(len(body))}
    connection.write_head(step.status, {**length, **step.headers})
    if step.stall_at is not None:
        await connection.pause(step.stall_for)
    if step.cut_after is not None:
        connection.write(body[: len(body) // 2])
        await connection.cut()
        return False
    connection.write(body)
    await connection.flush()
    return True


async def _stream(connection: Connection, request: Request, step: Step) -> bool:
    events = stream_events(request, step)
    connection.write_head(step.status, {**_STREAM_HEADERS, **step.headers})
    if not step.is_plain:
        if not await _faulty(connection, step, events):
            return False
    else:
        connection.write(b"".join(map(frame, events)))
    connection.write(END_OF_BODY)
    await connection.flush()
    return True


async def _stall(connection: Connection, step: Step) -> None:
    """Say nothing for a while, but for comments that keep the connection alive where the step wants them."""
    beats = int(step.stall_for / step.heartbeat) if step.heartbeat else 0
    for _ in range(beats):
        await connection.pause(step.heartbeat)
        connection.write(HEARTBEAT)
    await connection.pause(step.stall_for - beats * step.heartbeat)


async def _faulty(connection: Connection, step: Step, events: list[bytes]) -> bool:
    """Send the chunks one by one; false when the step wants the connection cut."""
    for index, event in enumerate(events):
        if step.cut_after == index:
            break
        if step.stall_at == index:
            await _stall(connection, step)
        if step.error_at == index:
            connection.write(frame(error_body(step.error or {})))
            return True
        connection.write(frame(event[: len(event) // 2] if step.garbage_at == index else event))
        if step.gap:
            await connection.pause(step.gap)
    if step.cut_after is None:
        return True
    await connection.cut()
    return False
