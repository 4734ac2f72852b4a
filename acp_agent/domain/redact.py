"""Redaction: secrets never reach the model, the record, logs or a surface; known ones by value, others by their shape.

What is masked of a text is the union of all matches, each decided by the text it spans and two characters before. So a
text that comes in pieces is masked as the whole is, wherever it was cut (`Redactor.stream`).
"""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from acp_agent.domain import secret_shapes
from acp_agent.domain.secret_forms import MIN_LENGTH, Forms
from acp_agent.domain.secret_shapes import Span

SECRET_NAME = re.compile(r"(?i)(api_?key|token|secret|passw(or)?d|credential|private_?key|access_?key)s?$")
MASK = "[redacted]"
_PLAIN = frozenset({"changeme", "disabled", "optional", "password", "required", "undefined"})
"""Values that are words, whatever the name of their variable: they would be masked in plain text."""


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the variables whose name says they are secret, and the passwords of those that are URLs.

    Shorter ones than 8 characters would mask plain words.
    """
    named = [value.strip() for name, value in environ.items() if SECRET_NAME.search(name)]
    in_urls = [password for value in environ.values() for password in _passwords(value)]
    found = dict.fromkeys((*named, *in_urls))
    return tuple(value for value in found if len(value) >= MIN_LENGTH and value.lower() not in _PLAIN)


def _passwords(value: str) -> tuple[str, ...]:
    """The password of a URL, as it stands there and as it is."""
    if "://" not in value or "@" not in value:
        return ()
    try:
        password = urlsplit(value).password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()


class Redactor:
    """Masks known secrets in every form of theirs, and what has the shape of one. It can learn more secrets.

    About 30 ms for a text of 1 MB.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secrets)
        self._forms = Forms(self._secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these too from now on, in all threads."""
        learnt = self._secrets.union(secrets)
        if learnt != self._secrets:
            self._secrets, self._forms = learnt, Forms(learnt)

    def enter(self, place: str) -> None:
        """A run is going to work in the directory `place`; who can read what secrets it holds learns them here."""

    def __call__(self, text: str) -> str:
        """`text` with `[redacted]` in place of every secret."""
        return masked(text, found) if (found := self.spans(text)) else text

    def listing(self, text: str) -> str:
        """The same for lines with labels (numbers, or files and numbers): they may break a secret, label and all."""
        shown = self(text)
        found = [Span(low, low, high) for low, high in self._forms.spans(shown, labelled=True)]
        return masked(shown, _joined(found)) if found else shown

    def finds(self, text: str) -> bool:
        """Whether there is a secret in `text`."""
        return bool(self.spans(text))

    def spans(self, text: str, start: int = 0) -> list[Span]:
        """What is masked of `text` for matches that begin at `start` or later: in order, apart from one another."""
        known = (Span(low, low, high) for low, high in self._forms.spans(text, start))
        return _joined((*known, *secret_shapes.spans(text, start)))

    def look(self, text: str, start: int = 0) -> tuple[list[Span], int]:
        """The same of what is whole in `text`, and from where on more text may change what is masked of it."""
        known, known_until = self._forms.look(text, start)
        shaped, shaped_until = secret_shapes.look(text, start)
        if not known and not shaped:
            return [], min(known_until, shaped_until)
        spans = (*(Span(low, low, high) for low, high in known), *shaped)
        return _joined(spans), min(known_until, shaped_until)

    def stream(self) -> "StreamRedactor":
        """A redactor of one text that comes in pieces."""
        return StreamRedactor(self)


class StreamRedactor:
    """Masks a text that comes in pieces as if it had come whole.

    It holds back only what may yet turn out to be a secret, at most as long as the longest one.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._text = ""
        self._told = 0

    def feed(self, piece: str) -> str:
        """What of the text up to and with `piece` can be told now."""
        self._text += piece
        spans, until = self._redactor.look(self._text, self._told)
        # A match is told whole, or not yet.
        while crossed := [span.begin for span in spans if span.begin < until < span.high]:
            until = min(crossed)
        return self._tell(until, [span for span in spans if span.high <= until])

    def flush(self) -> str:
        """The rest: the text has ended."""
        return self._tell(len(self._text), self._redactor.spans(self._text, self._told))

    def _tell(self, until: int, spans: list[Span]) -> str:
        told = masked(self._text[:until], spans, self._told) if spans else self._text[self._told : until]
        start = max(0, until - secret_shapes.CONTEXT)
        self._text, self._told = self._text[start:], until - start
        return told


def _joined(spans: Iterable[Span]) -> list[Span]:
    """`spans` in order, those that overlap as one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.low):
        if joined and span.low < joined[-1].high:
            last = joined[-1]
            joined[-1] = Span(min(last.begin, span.begin), last.low, max(last.high, span.high))
        else:
            joined.append(span)
    return joined


def masked(text: str, spans: Iterable[Span], start: int = 0) -> str:
    """`text` from `start` on with each of `spans` masked."""
    parts: list[str] = []
    for span in spans:
        parts += (text[start : span.low], MASK)
        start = span.high
    return "".join((*parts, text[start:]))
