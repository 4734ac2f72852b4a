"""What a run did to each path, in order, read from its record: the ground on which changes are taken back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from acp_agent.domain.changes import FileChange, FileState, like
from acp_agent.domain.events import Event, ModelReplied, ToolFinished, ToolStarted
from acp_agent.domain.events_files import FilesSnapshot, Undone
from acp_agent.domain.tool import Intent

Load = Callable[[str], Sequence[FileChange]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of one path in step `step` (the number of the model's reply), made by call or gate `of`.

    `may_not`: it had begun, and nobody recorded whether it took effect. `late`: found after a kill, so that somebody
    else may have made it. `ours`: an undo made it, not the run.
    """

    step: int
    of: str
    title: str
    change: FileChange
    may_not: bool = False
    late: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """The entries of a run, oldest first; `unrecorded` are commands whose changes nobody knows, by step, and why."""

    entries: tuple[Entry, ...]
    unrecorded: tuple[tuple[int, str, str], ...]
    steps: int

    def paths(self, after_step: int) -> list[str]:
        """The paths the run changed after a step, sorted."""
        return sorted({entry.change.path for entry in self.entries if entry.step > after_step and not entry.ours})

    def made(self, after_step: int) -> list[str]:
        """The paths that were not there at some moment after a step, and that the run made."""
        made = (entry for entry in self.entries if entry.step > after_step and entry.change.before is None)
        return sorted({entry.change.path for entry in made})


def history(events: Iterable[Event], load: Load) -> History:
    """The history on record. `load` gives a kept list of changes; what it raises goes through."""
    step = 0
    titles: dict[str, str] = {}
    entries: list[Entry] = []
    unrecorded: list[tuple[int, str, str]] = []
    for fact in (event.data for event in events):
        match fact:
            case ModelReplied():
                step += 1
            case ToolStarted(call_id=call_id, intent=intent, tool=tool):
                titles[call_id] = intent.title or tool
                entries += [
                    Entry(step, call_id, titles[call_id], change, may_not=True)
                    for change in _changes(intent)
                    if not like(change.before, change.after)
                ]
            case ToolFinished(call_id=call_id) if fact.result.status == "ok":
                entries = [
                    replace(entry, may_not=False) if (entry.of, entry.step) == (call_id, step) else entry
                    for entry in entries
                ]
            case FilesSnapshot(moment="after", manifest=manifest, of=of, tree=tree):
                title = titles.get(of, of)
                if tree is None:
                    unrecorded.append((step, title, fact.note))
                elif manifest is not None:
                    entries += [Entry(step, of, title, change, late=fact.late) for change in load(manifest)]
            case Undone(manifest=str(manifest)):
                entries += [Entry(step, "", "undone", change, ours=True) for change in load(manifest)]
            case _:
                pass
    return History(tuple(entries), tuple(unrecorded), step)


def _changes(intent: Intent) -> Iterator[FileChange]:
    for path, after in intent.after.items():
        before, mode = intent.before.get(path), intent.modes.get(path)
        yield FileChange(
            path=path,
            before=None if before is None else FileState(digest=before, mode=mode),
            after=None if after is None else FileState(digest=after, mode=mode),
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One path's way: what it should hold now, what it held before, or the reason why nobody may touch it."""

    path: str
    expected: FileState | None
    wanted: FileState | None
    problem: str | None = None


def line_of(
    path: str, entries: Sequence[Entry], current: FileState | None, after_step: int, *, unsure: bool = False
) -> Line:
    """What taking back all changes of `path` after a step means, for a file that is now `current`.

    `unsure`: also those that somebody else may have made.
    """
    certain: list[Entry] = []
    for index, entry in enumerate(entries):
        following = entries[index + 1].change.before if index + 1 < len(entries) else current
        if not entry.may_not or like(following, entry.change.after):
            certain.append(entry)
        elif not like(following, entry.change.before):
            return Line(path, None, None, "it was changed since")
    undone = [entry for entry in certain if entry.step > after_step and not entry.ours]
    if not undone:
        return Line(path, current, current)
    wanted = _with_mode(undone[0].change.before, certain)
    expected = certain[-1].change.after
    if not unsure and any(entry.late for entry in undone) and not like(expected, wanted):
        return Line(path, expected, wanted, "nobody can tell whether the run changed it or somebody else, after a kill")
    first = certain.index(undone[0])
    for one, other in zip(certain[first:], certain[first + 1 :], strict=False):
        if not like(one.change.after, other.change.before):
            what = f"somebody else changed it between step {one.step} and step {other.step}"
            return Line(path, expected, wanted, what)
    return Line(path, expected, wanted)


def last_undone(events: Sequence[Event]) -> Undone | None:
    """The last undo on record that brought files back and was not taken back itself."""
    found = next((event.data for event in reversed(events) if isinstance(event.data, Undone)), None)
    return found if found is not None and found.manifest is not None and not found.redone else None


def by_path(entries: Iterable[Entry]) -> Mapping[str, list[Entry]]:
    """The entries of each path, in order."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.change.path, []).append(entry)
    return found


def _with_mode(state: FileState | None, entries: Sequence[Entry]) -> FileState | None:
    """`state` with the permission bits that were seen first: a file tool keeps those it finds."""
    if state is None or state.mode is not None or state.kind != "file":
        return state
    seen = (found.mode for entry in entries for found in (entry.change.before, entry.change.after) if found is not None)
    return state.model_copy(update={"mode": next((mode for mode in seen if mode is not None), None)})
