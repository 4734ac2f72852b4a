"""How many lines of Python `groups` runs for a fixed list of words: a measure of work, the same on every machine."""

import itertools
import os
import sys
from types import FrameType
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from anagrams.find import groups  # noqa: E402

WORDS = ["".join(letters) for length in (3, 4) for letters in itertools.permutations("stop"[:length])][:24] + [
    f"word{number}" for number in range(36)
]


def main() -> int:
    """Print the number."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        if frame.f_code.co_filename.startswith(os.path.join(ROOT, "anagrams")):
            steps += event == "line"
            return trace
        return None

    sys.settrace(trace)
    try:
        groups(WORDS)
    finally:
        sys.settrace(None)
    sys.stdout.write(f"{steps}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
