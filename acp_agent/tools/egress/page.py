"""A web page as text: one pass over its tags, whatever they look like.

Written for pages that strangers made: time grows with length alone. (Measured on half a megabyte of hostile tags, the
standard library's HTMLParser and the tree builders in C took minutes on one kind each.)
"""

import html
import re
from urllib.parse import urljoin

_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]*)")
_END_OR_QUOTE = re.compile(r"[>\"']")
_ATTRIBUTE = re.compile(r"([^\s=/>\"']+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?")
_SPACES = re.compile(r"[ \t\r\n\f\v]+")
_RAW = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "textarea", "xmp", "iframe")}
_UNSEEN = frozenset(("head", "noscript", "object", "svg", "math", "template", "select", "datalist"))
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_PARAGRAPHS = frozenset(("blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"))
_LINES = frozenset((
    "address", "article", "aside", "body", "br", "dd", "details", "div", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "header", "hr", "li", "main", "nav", "section", "summary", "title", "tr",
))  # fmt: skip
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_LONGEST_TAG = 8_192
_LONGEST_GAP = 32


def text_of(page: str, address: str) -> str:
    """What a reader of `page` sees: headings, lists and links kept, scripts and hidden parts not.

    `address` is where it came from, for links that are relative.
    """
    reader = _Reader(address)
    place = 0
    while (found := page.find("<", place)) >= 0:
        reader.text(page[place:found])
        place = _after_markup(page, found, reader)
    reader.text(page[place:])
    return reader.whole()


def _after_markup(page: str, start: int, reader: "_Reader") -> int:
    """Read what begins with the `<` at `start`; where it ends. What never ends is the end of the page."""
    if page.startswith("<!--", start):
        return _after(page, "-->", start + 4)
    if page.startswith(("<!", "<?"), start):
        return _after(page, ">", start)
    name = _NAME.match(page, start + 1)
    if name is None:
        reader.text("<")
        return start + 1
    end = _tag_end(page, name.end())
    tag = name[1].lower()
    if page[start + 1] == "/":
        reader.closed(tag)
    elif tag in _RAW:
        close = _RAW[tag].search(page, end)
        return len(page) if close is None else _after(page, ">", close.start())
    else:
        reader.opened(tag, _attributes(page[name.end() : min(end, name.end() + _LONGEST_TAG)]))
    return end


def _after(page: str, mark: str, start: int) -> int:
    found = page.find(mark, start)
    return len(page) if found < 0 else found + len(mark)


def _tag_end(page: str, start: int) -> int:
    """Behind the `>` of a tag; a quote that follows an equals sign hides one."""
    place = start
    while (found := _END_OR_QUOTE.search(page, place)) is not None:
        place = found.end()
        if found[0] == ">":
            return place
        if page[max(start, found.start() - _LONGEST_GAP) : found.start()].rstrip().endswith("="):
            place = _after(page, found[0], place)
    return len(page)


def _attributes(written: str) -> dict[str, str]:
    return {
        found[1].lower(): html.unescape(found[2] or found[3] or found[4] or "")
        for found in _ATTRIBUTE.finditer(written)
    }


class _Reader:
    """The page as it becomes text. `hidden` is the element not shown, with how many of its name are open inside."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.lines: list[str] = []
        self.line: list[str] = []
        self.hidden: tuple[str, int] | None = None
        self.in_pre = 0
        self.link: str | None = None

    def text(self, written: str) -> None:
        """A stretch without markup."""
        if not written or self.hidden is not None:
            return
        text = html.unescape(written)
        if not self.in_pre:
            self.line.append(_SPACES.sub(" ", text))
            return
        first, *others = text.split("\n")
        self.line.append(first)
        for other in others:
            self._end_line()
            self.line.append(other)

    def opened(self, tag: str, attributes: dict[str, str]) -> None:
        """An opening tag."""
        if self.hidden is not None:
            name, depth = self.hidden
            if tag == "title" and name == "head":
                # The one part of a head that a reader sees.
                self.hidden = None
                self._break("title")
            elif tag == name:
                self.hidden = (name, depth + 1)
            return
        self._break(tag)
        if tag in _UNSEEN or (tag not in _VOID and _is_hidden(attributes)):
            self.hidden = (tag, 1)
        elif tag == "a":
            self.link = attributes.get("href")
        elif tag == "img" and attributes.get("alt"):
            self.line.append(f"[image: {attributes['alt']}]")
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.line.append("#" * int(tag[1]) + " ")
        elif tag == "li":
            self.line.append("- ")
        elif tag in ("td", "th") and self.line:
            self.line.append(" | ")
        self.in_pre += tag == "pre"

    def closed(self, tag: str) -> None:
        """A closing tag, which nothing may have opened."""
        if self.hidden is not None:
            name, depth = self.hidden
            if tag == name:
                self.hidden = None if depth == 1 else (name, depth - 1)
            return
        if tag == "a" and self.link:
            self._end_link(self.link)
            self.link = None
        self._break(tag)
        self.in_pre -= tag == "pre" and self.in_pre > 0
        if tag == "title":
            self.hidden = ("head", 1)

    def whole(self) -> str:
        """The text of all that was read."""
        self._end_line()
        return "\n".join(self.lines).strip("\n")

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS or tag in _LINES:
            self._end_line()
        if tag in _PARAGRAPHS and self.lines and self.lines[-1]:
            self.lines.append("")

    def _end_line(self) -> None:
        line = "".join(self.line)
        self.line.clear()
        if self.in_pre:
            self.lines.append(line.rstrip())
        elif line.strip():
            self.lines.append(_SPACES.sub(" ", line).strip())

    def _end_link(self, href: str) -> None:
        try:
            target = urljoin(self.address, href.strip())
        except ValueError:
            # An address that is none, such as one with a broken IPv6 host.
            return
        if target.startswith(("http://", "https://")) and target != self.address and "#" not in href[:1]:
            self.line.append(f" ({target})")


def _is_hidden(attributes: dict[str, str]) -> bool:
    return "hidden" in attributes or bool(_HIDING.search(attributes.get("style", "")))
