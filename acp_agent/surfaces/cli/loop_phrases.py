"""What the facts of a loop say to a person: one phrase each."""

from collections.abc import Callable, Mapping
from typing import Any

from acp_agent.surfaces.cli.formats import changes, clock, money, some

Data = Mapping[str, Any]

QUIET_OF_LOOPS = frozenset({"iteration_prepared", "iteration_started", "done_checked"})
"""Facts that change nothing a person would call the state."""


def _ran(data: Data) -> str:
    return f"run {data['run_id']} ended: {data['reason']} ({money(data['cost'], data['cost_known'])})"


def _salvaged(data: Data) -> str:
    when = f"again, not before {clock(data['until'])}" if data["until"] else "again"
    return f"{when}: {data['why']}" + (f" (kept: {data['ref']})" if data["ref"] else "")


def _captured(data: Data) -> str:
    if not data["commit"]:
        return "changed nothing"
    lines = changes(data["files"], data["added"], data["removed"])
    return f"changed {some(data['files'], 'file')} {lines}" + "".join(f": {each}" for each in data["violations"])


def _measured(data: Data) -> str:
    if data["value"] is None:
        return f"{data['metric']} could not be measured: {data['output']}"
    return f"{data['metric']} is {data['value']:g}" + (f" (noise {data['noise']:g})" if data["noise"] else "")


def _attempt(data: Data) -> str:
    return f"iteration {data['iteration']}" + (f", attempt {data['attempt']}" if data["attempt"] > 1 else "")


def _ended(data: Data) -> str:
    return f"loop ended: {data['reason']}" + (f": {data['message']}" if data["message"] else "")


LOOP_PHRASES: Mapping[str, Callable[[Data], str]] = {
    "loop_started": lambda data: f"loop {data['name']} on {data['project']}: {data['spec']['goal']}",
    "fleet_started": lambda data: f"loop {data['name']} over {', '.join(data['loops'])}: {data['spec']['goal']}",
    "turn_given": lambda data: f"the turn of {data['project']}",
    "turn_taken": lambda data: f"{data['project']}: {data['accepted']} of {data['iterations']} accepted",
    "loop_changed": lambda data: f"other rules from here on ({data['source']})",
    "loop_change_refused": lambda data: f"the changed file of the loop is not used: {data['why']}",
    "iteration_planned": _attempt,
    "iteration_prepared": lambda data: f"clean at {data['base'][:12]}",
    "iteration_started": lambda data: f"works as {data['run_id']}",
    "iteration_ran": _ran,
    "iteration_salvaged": _salvaged,
    "iteration_captured": _captured,
    "metric_measured": _measured,
    "done_checked": lambda data: f"goal {'reached' if data['met'] else 'not reached'}: {data['detail']}",
    "iteration_accepted": lambda data: f"accepted: {data['commit'][:12]} {data['subject']}",
    "iteration_rejected": lambda data: f"rejected ({data['why']}): {data['detail']}",
    "rotated": lambda data: f"session {data['rotation']} begins" + (f": {data['why']}" if data["why"] else ""),
    "stagnation_met": lambda data: f"{data['step']}: {data['why']}",
    "loop_steered": lambda data: f"steered: {data['text']}",
    "loop_paused": lambda data: "paused" + (f": {data['note']}" if data["note"] else ""),
    "loop_resumed": lambda data: "goes on",
    "loop_stop_asked": lambda data: "stop asked" + (" now" if data["now"] else ""),
    "loop_parked": lambda data: f"waits ({data['waiting']}): {data['detail']}",
    "loop_ended": _ended,
    "schedule_started": lambda data: f"schedule of {data['name']}",
    "schedule_given": lambda data: f"workers of {data['queue']} run it: {data['when']} ({data['zone']})",
    "schedule_withdrawn": lambda data: "workers run it no more",
    "slot_taken": lambda data: f"slot of {data['when']} taken",
    "slot_ended": lambda data: f"slot is over: {data['why']}" + (f": {data['detail']}" if data["detail"] else ""),
}
