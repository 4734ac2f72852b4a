"""What a person must know of a run beyond its row: why gates failed, and where a result lies that is in no commit."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from acp_agent.fleet.view import Row
    from acp_agent.store.reads import EventRow
    from acp_agent.surfaces.cli.records import Record


class GateFailure(NamedTuple):
    """A gate that did not pass; `exit_status` is None where it was stopped, or could not begin."""

    gate: str
    exit_status: int | None
    output: str

    @property
    def how(self) -> str:
        """`exit status 127`."""
        return exit_text(self.exit_status)


@dataclass(frozen=True)
class Details:
    """Of one run: its gates that failed at last, and the directory that holds changes which nobody has committed.

    `inplace` says that this is the person's own checkout.
    """

    gates: tuple[GateFailure, ...] = ()
    left_in: str | None = None
    inplace: bool = False


NOTHING = Details()


def details_of(row: "Row", events: "Sequence[EventRow] | Sequence[Record]") -> Details:
    """The details of a run, from all its events."""
    failed = {
        event.data["gate"]: GateFailure(event.data["gate"], event.data["exit_status"], event.data["output"])
        for event in events
        if event.data["type"] == "gate_finished" and event.data["gate"] in row.failed_gates
    }
    place = events[0].data["request"]["workplace"]
    inplace = place["kind"] == "inplace"
    left_in = _inplace(place, events) if inplace else place.get("worktree")
    if row.status != "ended" or row.commit or row.landed or not left_in or not os.path.isdir(left_in):
        left_in = None
    return Details(tuple(failed.values()), left_in, inplace)


def _inplace(place: Mapping[str, Any], events: "Sequence[EventRow] | Sequence[Record]") -> str | None:
    """Where a run that worked in place did so, if it began anything that changes files."""
    touched = any(event.data["type"] == "tool_started" and event.data["risk"] > 0 for event in events)
    return os.path.join(place["root"], place.get("subdir") or "").rstrip("/") if touched else None


def exit_text(exit_status: int | None) -> str:
    """How a command ended, in words."""
    return "stopped, or never begun" if exit_status is None else f"exit status {exit_status}"


def commit_command(left_in: str) -> str:
    """What makes a commit of all that was left in a worktree, so that it can be accepted."""
    return f"(cd {shlex.quote(left_in)} && git add --all && git commit)"
