"""Markdown of a model as rich draws it: nothing hidden, nothing that can drive or disguise the terminal."""

from typing import ClassVar

from markdown_it import MarkdownIt
from rich.markdown import Heading, Markdown
from rich.theme import Theme

from acp_agent.surfaces.cli.text import plain

CODE_THEME = "ansi_dark"
"""The terminal's own colours without a background: it reads on light and dark alike."""

THEME = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "italic",
        "markdown.code": "cyan",
        "markdown.link": "underline",
        "markdown.link_url": "dim",
    }
)
"""Quieter than rich's own: a chat is no manual page."""

# HTML would be left out of the picture, and an entity could spell a character that was written out before.
_PARSER = MarkdownIt().enable(["strikethrough", "table"]).disable(["html_block", "html_inline", "entity"])


class _Heading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _Document(Markdown):
    elements: ClassVar = {**Markdown.elements, "heading_open": _Heading}


def rendered(text: str) -> Markdown:
    """`text` ready to be printed; links show where they lead."""
    document = _Document("", code_theme=CODE_THEME, hyperlinks=False)
    document.parsed = _PARSER.parse(plain(text))
    return document
