"""What each server's tools were when a person took them on: `mcp-pins.json` in the state directory.

The first contact with a server pins all its tools: who wrote it into their configuration, or trusted a `.mcp.json` that
names it, has agreed to start it. From then on a tool that is new or whose name, description or schema changed is
withheld, and its text kept, until a person agrees to it.
"""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acp_agent.domain.errors import UsageError
from acp_agent.tools.mcp.definition import Definition

FILE = "mcp-pins.json"
_LOCK = "mcp-pins.lock"
_VERSION = 1
_SHOWN = 4_000

Record = dict[str, Any]
"""`name` of the server, `tools`: name to digest, `pending`: name to what is to be agreed to."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A tool that waits for a person: `why` is `new` or `changed`, `text` its description and schema now."""

    server: str
    tool: str
    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Pins:
    """The file, for all processes of a user. Every method reads or writes a few kilobytes: call it in a thread."""

    folder: Path

    def admitted(self, server: str, identity: str, found: Sequence[Definition]) -> frozenset[str]:
        """The names of the tools that are as they were taken on; the others are kept as pending."""
        with self._held():
            records = self._read()
            record = records.get(identity)
            now = {one.name: one.digest for one in found}
            if record is None:
                records[identity] = {"name": server, "tools": now, "pending": {}}
                self._write(records)
                return frozenset(now)
            pinned = record["tools"]
            pending = {
                one.name: {"digest": one.digest, "why": "changed" if one.name in pinned else "new", "text": _text(one)}
                for one in found
                if pinned.get(one.name) != one.digest
            }
            if pending != record["pending"]:
                self._write({**records, identity: {**record, "pending": pending}})
            return frozenset(now) - frozenset(pending)

    def pending(self, server: str | None = None) -> list[Pending]:
        """What waits for a person, of one server or of all."""
        return [
            Pending(record["name"], tool, one["why"], one["text"])
            for record in self._read().values()
            if server in (None, record["name"])
            for tool, one in record["pending"].items()
        ]

    def agree(self, server: str) -> list[Pending]:
        """Take on what was pending, exactly as it was shown; what it was."""
        with self._held():
            records, agreed = self._read(), self.pending(server)
            for record in records.values():
                if record["name"] == server:
                    record["tools"] |= {tool: one["digest"] for tool, one in record["pending"].items()}
                    record["pending"] = {}
            self._write(records)
        return agreed

    def agree_to(self, identity: str, tool: str, digest: str) -> bool:
        """Take on one pending tool if it is still the one of `digest`; whether it was."""
        with self._held():
            records = self._read()
            record = records.get(identity, {"pending": {}})
            if record["pending"].get(tool, {}).get("digest") != digest:
                return False
            del record["pending"][tool]
            record["tools"][tool] = digest
            self._write(records)
            return True

    def forget(self, server: str) -> bool:
        """Forget a server: the next contact with it counts as the first. Whether there was anything."""
        with self._held():
            records = self._read()
            kept = {identity: record for identity, record in records.items() if record["name"] != server}
            if len(kept) != len(records):
                self._write(kept)
            return len(kept) != len(records)

    def servers(self) -> dict[str, tuple[int, int]]:
        """By server: how many tools are taken on, and how many wait."""
        return {record["name"]: (len(record["tools"]), len(record["pending"])) for record in self._read().values()}

    @contextmanager
    def _held(self) -> Generator[None]:
        """The writers' lock: a file of its own, since the pins are replaced. The kernel frees it when we die."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> dict[str, Record]:
        path = self.folder / FILE
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            data = None
        if not isinstance(data, dict) or data.get("v") != _VERSION or not _well_formed(data.get("servers")):
            raise UsageError(f"{path}: is no list of pinned tools", hint=f"remove {path}; first contact pins again")
        servers: dict[str, Record] = data["servers"]
        return servers

    def _write(self, records: dict[str, Record]) -> None:
        text = json.dumps({"v": _VERSION, "servers": records}, indent=1, sort_keys=True)
        handle, name = tempfile.mkstemp(prefix=f".{FILE}.", dir=self.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.folder / FILE)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise


def _text(definition: Definition) -> str:
    schema = json.dumps(definition.schema, ensure_ascii=True, sort_keys=True)
    return f"{definition.description.strip()}\n{schema}"[:_SHOWN]


def _well_formed(servers: object) -> bool:
    return isinstance(servers, dict) and all(
        isinstance(record, dict)
        and isinstance(record.get("name"), str)
        and isinstance(record.get("tools"), dict)
        and isinstance(record.get("pending"), dict)
        and all(isinstance(one, dict) and {"digest", "why", "text"} <= set(one) for one in record["pending"].values())
        for record in servers.values()
    )
