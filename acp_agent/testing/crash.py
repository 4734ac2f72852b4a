"""Crash points: kill a process at an exact place of its own code, to see what the next one finds.

`ACP_CRASH_AT="journal.after_commit:17"` kills the process with SIGKILL at the 17th time it passes the point named
`journal.after_commit`. Points are named by the code that offers them, most often in pairs such as
`journal.before_commit` and `journal.after_commit`; several specifications are separated by commas, the first reached
wins. Without a number the first pass counts; `*:40` is the 40th pass of any point; a last word `stop` freezes the
process with SIGSTOP instead (`journal.before_commit:3:stop`), which makes a zombie that SIGCONT brings back after its
lease is gone.

`ACP_CRASH_LOG=FILE` appends the name of each point passed, one a line: a run without a crash tells how many there are.

Production code takes a plain `Callable[[str], None] | None`; only the composition root imports this module, and only
when one of the variables is set. It imports nothing that costs time.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping

CRASH_VARIABLE = "ACP_CRASH_AT"
LOG_VARIABLE = "ACP_CRASH_LOG"
ANY = "*"
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class CrashPoints:
    """Counts the passes of each point and ends the process at the one asked for. Safe from any thread."""

    def __init__(self, specification: str = "", log: str | None = None) -> None:
        self._signals = dict(_parse(spec) for spec in specification.split(",") if spec.strip())
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if log else None
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> CrashPoints:
        """The crash points that the environment asks for; none when it asks for none."""
        return cls(environ.get(CRASH_VARIABLE, ""), environ.get(LOG_VARIABLE) or None)

    @property
    def counts(self) -> dict[str, int]:
        """How often each point was passed; `*` is their sum."""
        with self._lock:
            return dict(self._counts)

    def hit(self, name: str) -> None:
        """Pass a point; does not return when it is the one to crash at."""
        with self._lock:
            if self._log is not None:
                os.write(self._log, f"{name}\n".encode())
            for counted in (name, ANY):
                count = self._counts[counted] = self._counts.get(counted, 0) + 1
                if (number := self._signals.get((counted, count))) is not None:
                    os.kill(os.getpid(), number)


def _parse(specification: str) -> tuple[tuple[str, int], signal.Signals]:
    parts = specification.strip().split(":")
    number = _SIGNALS[parts.pop()] if len(parts) > 1 and parts[-1] in _SIGNALS else signal.SIGKILL
    count = int(parts.pop()) if len(parts) > 1 and parts[-1].isdecimal() else 1
    name = ":".join(parts)
    if not name.strip(":") or count < 1:
        raise ValueError(f"{CRASH_VARIABLE}: {specification!r} is not NAME, NAME:COUNT or NAME:COUNT:stop")
    return (name, count), number
