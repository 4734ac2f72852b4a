"""Where the prompt of `acp run` comes from: the command line, a file, or standard input; bad ones cost one line."""

import sys
from pathlib import Path

from acp_agent.domain.errors import UsageError

MOST = 1 << 20
"""A prompt has at most this many bytes (1 MiB); of a larger file no more is read."""


def prompt_of(words: tuple[str, ...], file: str | None) -> tuple[str, str | None]:
    """The prompt and the directory, from the positional arguments and `-f`. Raises UsageError naming the culprit."""
    if file is not None:
        if len(words) > 1:
            raise UsageError(
                f"-f {file}: the prompt is in the file, so {words[0]!r} can only be the directory",
                hint="acp run -f FILE [DIR]",
            )
        return _checked(read_prompt(file), f"-f {file}"), words[0] if words else None
    if not words:
        raise UsageError("no prompt", hint='acp run "what to do" --tags=python, or acp run -f FILE')
    if len(words) > 2:
        raise UsageError(f"too many arguments: {words[2]!r}", hint='quote the prompt: acp run "what to do" [DIR]')
    return _checked(words[0], "PROMPT"), words[1] if len(words) == 2 else None


def read_prompt(file: str) -> str:
    """The text of `file` (`-`: standard input), at most 1 MiB of UTF-8 without NUL."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MOST + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MOST + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(f"-f {file}: {reason}", hint="give a text file with the prompt, or - for stdin") from None
    if len(data) > MOST:
        raise UsageError(
            f"-f {file}: larger than 1 MiB", hint="a prompt is a short text; let the agent read large files"
        )
    if b"\0" in data:
        raise UsageError(f"-f {file}: a binary file", hint="a prompt is UTF-8 text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"-f {file}: not UTF-8 at line {line}", hint="a prompt is UTF-8 text") from None


def _checked(prompt: str, origin: str) -> str:
    if not prompt.strip():
        raise UsageError(f"{origin}: the prompt is empty", hint='say what to do: acp run "..."')
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{origin}: not UTF-8", hint="a prompt is UTF-8 text") from None
    return prompt
