"""Anchors of the audit chain in a file beside the database: a chain that was cut short or replaced is told by them.

One JSON object a line: `ts` (Unix seconds), `tenant`, `position`, `digest`. Whoever can write the database can mostly
write this file too; copies of a line elsewhere are worth more (`acp audit verify --anchor`).
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from acp_agent.domain.chain import Anchor

EVERY = 1000
"""Events between two anchors while a process runs; its last one is written when it closes the journal."""


def file_beside(database: Path) -> Path:
    """Where the anchors of a SQLite file are."""
    return database.with_name(f"{database.name}.anchors")


class Anchors:
    """Notes heads of chains as they are committed. Not being able to never holds up a commit: the next one tries."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._noted: dict[str, int] = {}
        self._due: dict[str, Anchor] = {}

    def follow(self, heads: Mapping[str, Anchor]) -> None:
        """The chains end at `heads` now, and that is committed."""
        self._due |= heads
        if any(
            head.position // EVERY > self._noted.setdefault(tenant, head.position) // EVERY
            for tenant, head in heads.items()
        ):
            self.note()

    def note(self) -> None:
        """Write down the heads that moved since the last time."""
        now = time.time()
        lines = [
            json.dumps({"ts": now, "tenant": tenant, "position": head.position, "digest": head.digest}) + "\n"
            for tenant, head in self._due.items()
        ]
        if not lines:
            return
        try:
            # One write in append mode: lines of two processes do not mix.
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, "".join(lines).encode())
            finally:
                os.close(descriptor)
        except OSError:
            return
        self._noted |= {tenant: head.position for tenant, head in self._due.items()}
        self._due = {}


def anchors_in(file: Path, tenant: str) -> list[Anchor]:
    """The anchors of a tenant in a file. Lines that cannot be read are left out: a full disk or a power cut made them.

    Spoiling a line on purpose gains nothing over deleting it.
    """
    if not file.exists():
        return []
    lines = file.read_text("utf-8", "replace").splitlines()
    return [anchor for owner, anchor in map(_read, lines) if owner == tenant]


def _read(line: str) -> tuple[str | None, Anchor]:
    try:
        noted = json.loads(line)
        return str(noted["tenant"]), Anchor(int(noted["position"]), str(noted["digest"]))
    except (ValueError, KeyError, TypeError):
        return None, Anchor(0, "")
