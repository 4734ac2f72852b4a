"""Searches files for a regular expression, run as a program: Python's `re` cannot be interrupted from within.

Reads one JSON object from stdin: `root`, `names`, `pattern`, `ignore_case`, `largest`. Prints what `git grep -nz`
prints. Exit status 0, or 3 with a message where the pattern is invalid.
"""

import json
import os
import re
import sys
from collections.abc import Iterator


def main() -> int:
    """Print every matching line of the named files."""
    request = json.loads(sys.stdin.buffer.read())
    try:
        pattern = re.compile(request["pattern"], re.IGNORECASE if request["ignore_case"] else 0)
    except (re.error, RecursionError, OverflowError) as error:
        sys.stdout.write(f"fatal: {error}\n")
        return 3
    for name in request["names"]:
        for number, line in matches(os.path.join(request["root"], name), pattern, request["largest"]):
            sys.stdout.buffer.write(f"{name}\0{number}\0{line}\n".encode())
        sys.stdout.buffer.flush()
    return 0


def matches(path: str, pattern: "re.Pattern[str]", largest: int) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text file that match; none of a binary, a large, a linked or an unreadable one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(largest + 1)
        except OSError:
            return
    if len(data) > largest or b"\0" in data[:8192]:
        return
    for number, line in enumerate(data.decode(errors="replace").split("\n"), 1):
        if pattern.search(line.rstrip("\r")):
            yield number, line


if __name__ == "__main__":
    sys.exit(main())
