"""What is waiting to be written: in order, merged while the reader is behind, and never more than fits in memory."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio

from acp_agent.surfaces.acp.shrink import CHUNKS, TOOL_CALLS, chunk_line, update_lines, without_bulk

_CROWD = 256
"""Entries waiting from which on updates are merged even if no write is stuck."""

_LONGEST_MERGED = 256 * 1024
"""Characters of one merged chunk."""

_MOST_WAITING = 16 * 1024 * 1024
"""Weight of waiting updates from which on words and outputs are left out, with a note in their place."""

_ROOM = 1024 * 1024
_BATCH = 64 * 1024

_REPLACED = frozenset(
    {
        "plan",
        "available_commands_update",
        "current_mode_update",
        "config_option_update",
        "usage_update",
        "session_info_update",
    }
)
"""Kinds that say the whole of something: a later one makes an earlier one that still waits superfluous."""


class Entry:
    """One message that waits: a finished line, or an update that may still grow. `weight` is its size, roughly."""

    __slots__ = ("chunk", "key", "left_out", "line", "pieces", "session_id", "update", "weight")

    def __init__(self, line: bytes | None = None, session_id: str = "", update: dict[str, Any] | None = None) -> None:
        self.line = line
        self.session_id = session_id
        self.update = update
        self.chunk: tuple[str, object] | None = None
        self.key: tuple[str, str, str] | None = None
        self.pieces: list[str] = []
        self.left_out = 0
        self.weight = len(line) if line is not None else 0

    def lines(self) -> list[bytes]:
        """What is written for it; nothing once it was withdrawn."""
        if self.line is not None:
            return [self.line]
        if self.update is None:
            return []
        if self.chunk is None:
            return update_lines(self.session_id, self.update)
        text = "".join(self.pieces)
        if not self.left_out and (line := chunk_line(self.session_id, *self.chunk, text)) is not None:
            return [line]
        if self.left_out:
            text += f"\n[{self.left_out} characters are left out here: the client reads too slowly; all is on record]\n"
        return update_lines(self.session_id, {**self.update, "content": {"type": "text", "text": text}})


class Outbox:
    """Takes messages without ever making the caller wait; `run` writes them.

    Answers and requests are kept whatever happens, and nothing that waits behind one is merged across it. While the
    reader is behind, updates shrink: words join the words before them, a tool call's news join the older ones, a plan
    replaces a plan. A fast reader gets every update as it was given.
    """

    def __init__(self) -> None:
        self._queue: deque[Entry] = deque()
        self._tails: dict[str, Entry] = {}
        self._latest: dict[tuple[str, str, str], Entry] = {}
        self._more = anyio.Event()
        self._less = anyio.Event()
        self._sending = False
        self._closed = False
        self._updates_weight = 0
        self.weight = 0

    def put(self, line: bytes) -> Entry:
        """Queue a finished message."""
        self._tails.clear()
        self._latest.clear()
        entry = Entry(line)
        self._append(entry)
        return entry

    def withdraw(self, entry: Entry) -> bool:
        """Take a message back; False when it has been written (or is being written) already."""
        if entry not in self._queue:
            return False
        self._queue.remove(entry)
        self.weight -= entry.weight
        return True

    def update(self, session_id: str, update: Mapping[str, Any]) -> None:
        """Queue a `session/update`. The caller's mapping is not kept."""
        if self._closed:
            return
        chunk = _chunk_of(update)
        behind = self._sending or len(self._queue) >= _CROWD
        if chunk is not None:
            self._chunk(session_id, update, chunk, behind)
        else:
            self._other(session_id, update, behind)

    async def run(self, send: Callable[[Sequence[bytes]], Awaitable[None]]) -> None:
        """Write what is queued, for ever; raises what `send` raises."""
        while True:
            while not self._queue:
                self._more = anyio.Event()
                await self._more.wait()
            lines = self._batch()
            self._sending = True
            try:
                await send(lines)
            finally:
                self._sending = False
            self._wake()

    async def room(self) -> None:
        """Wait until less than 1 MiB is waiting: for whoever has much to say and can wait, such as a replay."""
        while self.weight >= _ROOM and not self._closed:
            await self._less.wait()

    async def emptied(self) -> None:
        """Wait until everything is written."""
        while (self._queue or self._sending) and not self._closed:
            await self._less.wait()

    def close(self) -> None:
        """Forget what waits and take nothing more: the reader is gone."""
        self._closed = True
        self._queue.clear()
        self._tails.clear()
        self._latest.clear()
        self.weight = self._updates_weight = 0
        self._wake()

    def _wake(self) -> None:
        less, self._less = self._less, anyio.Event()
        less.set()

    def _chunk(self, session_id: str, update: Mapping[str, Any], chunk: tuple[str, object], behind: bool) -> None:
        text: str = update["content"]["text"]
        entry = self._tails.get(session_id) if behind else None
        if entry is None or entry.chunk != chunk or entry.weight >= _LONGEST_MERGED:
            entry = Entry(session_id=session_id, update=dict(update))
            entry.chunk = chunk
            self._append(entry)
            if behind:
                self._tails[session_id] = entry
        if self._updates_weight >= _MOST_WAITING:
            entry.left_out += len(text)
        else:
            entry.pieces.append(text)
            self._weigh(entry, len(text))

    def _other(self, session_id: str, update: Mapping[str, Any], behind: bool) -> None:
        kind = update.get("sessionUpdate")
        weight = _weight(update)
        if kind in TOOL_CALLS and self._updates_weight + weight >= _MOST_WAITING:
            update = without_bulk(update, "left out: the client reads too slowly; all is on record")
            weight = _weight(update)
        key = _key_of(session_id, update) if behind else None
        earlier = self._latest.get(key) if key else None
        if earlier is not None and earlier.update is not None and kind != "tool_call":
            earlier.update = _merged(earlier.update, update)
            self._weigh(earlier, _weight(earlier.update) - earlier.weight)
            return
        entry = Entry(session_id=session_id, update=dict(update))
        self._append(entry)
        self._weigh(entry, weight)
        if behind:
            entry.key = key
            self._tails[session_id] = entry
            if key:
                self._latest[key] = entry

    def _append(self, entry: Entry) -> None:
        if self._closed:
            return
        self._queue.append(entry)
        self.weight += entry.weight
        self._more.set()

    def _weigh(self, entry: Entry, more: int) -> None:
        entry.weight += more
        self.weight += more
        self._updates_weight += more

    def _batch(self) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while self._queue and size < _BATCH:
            entry = self._queue.popleft()
            self.weight -= entry.weight
            if entry.line is None:
                self._updates_weight -= entry.weight
            if self._tails.get(entry.session_id) is entry:
                del self._tails[entry.session_id]
            if entry.key and self._latest.get(entry.key) is entry:
                del self._latest[entry.key]
            written = entry.lines()
            lines += written
            size += sum(map(len, written))
        return lines


def _chunk_of(update: Mapping[str, Any]) -> tuple[str, object] | None:
    """What two chunks must share to become one; None for what cannot be merged as words."""
    if update.get("sessionUpdate") not in CHUNKS or update.keys() - {"sessionUpdate", "content", "messageId"}:
        return None
    content = update.get("content")
    if not isinstance(content, dict) or content.keys() != {"type", "text"} or content["type"] != "text":
        return None
    return (update["sessionUpdate"], update.get("messageId")) if isinstance(content["text"], str) else None


def _key_of(session_id: str, update: Mapping[str, Any]) -> tuple[str, str, str] | None:
    kind = str(update.get("sessionUpdate"))
    if kind in TOOL_CALLS:
        return session_id, "tool_call", str(update.get("toolCallId"))
    return (session_id, kind, "") if kind in _REPLACED else None


def _merged(earlier: dict[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    kind = earlier["sessionUpdate"]
    if kind in TOOL_CALLS:
        return {**earlier, **{name: value for name, value in later.items() if value is not None}, "sessionUpdate": kind}
    # Here an absent field means unchanged and null means cleared.
    return {**earlier, **later} if kind == "session_info_update" else dict(later)


def _weight(value: Any) -> int:
    match value:
        case str() | bytes():
            return len(value)
        case Mapping():
            return 64 + sum(len(str(name)) + _weight(inner) for name, inner in value.items())
        case list() | tuple():
            return 16 + sum(map(_weight, value))
        case _:
            return 8
