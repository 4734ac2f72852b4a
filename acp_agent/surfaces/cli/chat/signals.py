"""A Ctrl-C at a prompt is heard at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUDGES = (0.03, 0.2, 1.0, 4.0)
"""Seconds between a signal and interruptions of the wait for a key, until it ends; the later are for busy machines."""


@contextmanager
def heard_at_once() -> Iterator[None]:
    """While the block waits for a line in the main thread, no signal waits for the next key.

    Python's readline looks for signals and then waits: one that comes between the two would be seen with the next key
    only. So whoever hears a signal interrupts the wait a moment later, by another signal that means nothing.
    """
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGURG, _nothing)
    over = threading.Event()
    nudger = threading.Thread(target=_nudge, args=(reads, threading.get_ident(), over), daemon=True)
    nudger.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        over.set()
        os.close(writes)
        nudger.join()
        os.close(reads)
        signal.signal(signal.SIGURG, handler)


def _nudge(reads: int, waiting: int, over: threading.Event) -> None:
    while heard := os.read(reads, 64):
        if bytes(heard).strip(bytes([signal.SIGURG])):
            for pause in NUDGES:
                if over.wait(pause):
                    return
                signal.pthread_kill(waiting, signal.SIGURG)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Interrupting is all it is for."""
