"""Why a model gave no reply: HTTP status, codes and texts become one class of fault. Pure."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from acp_agent.domain.errors import ModelError, ModelFault

LONGEST_MESSAGE = 500
_LONGEST_READ = 4000
"""Characters of a complaint that are searched for its meaning."""

_CODES: dict[str, ModelFault] = {
    "context_length_exceeded": ModelFault.CONTEXT_LENGTH,
    "context_window_exceeded": ModelFault.CONTEXT_LENGTH,
    "exceed_context_size_error": ModelFault.CONTEXT_LENGTH,
    "string_above_max_length": ModelFault.CONTEXT_LENGTH,
    "request_too_large": ModelFault.CONTEXT_LENGTH,
    "insufficient_quota": ModelFault.QUOTA,
    "billing_hard_limit_reached": ModelFault.QUOTA,
    "billing_not_active": ModelFault.QUOTA,
    "billing_error": ModelFault.QUOTA,
    "budget_exceeded": ModelFault.QUOTA,
    "invalid_api_key": ModelFault.AUTH,
    "authentication_error": ModelFault.AUTH,
    "permission_error": ModelFault.AUTH,
    "unauthenticated": ModelFault.AUTH,
    "permission_denied": ModelFault.AUTH,
    "model_not_found": ModelFault.NOT_FOUND,
    "deployment_not_found": ModelFault.NOT_FOUND,
    "not_found_error": ModelFault.NOT_FOUND,
    "content_filter": ModelFault.BAD_REQUEST,
    "content_policy_violation": ModelFault.BAD_REQUEST,
    "overloaded_error": ModelFault.OVERLOADED,
    "engine_overloaded": ModelFault.OVERLOADED,
    "capacity_exceeded": ModelFault.OVERLOADED,
    "rate_limit_error": ModelFault.RATE_LIMIT,
    "rate_limit_exceeded": ModelFault.RATE_LIMIT,
    "timeout_error": ModelFault.TIMEOUT,
}
"""Codes and types that say more than the status they come with."""

_WEAK_CODES: dict[str, ModelFault] = {
    "server_error": ModelFault.SERVER,
    "internal_server_error": ModelFault.SERVER,
    "internal_error": ModelFault.SERVER,
    "api_error": ModelFault.SERVER,
    "unavailable": ModelFault.OVERLOADED,
    "resource_exhausted": ModelFault.RATE_LIMIT,
    "deadline_exceeded": ModelFault.TIMEOUT,
    "invalid_request_error": ModelFault.BAD_REQUEST,
    "bad_request": ModelFault.BAD_REQUEST,
}
"""Codes that count only where there is no status, as within a stream."""

_STATUSES: dict[int, ModelFault] = {
    401: ModelFault.AUTH,
    402: ModelFault.QUOTA,
    403: ModelFault.AUTH,
    404: ModelFault.NOT_FOUND,
    405: ModelFault.NOT_FOUND,
    408: ModelFault.TIMEOUT,
    409: ModelFault.SERVER,
    410: ModelFault.NOT_FOUND,
    413: ModelFault.CONTEXT_LENGTH,
    425: ModelFault.SERVER,
    429: ModelFault.RATE_LIMIT,
    498: ModelFault.OVERLOADED,
    503: ModelFault.OVERLOADED,
    504: ModelFault.TIMEOUT,
    522: ModelFault.TIMEOUT,
    524: ModelFault.TIMEOUT,
    529: ModelFault.OVERLOADED,
}

_CONTEXT = re.compile(
    r"(?i)(maximum|max|model'?s?) context (length|window|size)"
    r"|context[ _]?(length|window|size|limit)\b.{0,80}\b(exceed|overflow|too|greater|larger|limit)"
    r"|(exceed|overflow|too (long|large|big)|greater than|larger than|longer than).{0,80}\bcontext\b"
    r"|(prompt|input|request|conversation|messages?) (is |are |was |has been )?too (long|large)\b"
    r"|too many (input |prompt )?tokens\b(?! per)"
    r"|\b(input|prompt) tokens?.{0,60}\bexceed"
    r"|input token count.{0,60}\bexceeds?\b"
    r"|(reduce|shorten) the (length|size) of (the |your )?(messages?|prompt|input)"
    r"|maximum (allowed )?(input|prompt) (length|tokens|size)"
)
_NO_CONTEXT = re.compile(r"(?i)too many tokens, please wait")
_QUOTA = re.compile(
    r"(?i)(insufficient|exceeded your( current)?|out of|no remaining) (quota|balance|credits?|funds)"
    r"|credit balance is too low|billing|spending limit|budget has been exceeded|quota exceeded"
)
_NOT_FOUND = re.compile(
    r"(?i)\bmodel\b.{0,120}\b(does not exist|not found|not exist|is not a valid|not available|unknown)\b"
    r"|no such model|unknown model|invalid model|not a valid model|llm provider not provided|no endpoints? found"
)
_TEXTS: tuple[tuple[re.Pattern[str], ModelFault], ...] = (
    (re.compile(r"(?i)overloaded|at capacity|over capacity|no capacity|high demand"), ModelFault.OVERLOADED),
    (re.compile(r"(?i)rate[ _-]?limit|too many requests|per[ -]minute|requests per"), ModelFault.RATE_LIMIT),
    (_QUOTA, ModelFault.QUOTA),
    (
        re.compile(r"(?i)(invalid|incorrect|missing|no|bad).{0,40}api[ _-]?key|api_key client option|unauthori[sz]ed"),
        ModelFault.AUTH,
    ),
    (_NOT_FOUND, ModelFault.NOT_FOUND),
    (re.compile(r"(?i)timed? ?out|deadline"), ModelFault.TIMEOUT),
    (re.compile(r"(?i)connection (refused|reset|error|aborted)|connect(ion)? fail"), ModelFault.NETWORK),
)
_UNIT = r"(?:ms|milliseconds?|h(?:ours?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])"
_WAIT = re.compile(rf"(?i)\b(?:retry|try again|wait)\b[^.\n]{{0,40}}?\s((?:\d+(?:\.\d+)?\s*{_UNIT}\s*)+)")
_SPAN = re.compile(rf"(?i)(\d+(?:\.\d+)?)\s*({_UNIT})")
_BEARER = re.compile(r"(?i)\b(sk-[\w*-]{6,}|bearer\s+[^\s,;\"']{6,}|AIza[\w-]{20,})")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a provider said in place of a reply: its words, and the codes and types it gave, lower case."""

    text: str
    codes: tuple[str, ...] = ()
    status: int | None = None


def failure(
    complaint: Complaint,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    hide: Callable[[str], str] = str,
    now: float = 0.0,
) -> ModelError:
    """The error to raise. `hide` masks the provider's keys; `now` is Unix time, for a Retry-After that is a date."""
    complaint = replace(complaint, text=complaint.text[:_LONGEST_READ])
    known = status if status is not None else complaint.status
    waits = retry_after(headers or {}, now)
    if waits is None:
        waits = wait_in_text(complaint.text)
    fault = fault_of(complaint, known, waits)
    words = tidy(complaint.text, hide)
    label = f"HTTP {known}" if known is not None else ""
    message = ": ".join(part for part in (label, words) if part) or "the provider failed without saying why"
    return ModelError(message, fault=fault, retry_after=waits, status=known)


def fault_of(complaint: Complaint, status: int | None, waits: float | None = None) -> ModelFault:
    """The class of a complaint: its codes first, then its status, and texts where both leave it open.

    `waits` is the pause it asked for, in seconds: a quota that refills after one is a rate limit.
    """
    if _says_too_long(complaint.text, status):
        return ModelFault.CONTEXT_LENGTH
    for code in complaint.codes:
        if code in _CODES:
            return _CODES[code]
    if status is not None:
        return _by_status(complaint.text, status, waits)
    for code in complaint.codes:
        if code in _WEAK_CODES:
            return _WEAK_CODES[code]
    return _by_text(complaint.text) or ModelFault.SERVER


def _says_too_long(text: str, status: int | None) -> bool:
    """Too long in the many words for it; a status that means something else is believed."""
    open_to_it = status is None or status in (400, 413, 422, 429) or status == 500
    return open_to_it and bool(_CONTEXT.search(text)) and not _NO_CONTEXT.search(text)


def _by_status(text: str, status: int, waits: float | None) -> ModelFault:
    if status == 429:
        return ModelFault.QUOTA if waits is None and _QUOTA.search(text) else ModelFault.RATE_LIMIT
    if status in _STATUSES:
        return _STATUSES[status]
    said = _by_text(text)
    if status >= 500:
        return said if said in (ModelFault.OVERLOADED, ModelFault.RATE_LIMIT, ModelFault.TIMEOUT) else ModelFault.SERVER
    return said if said in (ModelFault.QUOTA, ModelFault.NOT_FOUND, ModelFault.AUTH) else ModelFault.BAD_REQUEST


def _by_text(text: str) -> ModelFault | None:
    return next((fault for pattern, fault in _TEXTS if pattern.search(text)), None)


def complaint_of(body: bytes | str) -> Complaint:
    """The complaint in the body of an error, whatever its shape; a web page is reduced to its title."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Complaint(_title(text) or text)
    return complaint_in(value)


def complaint_in(value: Any) -> Complaint:
    """The complaint in parsed JSON: `error` as an object or text, a list of them, `message`, or `detail`."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return Complaint(str(value))
    error = value.get("error")
    inner = error if isinstance(error, dict) else value
    text = error if isinstance(error, str) else _words(inner)
    names = [inner.get("code"), inner.get("type"), inner.get("status")]
    if inner is not value:
        names += [value.get("code"), value.get("type")]
    codes = tuple(name.lower() for name in names if isinstance(name, str) and name)
    numbers = [number for name in names if (number := _status(name)) is not None]
    return Complaint(text, codes, numbers[0] if numbers else None)


def _words(error: Mapping[str, Any]) -> str:
    message = error.get("message") or error.get("detail") or error.get("msg")
    text = message if isinstance(message, str) else json.dumps(message if message is not None else dict(error))
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{text} ({raw})" if isinstance(raw, str) and raw else text


def _status(value: Any) -> int | None:
    """A code that is an HTTP status, as a number or in digits."""
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else None


def _title(text: str) -> str:
    if "<html" not in text[:1000].lower():
        return ""
    found = re.search(r"(?is)<title[^>]*>(.{1,200}?)</title>", text)
    return f"a web page titled {' '.join(found[1].split())!r}" if found else "a web page"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The pause a provider asks for in seconds; header names in lower case. `now` is Unix time."""
    if (exact := _number(headers.get("retry-after-ms"))) is not None:
        return exact / 1000
    value = headers.get("retry-after", "")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None


def wait_in_text(text: str) -> float | None:
    """The pause asked for in words ("Please try again in 1m2.5s"), in seconds."""
    found = _WAIT.search(text)
    if found is None:
        return None
    return sum(float(number) * _seconds(unit.lower()) for number, unit in _SPAN.findall(found[1]))


def _seconds(unit: str) -> float:
    if unit.startswith(("ms", "milli")):
        return 0.001
    return {"s": 1.0, "m": 60.0, "h": 3600.0}[unit[0]]


def tidy(text: str, hide: Callable[[str], str] = str) -> str:
    """One line without keys, at most 500 characters.

    What is hidden is looked for in the text as it came: on one line, or cut, a secret would not be known any more.
    """
    words = " ".join(_BEARER.sub("[redacted]", hide(text)).split())
    return words if len(words) <= LONGEST_MESSAGE else words[: LONGEST_MESSAGE - 1] + "…"
