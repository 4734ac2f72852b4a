"""What secrets look like that nobody told us: tokens of well-known providers, keys, passwords in URLs and headers.

A shape begins with a literal, its head, and goes on with runs of characters. So a text without any head costs a search
for the heads and nothing else, every match is decided by what lies within its own length, and a beginning that may yet
become a match can be told, which a stream needs. No shape matches what is merely random: commit ids, UUIDs, hashes of
lock files and base64 images have no head. What is plainly an example is left alone (`check`).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


class Span(NamedTuple):
    """What is to be masked: from `low` to `high`; `begin` is where the match began that says so."""

    begin: int
    low: int
    high: int


# A head counts where a word begins; in JSON and source a word also begins behind an escaped line break.
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf]))"
# Where a run has no near end, it must not begin again at each of its own hyphens: the work would grow with its square.
_BEGIN_APART = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf]))"
CONTEXT = 2
"""Characters before a match that decide whether it is one."""
_END = r"(?![A-Za-z0-9])"
_PLACEHOLDER = re.compile(r"(?i)example|placeholder|your[_-]|x{5}|\*{4}|\.{4}")
_HARMLESS_PASSWORDS = frozenset(
    {"password", "passwd", "pass", "pw", "pwd", "secret", "user", "username", "token", "test"}
)
_VARIED = 8
"""Different characters that random text of the length of a token always has."""


@dataclass(frozen=True)
class Run:
    """From `least` to `most` characters of the class `characters`; a literal where it is given alone."""

    characters: str
    least: int
    most: int


@dataclass(frozen=True)
class Shape:
    """A head and the runs behind it. `kept` runs stay visible, and the head with them; `end` is what must follow.

    `check` looks at what stays of a match and at what would be masked, and may find that harmless.
    """

    head: str
    runs: tuple[Run, ...]
    kept: int | None = None
    begin: str = _BEGIN
    end: str = ""
    check: Callable[[str, str], bool] = lambda _kept, secret: looks_random(secret)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The whole shape; group 1 is what is masked."""
        runs = [f"[{run.characters}]{{{run.least},{run.most}}}+" for run in self.runs]
        head = re.escape(self.head)
        kept = self.kept
        text = f"({head}{''.join(runs)})" if kept is None else f"{head}{''.join(runs[:kept])}({''.join(runs[kept:])})"
        return re.compile(f"{self.begin}{text}{self.end}")

    @cached_property
    def beginning(self) -> str:
        """A pattern of everything that the shape can begin with."""
        text = ""
        for run in reversed(self.runs):
            text = f"[{run.characters}]{{0,{run.most}}}" + (f"(?:{text})?" if text else "")
        for character in reversed(self.head[1:]):
            text = f"(?:{re.escape(character)}{text})?"
        return f"{self.begin}{re.escape(self.head[0])}{text}"

    @cached_property
    def unfinished(self) -> re.Pattern[str]:
        """The whole head, and a beginning of the runs behind it up to the end of the text."""
        return re.compile(rf"{self.beginning}\Z")


def looks_random(secret: str) -> bool:
    """Whether a token may be real: digits and letters, many different ones, and no word for an example."""
    return (
        len(set(secret)) >= _VARIED
        and any(map(str.isdigit, secret))
        and any(map(str.isalpha, secret))
        and not _PLACEHOLDER.search(secret)
    )


def _is_password(kept: str, secret: str) -> bool:
    """A password in a URL: no reference to one, no word for one, not the user's name again."""
    user = kept.removeprefix("://").removesuffix(":")
    return secret[0] not in "$%{<*[" and secret.lower() not in _HARMLESS_PASSWORDS | {user.lower(), f"{user.lower()}:"}


_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{16}")


def _is_key(_kept: str, secret: str) -> bool:
    """The body of a private key, not the source code around the words for one."""
    return _KEY_LINE.search(secret[:96]) is not None and looks_random(secret) and "(" not in secret


_WORD, _URLSAFE, _HEX, _UPPER = "A-Za-z0-9", "A-Za-z0-9_-", "a-f0-9", "A-Z0-9"
_B64 = "A-Za-z0-9+/="


def _tokens(characters: str, least: int, most: int, *heads: str, end: str = "") -> list[Shape]:
    return [Shape(head, (Run(characters, least, most),), end=end) for head in heads]


_GAP = r"\s:=\"'\\"
SHAPES: tuple[Shape, ...] = (
    *_tokens(_URLSAFE, 20, 300, "sk-"),  # OpenAI, Anthropic, OpenRouter, DeepSeek and others
    *_tokens(_WORD, 30, 255, "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    *_tokens("A-Za-z0-9_", 40, 255, "github_pat_"),
    *_tokens(_URLSAFE, 20, 120, "glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-", "glagent-"),
    *_tokens(_UPPER, 16, 16, "AKIA", "ASIA", end=_END),
    *_tokens(_URLSAFE, 35, 35, "AIza", end=_END),
    *_tokens(_URLSAFE, 20, 400, "ya29.", "GOCSPX-"),
    *_tokens("A-Za-z0-9-", 16, 255, "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-"),
    *_tokens(_WORD, 16, 255, "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"),
    *_tokens(_WORD, 36, 36, "npm_", end=_END),
    *_tokens(_URLSAFE, 50, 400, "pypi-AgE"),
    *_tokens(_WORD, 30, 100, "hf_", "gsk_", "r8_", "xai-", "pplx-", "lin_api_", "nvapi-"),
    *_tokens(_URLSAFE, 20, 200, "dckr_pat_", "glsa_", "hvs.", "tskey-", "dop_v1_", "shpat_", "ATATT3"),
    *_tokens(_UPPER, 58, 58, "AGE-SECRET-KEY-1"),
    Shape("SG.", (Run(_URLSAFE, 22, 22), Run(".", 1, 1), Run(_URLSAFE, 43, 43))),
    # A JSON Web Token: a header that begins as JSON does, a payload, a signature.
    Shape(
        "eyJ",
        (Run(_URLSAFE, 10, 4000), Run(".", 1, 1), Run(_URLSAFE, 10, 8000), Run(".", 1, 1), Run(_URLSAFE, 10, 1000)),
        begin=_BEGIN_APART,
    ),
    Shape("hooks.slack.com/services/", (Run("A-Za-z0-9/", 30, 100),), kept=0, begin=""),
    *(
        Shape(head, (Run(_GAP, 1, 8), Run("A-Za-z0-9/+", 40, 40)), kept=1, begin="", end=_END)
        for head in ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "SecretAccessKey")
    ),
    Shape("_authToken", (Run("=", 1, 1), Run(_B64 + "_-", 16, 400)), kept=1, begin=""),
    *(Shape(head, (Run(" ", 1, 1), Run(_B64 + "._~-", 20, 4000)), kept=1) for head in ("Bearer", "bearer")),
    *(
        Shape(
            head,
            (Run(_GAP, 1, 8), Run("A-Za-z", 3, 10), Run(" ", 1, 1), Run(_B64 + "._~-", 16, 4000)),
            kept=3,
            begin="",
        )
        for head in ("Authorization", "authorization")
    ),
    Shape(
        "://",
        (Run(r"^\s:/@\"'<>`", 0, 100), Run(":", 1, 1), Run(r"^\s/@\"'<>`", 3, 200)),
        kept=2,
        begin="",
        end="(?=@)",
        check=_is_password,
    ),
    *(
        Shape(
            f"-----BEGIN {kind}PRIVATE KEY{block}-----",
            (Run(_B64 + r"\s\\\"',", 64, 16_000),),
            kept=0,
            begin="",
            check=_is_key,
        )
        for kind, block in (
            ("", ""),
            ("RSA ", ""),
            ("EC ", ""),
            ("DSA ", ""),
            ("OPENSSH ", ""),
            ("ENCRYPTED ", ""),
            ("PGP ", " BLOCK"),
        )
    ),
)


def _by_head() -> dict[str, tuple[Shape, ...]]:
    heads = dict.fromkeys(shape.head for shape in SHAPES)
    return {head: tuple(shape for shape in SHAPES if shape.head == head) for head in heads}


def _parts_of_heads() -> dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]]:
    """By its last character: the parts that heads begin with; and each with what must stand before it, longer first."""
    parts = {(shape.head[:length], shape.begin) for shape in SHAPES for length in range(1, len(shape.head))}
    found: dict[str, list[tuple[str, str]]] = {}
    for part in sorted(parts, key=lambda part: -len(part[0])):
        found.setdefault(part[0][-1], []).append(part)
    return {last: (tuple(part for part, _ in those), tuple(those)) for last, those in found.items()}


def _one_of(words: Iterable[str]) -> str:
    """A pattern of every one of `words`, which looks at each character once."""
    rests: dict[str, list[str]] = {}
    for word in words:
        if not word:
            return ""
        rests.setdefault(word[0], []).append(word[1:])
    return f"(?:{'|'.join(re.escape(first) + _one_of(those) for first, those in rests.items())})"


_BY_HEAD = _by_head()
_ANY_HEAD = re.compile(_one_of(_BY_HEAD))
_SHORT = 256
_PARTS = _parts_of_heads()
LONGEST = max(len(shape.head) + sum(run.most for run in shape.runs) for shape in SHAPES)
"""Characters of the longest match."""


def spans(text: str, start: int = 0) -> Iterator[Span]:
    """What to mask of `text`, for every match that begins at `start` or later; in no order, and they may overlap."""
    return _matches(text, _heads(text, start))


def look(text: str, start: int = 0) -> tuple[list[Span], int]:
    """The same, and the first place from `start` on where a match may have begun that more text decides.

    That is the length of `text` where there is none.
    """
    undecided = _part_of_a_head(text, start)
    heads = list(_heads(text, start))
    for shape, at in heads:
        if at < undecided and shape.unfinished.match(text, at):
            undecided = at
    return list(_matches(text, heads)), undecided


def _matches(text: str, heads: Iterable[tuple[Shape, int]]) -> Iterator[Span]:
    for shape, at in heads:
        match = shape.pattern.match(text, at)
        if match and shape.check(text[at : match.start(1)], match[1]):
            yield Span(at, *match.span(1))


def _heads(text: str, start: int) -> Iterator[tuple[Shape, int]]:
    """Every head in `text` from `start` on, as the beginning of each shape that has it."""
    # Most texts have no head at all: that is seen before anything is made to look for places.
    if has_no_head(text):
        return iter(())
    there = [head for head in _BY_HEAD if head in text]
    return ((shape, at) for head in there for at in _places(text, head, start) for shape in _BY_HEAD[head])


def has_no_head(text: str) -> bool:
    """Whether a short text has none. One walk over a word is cheaper than a search for each, and dearer over a page."""
    return len(text) <= _SHORT and _ANY_HEAD.search(text) is None


def begins(pattern: re.Pattern[str], text: str, start: int) -> Iterator[int]:
    """Every place from `start` on where `pattern` matches, also within another match."""
    match = pattern.search(text, start)
    while match:
        yield match.start()
        match = pattern.search(text, match.start() + 1)


def _places(text: str, head: str, start: int) -> Iterator[int]:
    at = text.find(head, start)
    while at >= 0:
        yield at
        at = text.find(head, at + 1)


def _part_of_a_head(text: str, start: int) -> int:
    """Where the longest part of a head begins that `text` ends with."""
    parts, with_begins = _PARTS.get(text[-1:], ((), ()))
    if not text.endswith(parts):
        return len(text)
    for part, begin in with_begins:
        at = len(text) - len(part)
        if at >= start and text.endswith(part) and re.compile(begin).match(text, at):
            return at
    return len(text)
