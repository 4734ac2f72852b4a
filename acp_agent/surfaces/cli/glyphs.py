"""States as a glyph and a word: meaning never rests on colour or on a glyph alone."""

from typing import IO, NamedTuple


class Look(NamedTuple):
    """How one state looks: a glyph, its ASCII form, and a colour that rich and click know."""

    glyph: str
    ascii: str
    colour: str


LOOKS = {
    "queued": Look("·", ".", "white"),
    "running": Look("●", "*", "cyan"),
    "waiting": Look("◆", "?", "yellow"),
    "paused": Look("‖", "=", "yellow"),
    "interrupted": Look("◌", "~", "yellow"),
    "ok": Look("✓", "+", "green"),
    "failed": Look("✗", "x", "red"),
    "limit": Look("▲", "!", "yellow"),
    "cancelled": Look("○", "-", "magenta"),
    "accepted": Look("✓", "+", "green"),
    "rejected": Look("○", "-", "magenta"),
}
_OTHER = Look("•", "-", "white")


def speaks_unicode(stream: IO[str]) -> bool:
    """Whether `stream` can show more than ASCII."""
    return (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")


def label(state: str, unicode: bool) -> str:
    """`✓ ok`, or `+ ok` where only ASCII can be shown."""
    look = LOOKS.get(state, _OTHER)
    return f"{look.glyph if unicode else look.ascii} {state}"


def colour(state: str) -> str:
    """The colour of a state."""
    return LOOKS.get(state, _OTHER).colour


def at_least(unicode: bool) -> str:
    """The mark of a lower bound."""
    return "≥" if unicode else ">="
