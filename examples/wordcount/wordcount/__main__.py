"""The command: one line for each file."""

import sys
from pathlib import Path

from wordcount.count import count


def main(names: list[str]) -> int:
    """Write the counts of each file to standard output."""
    for name in names:
        counts = count(Path(name).read_text(encoding="utf-8"))
        sys.stdout.write(f"{counts.lines:6} {counts.words:6} {counts.characters:6} {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
