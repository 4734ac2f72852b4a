"""Forgets runs, batches, loops and sessions for good: what the record says of them, and what was kept beside it.

What is outside of our hands stays: commits, worktrees, exports and backups that somebody made.
"""

import contextlib
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from acp_agent.config.paths import database_location, state_dir
from acp_agent.domain.errors import AcpAgentError, UsageError
from acp_agent.domain.ports import Journal
from acp_agent.store.reads import Found, Reads
from acp_agent.store.scrub import scrub
from acp_agent.tools.kept import forget_workplace
from acp_agent.tools.outputs import FOLDER as ARTIFACTS

SHORTEST = 4
"""Characters a text must have: fewer would match nearly every run."""
LOOPS = "loops"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was erased: `payloads` of the record, `files` beside it. Not `scrubbed`: old pages are still in the file."""

    payloads: int
    files: int
    scrubbed: bool


class Forgetting:
    """Finds what is meant, and forgets it."""

    def __init__(self, environ: Mapping[str, str], journal: Journal) -> None:
        self._state = state_dir(environ)
        self._database = database_location(environ)
        self._journal = journal

    def of(self, name: str) -> list[Found]:
        """The one thing whose id begins with `name`, and all that belongs to it. UsageError for none or many."""
        with Reads(self._database) as reads:
            return everything_of(reads, name)

    def saying(self, text: str) -> list[Found]:
        """Everything in whose record, or in the files kept for it, `text` stands. Raises UsageError for a short one."""
        if len(text) < SHORTEST:
            raise UsageError(f"--match: a text of at least {SHORTEST} characters", hint="acp forget ID forgets one run")
        with Reads(self._database) as reads:
            found = {one.id: one for one in reads.saying(text)}
            for folder in _folders(self._state / "undo"):
                if folder.name not in found and any(_holding(folder, text)) and reads.run(folder.name):
                    found[folder.name] = Found("run", folder.name)
            if (state := self._state / ARTIFACTS).is_dir():
                for name in _holding(state, text):
                    found |= {one.id: one for one in reads.saying(name)}
        return list(found.values())

    async def forget(self, streams: Sequence[Found], reason: str, actor: str, *, text: str | None = None) -> Forgotten:
        """Erase all of `streams`, or none where one cannot be; `text` is also looked for in files of no single run.

        Raises Refused as `store.erasure.erase` does.
        """
        ids = [one.id for one in streams]
        await self._journal.erase(ids, reason, actor, dry_run=True)
        # Files first: killed in between, the record still says what there is to do.
        files = await anyio.to_thread.run_sync(self._remove_files, streams, text)
        payloads = await self._journal.erase(ids, reason, actor)
        return Forgotten(payloads, files, await anyio.to_thread.run_sync(scrub, self._database))

    def _remove_files(self, streams: Sequence[Found], text: str | None) -> int:
        """Remove what is kept for `streams`, and what belongs to no run and holds `text`; returns how many."""
        with Reads(self._database) as reads:
            runs = [run for one in streams if one.kind == "run" and (run := reads.run(one.id))]
            outputs = {name for one in streams for name in _artifacts(reads, one.id)}
            going = {one.id for one in streams}
            # The same output may be another run's too.
            unshared = [name for name in outputs if going.issuperset(one.id for one in reads.saying(name))]
        files = len(unshared) + sum(len(list((self._state / "undo" / run.id).glob("*"))) for run in runs)
        for name in unshared:
            (self._state / ARTIFACTS / name).unlink(missing_ok=True)
        for run in runs:
            forget_workplace(self._state, run.id, run.path or run.root)
        for one in streams:
            shutil.rmtree(self._state / LOOPS / one.id, ignore_errors=True)
        return files if text is None else files + _without(self._state, text)


def everything_of(reads: Reads, name: str) -> list[Found]:
    """The one thing whose id begins with `name`, then all that belongs to it. Raises UsageError for none or many."""
    found = reads.find(name)
    if len(found) != 1:
        what = "ambiguous: " + ", ".join(one.id for one in found[:5]) if found else "nothing on record"
        raise UsageError(f"{name[:60]!r} is {what}", hint="acp ps --all lists what there is; write the whole id")
    return [found[0], *_below(reads, found[0].id)]


def _below(reads: Reads, stream_id: str) -> Iterator[Found]:
    for found in reads.below(stream_id):
        yield Found("loop" if found.startswith("l_") else "run", found)
        yield from _below(reads, found)


def _artifacts(reads: Reads, stream_id: str) -> Iterator[str]:
    """The full outputs that a stream names; one that was erased before names none."""
    with contextlib.suppress(AcpAgentError):
        for event in reads.events(stream_id):
            if event.type == "tool_finished" and (kept := event.data["result"].get("artifact")):
                yield kept["sha256"]


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.glob("*") if path.is_dir())


def _holding(folder: Path, text: str) -> Iterator[str]:
    """The names of the contents kept in `folder` that have the text."""
    wanted = text.encode()
    for path in folder.iterdir():
        # Half a file of a process that was killed, or none of ours, is passed over.
        with contextlib.suppress(OSError, zlib.error):
            if wanted in zlib.decompress(path.read_bytes()):
                yield path.name


def _without(state: Path, text: str) -> int:
    """Take the text out of what belongs to no run: lines typed in `acp chat`, and files that commands had planted."""
    history, removed = state / "chat_history", 0
    wanted = text.encode()
    if history.is_file() and wanted in (old := history.read_bytes()):
        history.write_bytes(b"".join(line for line in old.splitlines(keepends=True) if wanted not in line))
        removed += 1
    for path in (state / "sandbox" / "quarantine").rglob("*"):
        if path.is_file() and not path.is_symlink() and wanted in path.read_bytes():
            path.unlink()
            removed += 1
    return removed
