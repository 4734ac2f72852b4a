"""Where a person's lines come from: the keyboard with history and completion, or the lines of a script."""

import contextlib
import os
import readline
import select
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from acp_agent.domain.errors import UsageError
from acp_agent.surfaces.cli.chat.signals import heard_at_once
from acp_agent.surfaces.cli.glyphs import speaks_unicode
from acp_agent.surfaces.cli.prompt import MOST

KEPT = 1000
PASTE = 0.02
"""Seconds within which the next line of a paste arrives; a person types no line that fast."""


class Lines(Protocol):
    """A source of messages."""

    def message(self, mode: str) -> str | None:
        """The next message, None at the end. Raises KeyboardInterrupt for Ctrl-C, UsageError for one nobody can use."""
        ...


class Script:
    """Messages from standard input, one a line; a backslash at the end of a line goes on in the next."""

    def message(self, mode: str) -> str | None:
        """The next line that is not empty."""
        while (line := self._line()) is not None:
            while line.endswith("\\"):
                line = line[:-1] + "\n" + (self._line() or "")
            if line.strip():
                return checked(line)
        return None

    def _line(self) -> str | None:
        # Without a standard input at all there is none to read from.
        data = sys.stdin.buffer.readline(MOST + 1) if sys.stdin else b""
        return data.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r") if data else None


class Keyboard:
    """Lines typed at the terminal with readline. `complete` gives what a line may become."""

    def __init__(self, history: Path) -> None:
        self.complete: Callable[[str], list[str]] = lambda line: []
        self._history = history
        self._unicode = speaks_unicode(sys.stdout)
        self._is_gnu = "libedit" not in (readline.__doc__ or "")
        self._load()

    def message(self, mode: str) -> str | None:
        """The next message, typed or pasted; it may have several lines."""
        line = self._read(f"\001\033[1m\002{mode}>\001\033[0m\002 ", history=True)
        if line is None:
            return None
        lines = [line]
        while lines[-1].endswith("\\") or self._is_pasting():
            lines[-1] = lines[-1].removesuffix("\\")
            more = self._read("… " if self._unicode else ". ", history=True)
            if more is None:
                break
            lines.append(more)
        return checked("\n".join(lines))

    def answer(self, prompt: str) -> str | None:
        """The answer to a question; what was typed before it was asked does not count."""
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        return self._read(prompt, history=False)

    def _read(self, prompt: str, *, history: bool) -> str | None:
        try:
            with heard_at_once():
                line = input(prompt)
        except EOFError:
            if not self._is_gnu:
                sys.stdout.write("\n")
            return None
        except KeyboardInterrupt:
            # The cursor still stands in the line that was given up.
            sys.stdout.write("\n")
            raise
        except UnicodeDecodeError:
            raise UsageError("the message is not UTF-8", hint="a message is UTF-8 text") from None
        if history and line.strip():
            readline.add_history(line)
            # A history that cannot be kept costs no message.
            with contextlib.suppress(OSError, AttributeError):
                readline.append_history_file(1, str(self._history))
        return line

    def _is_pasting(self) -> bool:
        """Whether more lines are there already; GNU readline takes a paste as one line by itself."""
        return not self._is_gnu and bool(select.select([sys.stdin], [], [], PASTE)[0])

    def _load(self) -> None:
        readline.set_auto_history(False)
        readline.set_history_length(KEPT)
        readline.set_completer(self._completed)
        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete" if self._is_gnu else "bind ^I rl_complete")
        if self._is_gnu:
            readline.parse_and_bind("set enable-bracketed-paste on")
        with contextlib.suppress(OSError):
            os.close(os.open(self._history, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            readline.read_history_file(str(self._history))

    def _completed(self, text: str, state: int) -> str | None:
        found = self.complete(readline.get_line_buffer())
        return found[state] if state < len(found) else None


def checked(text: str) -> str:
    """`text` without the blanks around it. Raises UsageError for what no model can be sent."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("the message is not UTF-8", hint="a message is UTF-8 text") from None
    if "\0" in text:
        raise UsageError("the message holds a NUL character", hint="a message is UTF-8 text")
    if size > MOST:
        raise UsageError("the message is larger than 1 MiB", hint="let the agent read large files by itself")
    return text.rstrip()
