"""What a page says, as text a model can read; what is no text is refused."""

import codecs
import json
import re
from email.message import Message
from typing import Any

from acp_agent.domain.errors import ToolError
from acp_agent.tools.egress.http import Page
from acp_agent.tools.egress.page import text_of

_TEXT = re.compile(
    r"text/|application/(?:[\w.+-]*\+)?(?:json|xml|yaml|toml|javascript|ecmascript|x-ndjson|x-yaml|x-sh|sql|graphql)\b",
)
_HTML = ("text/html", "application/xhtml+xml")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
# Others are no encodings of text, or take hours for it.
_ENCODINGS = re.compile(
    r"utf[-_]?8|utf[-_]?16(?:[-_]?[lb]e)?|(?:us[-_])?ascii|iso[-_]?8859[-_]\d+|latin[-_]?1|windows[-_]125\d|cp125\d|koi8[-_][ru]"
    r"|shift[-_]jis|sjis|euc[-_](?:jp|kr)|gbk|gb2312|gb18030|big5",
    re.IGNORECASE,
)
_LOOKED_AT = 4_096


def readable(page: Page) -> str:
    """The text of a page: HTML as its reader sees it, JSON and other text as they are.

    Raises ToolError(kind="binary").
    """
    kind, charset = _kind_of(page.kind)
    if kind not in _HTML and not _TEXT.match(kind) and not _looks_like_text(page.body):
        raise ToolError(
            f"{page.address} is {kind or 'of no known kind'}, not text.",
            kind="binary",
            hint="Only pages, JSON and other text can be read.",
        )
    text = _decoded(page.body, charset, is_html=kind in _HTML)
    return text_of(text, str(page.address)) if kind in _HTML else text


def part_of(page: Page, pointer: str) -> str:
    """The part of a JSON answer at an RFC 6901 pointer, as JSON. Raises ToolError that says what there is instead."""
    if not page.is_whole:
        raise ToolError(f"{page.address} is longer than what is read of a page.", kind="too_large")
    try:
        value = json.loads(page.body)
    except (ValueError, RecursionError):
        raise ToolError(f"{page.address} is no JSON.", kind="not_json", hint="Ask without a pointer.") from None
    for step in pointer.split("/")[1:]:
        value = _step(value, step.replace("~1", "/").replace("~0", "~"), pointer)
    return json.dumps(value, ensure_ascii=False, indent=1)


def _step(value: Any, step: str, pointer: str) -> Any:
    if isinstance(value, dict) and step in value:
        return value[step]
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    raise ToolError(f"There is no {step!r} of {pointer!r}.", kind="not_found", hint=f"There is {_outline(value)}.")


def _outline(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(list(value)[:40]) or "an empty object"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "nothing below"


def _kind_of(header: str) -> tuple[str, str | None]:
    message = Message()
    message["Content-Type"] = header.replace("\r", "").replace("\n", "")
    charset = message.get_param("charset")
    return (message.get_content_type() if header else "", charset if isinstance(charset, str) else None)


def _looks_like_text(body: bytes) -> bool:
    start = body[:_LOOKED_AT]
    if b"\0" in start:
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(start)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(body: bytes, charset: str | None, *, is_html: bool) -> str:
    if body.startswith(codecs.BOM_UTF8):
        charset = "utf-8-sig"
    elif charset is None and is_html and (found := _CHARSET.search(body[:_LOOKED_AT])):
        charset = found[1].decode()
    if charset is None or not (charset == "utf-8-sig" or _ENCODINGS.fullmatch(charset)):
        charset = "utf-8"
    return body.decode(charset, errors="replace")
