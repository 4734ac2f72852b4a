"""Logs of this process on stderr, with every secret masked: our own, and those of libraries."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FORMAT = "%(levelname)s %(name)s: %(message)s"


class _Masked(logging.Formatter):
    """Masks the whole entry: message, arguments and trace."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """The entry as it may be written."""
        return self._redact(super().format(record))


@contextmanager
def logs_on_stderr(redact: Callable[[str], str], level: int = logging.WARNING) -> Iterator[None]:
    """Write entries of at least `level` to stderr while the block runs; without it Python would, unmasked."""
    handler = logging.StreamHandler()
    handler.setLevel(level)
    handler.setFormatter(_Masked(redact))
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
