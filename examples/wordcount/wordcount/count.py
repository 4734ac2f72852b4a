"""What is counted in a text."""

from typing import NamedTuple


class Counts(NamedTuple):
    """How much there is of each."""

    lines: int
    words: int
    characters: int


def count(text: str) -> Counts:
    """The lines, words and characters of `text`."""
    return Counts(lines=len(text.splitlines()), words=count_words(text), characters=len(text))


def count_words(text: str) -> int:
    """How many words there are in `text`."""
    return len(text.split(" "))
