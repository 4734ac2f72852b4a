"""What a person may have meant by a name that does not exist."""

from collections.abc import Collection
from difflib import get_close_matches

from acp_agent.config.names import printable

FEW = 12


def nearest(name: str, known: Collection[str]) -> str | None:
    """A hint with the known name closest to `name`; without a close one, all known names if they are few."""
    if close := get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {printable(close[0])}?"
    return f"known: {', '.join(sorted(known))}" if 0 < len(known) <= FEW else None
