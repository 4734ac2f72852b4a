"""The words of one reply on their way to who watches: masked as the whole reply will be, wherever it was cut."""

from collections.abc import Callable

from acp_agent.domain.message import Word
from acp_agent.domain.progress import moved
from acp_agent.domain.redact import Redactor


class Hearing:
    """Hears the words of one reply and tells them on. What may be the beginning of a secret waits for the next word."""

    def __init__(self, redact: Redactor, tell: Callable[[Word], None]) -> None:
        self._tell = tell
        self._streams = {"text": redact.stream(), "reasoning": redact.stream()}
        self._said: list[str] = []
        self.any = False

    @property
    def said(self) -> str:
        """The text so far, as the model said it."""
        return "".join(self._said)

    def word(self, word: Word) -> None:
        """A word as it comes from the model."""
        self.any = True
        moved()
        if word.kind == "text":
            self._said.append(word.text)
        self._pass(word, self._streams[word.kind].feed(word.text))

    def end(self) -> None:
        """The reply is over: what waited is told."""
        self._pass(Word(kind="reasoning", text=""), self._streams["reasoning"].flush())
        self._pass(Word(kind="text", text=""), self._streams["text"].flush())

    def _pass(self, word: Word, text: str) -> None:
        if text:
            self._tell(word if text == word.text else Word(kind=word.kind, text=text))
