"""The class of a failure, from codes, statuses and words."""

import json
from email.utils import formatdate
from typing import Any

import pytest

from acp_agent.domain.errors import ModelFault as Fault
from acp_agent.llm.faults import complaint_of, failure, retry_after, tidy, wait_in_text


def fault(status: int | None, message: str = "", *, code: Any = None, kind: Any = None) -> Fault:
    body = json.dumps({"error": {"message": message, "code": code, "type": kind}})
    return failure(complaint_of(body), status=status).fault


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Fault.BAD_REQUEST),
        (401, Fault.AUTH),
        (402, Fault.QUOTA),
        (403, Fault.AUTH),
        (404, Fault.NOT_FOUND),
        (405, Fault.NOT_FOUND),
        (408, Fault.TIMEOUT),
        (409, Fault.SERVER),
        (413, Fault.CONTEXT_LENGTH),
        (418, Fault.BAD_REQUEST),
        (422, Fault.BAD_REQUEST),
        (429, Fault.RATE_LIMIT),
        (500, Fault.SERVER),
        (502, Fault.SERVER),
        (503, Fault.OVERLOADED),
        (504, Fault.TIMEOUT),
        (524, Fault.TIMEOUT),
        (529, Fault.OVERLOADED),
        (302, Fault.BAD_REQUEST),
    ],
)
def test_a_status_alone_decides(status: int, expected: Fault) -> None:
    assert fault(status, "it went wrong") is expected


@pytest.mark.parametrize(
    ("status", "code", "kind", "expected"),
    [
        (400, "context_length_exceeded", "invalid_request_error", Fault.CONTEXT_LENGTH),
        (400, None, "exceed_context_size_error", Fault.CONTEXT_LENGTH),
        (429, "insufficient_quota", "insufficient_quota", Fault.QUOTA),
        (429, "rate_limit_exceeded", "requests", Fault.RATE_LIMIT),
        (400, "invalid_api_key", None, Fault.AUTH),
        (400, "model_not_found", None, Fault.NOT_FOUND),
        (400, "content_filter", None, Fault.BAD_REQUEST),
        (400, None, "budget_exceeded", Fault.QUOTA),
        (500, None, "overloaded_error", Fault.OVERLOADED),
        (None, None, "overloaded_error", Fault.OVERLOADED),
        (None, 502, None, Fault.SERVER),
        (None, "429", None, Fault.RATE_LIMIT),
        (None, None, "server_error", Fault.SERVER),
        (None, None, "invalid_request_error", Fault.BAD_REQUEST),
        (None, None, None, Fault.SERVER),
    ],
)
def test_a_code_says_more_than_its_status(status: int | None, code: Any, kind: Any, expected: Fault) -> None:
    assert fault(status, "no words that help", code=code, kind=kind) is expected


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
        "maximum context length is 8192 tokens",
        "prompt is too long: 212345 tokens > 200000 maximum",
        "input is too long for requested model",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "the request exceeds the available context size. try increasing the context size",
        "Requested tokens (5000) exceed context window of 4096",
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        "Please reduce the length of the messages or completion.",
        "This endpoint's maximum context length is 131072 tokens",
        "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
        "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "too many input tokens: 300000",
    ],
)
@pytest.mark.parametrize("status", [400, 413, 500, None])
def test_too_long_is_known_in_its_many_words(words: str, status: int | None) -> None:
    assert fault(status, words) is Fault.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (429, "You exceeded your current quota, please check your plan and billing details.", Fault.QUOTA),
        (429, "You exceeded your current quota. Please retry in 34.07s.", Fault.RATE_LIMIT),
        (429, "Too many tokens, please wait before trying again.", Fault.RATE_LIMIT),
        (429, "Rate limit reached: too many input tokens per minute", Fault.RATE_LIMIT),
        (400, "Your credit balance is too low to access the API.", Fault.QUOTA),
        (400, "The model `gpt-9` does not exist or you do not have access to it.", Fault.NOT_FOUND),
        (400, "gpt-9 is not a valid model ID", Fault.NOT_FOUND),
        (400, "Invalid model name passed in model=x", Fault.NOT_FOUND),
        (400, "LLM Provider NOT provided. Pass in the LLM provider you are trying to call.", Fault.NOT_FOUND),
        (400, "API key not valid: invalid API key", Fault.AUTH),
        (400, "messages: text content blocks must be non-empty", Fault.BAD_REQUEST),
        (500, "The engine is currently overloaded, please try again later", Fault.OVERLOADED),
        (500, "upstream request timed out", Fault.TIMEOUT),
        (500, "model not found in cache", Fault.SERVER),
        (401, "context length of the key is too long", Fault.AUTH),
        (None, "Rate limit reached for requests", Fault.RATE_LIMIT),
        (None, "Provider returned error: Overloaded", Fault.OVERLOADED),
    ],
)
def test_words_decide_where_the_status_leaves_it_open(status: int | None, words: str, expected: Fault) -> None:
    assert fault(status, words) is expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"boom","type":"x"}}', "HTTP 500: boom"),
        (b'[{"error":{"message":"boom","status":"INTERNAL"}}]', "HTTP 500: boom"),
        (b'{"error":"boom"}', "HTTP 500: boom"),
        (b'{"object":"error","message":"boom","code":500}', "HTTP 500: boom"),
        (b'{"detail":"boom"}', "HTTP 500: boom"),
        (b'{"detail":[{"loc":["body"],"msg":"boom"}]}', 'HTTP 500: [{"loc": ["body"], "msg": "boom"}]'),
        (
            b'{"error":{"message":"Provider returned error","metadata":{"raw":"boom"}}}',
            "HTTP 500: Provider returned error (boom)",
        ),
        (b"boom\nand more", "HTTP 500: boom and more"),
        (
            b"<!doctype html><html><head><title>502\n Bad Gateway</title>",
            "HTTP 500: a web page titled '502 Bad Gateway'",
        ),
        (b"", "HTTP 500"),
        (b"\xff\xfe", "HTTP 500: ��"),
        (b"[" * 100_000, "HTTP 500: " + "[" * 499 + "…"),
    ],
)
def test_the_message_is_found_in_any_shape_of_body(body: bytes, message: str) -> None:
    assert failure(complaint_of(body), status=500).message == message


def test_keys_never_reach_a_message() -> None:
    body = b'{"error":{"message":"Incorrect key short1 given, header Bearer abcdefgh, also sk-proj-abc123***"}}'
    message = failure(complaint_of(body), status=401, hide=lambda text: text.replace("short1", "[redacted]")).message
    assert message == "HTTP 401: Incorrect key [redacted] given, header [redacted], also [redacted]"


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0.0),
        ({"retry-after": "9", "retry-after-ms": "1500"}, 1.5),
    ],
)
def test_the_pause_comes_from_the_headers(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(headers, NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Please try again in 20s.", 20.0),
        ("Please try again in 1m2.5s. Visit the site", 62.5),
        ("Please retry in 34.074824224s.", 34.074824224),
        ("try again in 250ms", 0.25),
        ("Please wait 5 seconds", 5.0),
        ("Retry after 2 minutes", 120.0),
        ("Please try again in 10 model years", None),
        ("limit 20s", None),
    ],
)
def test_the_pause_is_read_from_words(text: str, expected: float | None) -> None:
    assert wait_in_text(text) == pytest.approx(expected)


def test_a_header_goes_before_words() -> None:
    error = failure(complaint_of("try again in 20s"), status=429, headers={"retry-after": "3"})
    assert (error.fault, error.retry_after, error.status) == (Fault.RATE_LIMIT, 3.0, 429)


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert tidy("a\n\n b\tc") == "a b c"
    assert len(tidy("x" * 5000)) == 500
