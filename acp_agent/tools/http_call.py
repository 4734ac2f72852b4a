"""An HTTP call that a person declared as a tool: one request, no redirects, a bounded answer."""

import json
from collections.abc import Mapping
from typing import Any

from acp_agent.domain.declared import HttpCall
from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import ToolResult
from acp_agent.tools.template import filled_json, filled_url

MAX_ANSWER = 256 * 1024
"""Bytes of an answer that are read; the rest is left out."""
_KINDS = {401: "unauthorized", 403: "forbidden", 404: "not_found", 408: "timeout", 409: "conflict", 429: "rate_limited"}
_AWAY = (502, 503, 504)


async def answer_of(
    call: HttpCall,
    values: Mapping[str, Any],
    key: str,
    timeout: float,  # noqa: ASYNC109  (handed to the client)
) -> ToolResult:
    """Send the request and return what was answered. `key` goes as the header Idempotency-Key, except with GET.

    Raises ToolError(kind="unavailable") where nobody answers, and with a kind by the status for an error.
    """
    # Not at start: 100 ms that only such a call should pay.
    import httpx

    headers = dict(call.headers)
    content: str | None = None
    if call.method != "GET":
        content = json.dumps(dict(values)) if call.body is None else filled_json(call.body, values)
        headers.setdefault("Content-Type", "application/json")
        if key:
            headers.setdefault("Idempotency-Key", key)
    url = filled_url(call.url, values)
    try:
        async with (
            httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client,
            client.stream(call.method, url, headers=headers, content=content) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= MAX_ANSWER:
                    break
            text = _text(bytes(body[:MAX_ANSWER]), response.encoding)
            return _told(response.status_code, text, len(body) >= MAX_ANSWER)
    except httpx.TimeoutException:
        raise ToolError(f"No answer within {timeout:g} seconds.", kind="timeout", retryable=True) from None
    except httpx.HTTPError as error:
        # The address may hold a secret of the person; the error's text is httpx's own.
        why = str(error) or type(error).__name__
        raise ToolError(f"No answer: {why}.", kind="unavailable", retryable=True) from None


def _text(body: bytes, encoding: str | None) -> str:
    if b"\0" in body[:1024]:
        return f"({len(body):,} bytes that are no text)"
    try:
        return body.decode(encoding or "utf-8", errors="replace")
    except LookupError:
        return body.decode(errors="replace")


def _told(status: int, text: str, cut: bool) -> ToolResult:
    if cut:
        text += f"\n[... cut after {MAX_ANSWER:,} bytes ...]"
    if status < 300:
        return ToolResult(status="ok", output=text, origin="web")
    kind = "unavailable" if status in _AWAY else _KINDS.get(status, "http_status")
    retryable = kind in ("unavailable", "rate_limited", "timeout")
    return ToolResult(
        status="error", output=f"HTTP status {status}\n{text}", kind=kind, retryable=retryable, origin="web"
    )
