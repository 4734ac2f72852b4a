"""Where the record is kept: a SQLite file, or a PostgreSQL database. Standard library only: every fast command asks."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit


class ServerLocation(NamedTuple):
    """A PostgreSQL database by its URL, which may hold a password: print `shown` and nothing else.

    `state` is the folder for what SQLite keeps beside its file.
    """

    url: str
    state: Path

    @property
    def shown(self) -> str:
        """The URL without its password and its options."""
        parts = urlsplit(self.url)
        account, at, address = parts.netloc.rpartition("@")
        return urlunsplit((parts.scheme, account.partition(":")[0] + at + address, parts.path, "", ""))


Location = Path | ServerLocation
